"""Write policy plug-ins: real programs, good and bad, and a relay that stands above them."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.own_time import minutes_pass

from volok.relay.access import Refusal
from volok.relay.metrics import Metrics
from volok.relay.plugin import (
    InvalidRuling,
    Plugin,
    Shadow,
    Submission,
    parse_ruling,
    question,
)
from volok.relay.run import run_relay
from volok.relay.settings import RelaySettings
from volok.sync.messages import Prefix

from .conftest import CRYPTO, NOW, Client

BY_CONTENT = """#!{python}
# Does what the content of an event says; notes each question.
import json, sys, time
for line in sys.stdin:
    request = json.loads(line)
    with open({notes!r}, "a") as notes:
        notes.write(line)
    word, _, rest = request["event"]["content"].partition(" ")
    if word == "hang":
        time.sleep(600)
    if word == "die":
        sys.exit(1)
    if word == "garbage":
        print("no JSON at all", flush=True)
        continue
    if word == "other":
        print(json.dumps({{"id": "f" * 64, "action": "accept"}}), flush=True)
        continue
    print("a word on standard error", file=sys.stderr)
    action = word if word in ("reject", "shadowReject") else "accept"
    print(json.dumps({{"id": request["event"]["id"], "action": action, "msg": rest}}), flush=True)
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """A plug-in in a file of its own."""
    path = tmp_path / "policy"
    notes = str(tmp_path / "notes")
    path.write_text(BY_CONTENT.format(python=sys.executable, notes=notes))
    path.chmod(0o755)
    return path


def notes(script: Path) -> list[dict]:
    return [json.loads(line) for line in script.with_name("notes").read_text().splitlines()]


def test_the_question_is_that_of_strfry_without_an_address(people) -> None:
    event = people[0].event(1, "a\nb")
    line = question(Submission(event, people[1].pubkey), NOW)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert json.loads(line) == {
        "type": "new",
        "event": json.loads(event.to_json()),
        "receivedAt": NOW,
        "sourceType": "IP4",
        "sourceInfo": "",
        "authed": people[1].pubkey,
    }
    assert "authed" not in json.loads(question(Submission(event), NOW))


@pytest.mark.parametrize(
    ("answer", "ruling"),
    [
        ({"action": "accept"}, None),
        ({"action": "accept", "msg": "x"}, None),
        ({"action": "shadowReject", "msg": "x"}, Shadow.REJECTED),
        ({"action": "reject", "msg": "blocked: no"}, Refusal(Prefix.BLOCKED, "no")),
        ({"action": "reject", "msg": "rate-limited: slow"}, Refusal(Prefix.RATE_LIMITED, "slow")),
        ({"action": "reject", "msg": "not today"}, Refusal(Prefix.BLOCKED, "not today")),
        (
            {"action": "reject"},
            Refusal(Prefix.BLOCKED, "the policy of this relay refuses it"),
        ),
    ],
)
def test_answers(answer, ruling) -> None:
    assert parse_ruling(json.dumps({"id": "ab", **answer}).encode()) == ("ab", ruling)


@given(
    st.binary(max_size=100)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=9),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["id", "action", "msg", "x"]), inner, max_size=4)
        ),
        max_leaves=8,
    ).map(lambda value: json.dumps(value).encode())
)
def test_any_line_is_an_answer_or_refused(line: bytes) -> None:
    try:
        name, ruling = parse_ruling(line)
    except InvalidRuling:
        return
    assert isinstance(name, str)
    assert ruling is None or isinstance(ruling, Refusal | Shadow)


async def test_a_relay_asks_its_plugin(script: Path, tmp_path: Path, people, connect) -> None:
    settings, metrics = RelaySettings(plugin_seconds=60.0), Metrics()
    run = run_relay(
        "127.0.0.1",
        0,
        tmp_path / "data",
        settings,
        CRYPTO,
        lambda: NOW,
        metrics,
        plugin=str(script),
    )
    async with run as address:
        client: Client = await connect(address.websocket_url)
        await client.authenticate(people[3])
        good = people[0].event(1, "fine")
        assert (await client.publish(good))[2:] == [True, ""]
        refused = await client.publish(people[0].event(1, "reject blocked: not here"))
        assert refused[2:] == [False, "blocked: not here"]
        hidden = people[0].event(1, "shadowReject")
        assert (await client.publish(hidden))[2:] == [True, ""]
        assert await client.fetch({"kinds": [1]}) == [good.id]
        forged = json.loads(good.to_json()) | {"content": "forged"}
        assert (await client.ask("EVENT", forged))[3].startswith("invalid: ")
        asked = notes(script)
        assert [one["event"]["content"].split()[0] for one in asked] == [
            "fine",
            "reject",
            "shadowReject",
        ]
        assert {one["sourceInfo"] for one in asked} == {""}
        assert {one["authed"] for one in asked} == {people[3].pubkey}
        broken = await client.publish(people[0].event(1, "die"))
        assert broken[3].startswith("error: ")
        assert metrics.plugin_failures == 1
        assert await client.fetch({"kinds": [1]}) == [good.id]  # nothing else stopped
    assert metrics.failures == 0


@pytest.fixture
async def connect():
    import contextlib

    import websockets

    async with contextlib.AsyncExitStack() as stack:

        async def connect(url: str) -> Client:
            socket = await stack.enter_async_context(websockets.connect(url))
            return Client(socket, json.loads(await socket.recv())[1], url)

        yield connect


@pytest.mark.parametrize("fault", ["hang", "die", "garbage", "other"])
async def test_a_bad_program_is_replaced_and_its_events_are_refused(
    fault: str, script: Path, people, monkeypatch
) -> None:
    monkeypatch.setattr("volok.relay.plugin._PAUSE_FIRST", 0.0)
    metrics = Metrics()
    plugin = Plugin(str(script), 60.0, lambda: NOW, metrics)
    try:
        assert await plugin.judge([Submission(people[0].event(1, "fine"))]) == [None]
        first = plugin._process
        assert first is not None
        batch = [Submission(people[0].event(1, text)) for text in ("fine 1", fault, "fine 2")]
        judging = asyncio.create_task(plugin.judge(batch))
        if fault == "hang":
            async with asyncio.timeout(60):
                while len(notes(script)) < 3:
                    await asyncio.sleep(0.01)
            minutes_pass(monkeypatch)
        rulings = await judging
        assert all(isinstance(r, Refusal) and r.prefix is Prefix.ERROR for r in rulings)
        assert metrics.plugin_failures == 1
        assert first.returncode is not None
        assert await plugin.judge([Submission(people[0].event(1, "again"))]) == [None]
    finally:
        await plugin.close()


async def test_a_program_that_cannot_start_is_not_started_all_the_time(people) -> None:
    metrics = Metrics()
    plugin = Plugin("/nonexistent/policy", 5.0, lambda: NOW, metrics)
    for _ in range(3):
        (ruling,) = await plugin.judge([Submission(people[0].event())])
        assert isinstance(ruling, Refusal)
        assert ruling.prefix is Prefix.ERROR
    assert metrics.plugin_failures == 1
    await plugin.close()


async def test_a_changed_file_is_started_anew(script: Path, people) -> None:
    plugin = Plugin(str(script), 5.0, lambda: NOW, Metrics())
    try:
        assert await plugin.judge([Submission(people[0].event())]) == [None]
        script.write_text(script.read_text().replace('else "accept"', 'else "reject"'))
        os.utime(script, ns=(1, 1))
        (ruling,) = await plugin.judge([Submission(people[0].event())])
        assert isinstance(ruling, Refusal)
    finally:
        await plugin.close()


async def test_a_shell_command_with_children_ends_whole(
    tmp_path: Path, people, monkeypatch
) -> None:
    pids = tmp_path / "pids"
    plugin = Plugin(f"WORD=x; sleep 600 & echo $! > {pids}; wait", 60.0, lambda: NOW, Metrics())
    judging = asyncio.create_task(plugin.judge([Submission(people[0].event())]))
    async with asyncio.timeout(60):
        while plugin._process is None or not (pids.exists() and pids.read_text()):
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.01)  # it waits for the answer now
    minutes_pass(monkeypatch)
    (ruling,) = await judging
    assert isinstance(ruling, Refusal)
    child = int(pids.read_text())
    async with asyncio.timeout(60):
        while Path(f"/proc/{child}").exists() and "Z" not in _state(child):
            await asyncio.sleep(0.01)


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return "Z"
