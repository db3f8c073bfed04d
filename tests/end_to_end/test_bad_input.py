"""What goes wrong around two people who talk: a sentence each, and nothing lost."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from tests.end_to_end.nodes import Person, meet
from tests.sync.world import OurRelay
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

from volok.app.errors import sentence
from volok.app.wiring import MIGRATIONS
from volok.chat.views import ChatError, FileState, Message, Outgoing
from volok.relay.settings import RelaySettings
from volok.store.file_blobs import FileBlobs
from volok.store.vault import VaultTooNew
from volok.store.vault_connection import Migration

Make = Callable[..., Awaitable[Person]]
UNSHARE = ("unshare", "--user", "--map-root-user", "--mount")
HOUR = 3600
DAY = 24 * HOUR
FILE = bytes(range(256)) * 300


@pytest.fixture
async def people(tmp_path: Path) -> AsyncIterator[Make]:
    """Makes people, and ends their nodes."""
    async with AsyncExitStack() as stack:

        async def make(name: str, *relays: str, ahead: float = 0) -> Person:
            person = await Person.with_relays(
                tmp_path, name, *relays, clock=lambda: time.time() + ahead
            )
            stack.push_async_callback(person.leave)
            return person

        yield make


async def becomes(person: Person, message: Message, state: str) -> Message:
    """A message of ours, once it has come so far."""

    async def so_far() -> bool:
        return (await person.chat.message(message.id)).state.value == state

    await person.until(so_far)
    return await person.chat.message(message.id)


# The disk


def test_a_disk_that_is_full(tmp_path: Path) -> None:
    disk, folder = tmp_path / "disk", tmp_path / "folder"
    disk.mkdir()
    folder.mkdir()
    mount = f"mount -t tmpfs -o size=6m volok {disk}"
    if subprocess.run([*UNSHARE, "sh", "-c", mount], capture_output=True, check=False).returncode:
        pytest.skip("This machine lets us mount nothing.")
    script = "tests.end_to_end.full_disk_process"
    command = f'{mount} && exec "{sys.executable}" -m {script} "{disk}" "{folder}"'
    done = subprocess.run(
        [*UNSHARE, "sh", "-c", command],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert done.stdout.splitlines()[-1:] == ["nothing lost"], done.stderr


async def test_a_file_that_vanished_before_it_was_carried(people: Make, tmp_path: Path) -> None:
    async with OurRelay(tmp_path / "relay").running() as url:
        ana, bo = await people("Ana", url), await people("Bo", url)
        await meet(ana, bo)
        await ana.leave()
        ana.background = False
        await ana.come_back()
        file = Outgoing("map.bin", "application/octet-stream", FILE)
        sent = await ana.chat.send(await ana.to("Bo"), "the map", files=[file])
        for blob in (tmp_path / "Ana" / "blobs").rglob("*"):
            if blob.is_file():
                blob.unlink()
        await ana.node.sync_round(10)
        await bo.until_there("Ana", "the map")
        problem = (await ana.chat.message(sent.id)).problem or ""
        assert "gone from this computer" in problem
        assert "Send it again" in problem


# Invites


async def test_an_invite_that_has_expired(people: Make) -> None:
    ana, late = await people("Ana"), await people("Late", ahead=8 * DAY)
    invite = await ana.chat.invite(days=7)
    data = await ana.chat.invite_file(invite.id)
    with pytest.raises(ChatError, match=r"has expired\. Ask for a new one"):
        await late.chat.accept_file(data)
    assert await late.chat.contacts() == []


async def test_an_invite_that_was_revoked(people: Make, tmp_path: Path) -> None:
    async with OurRelay(tmp_path / "relay").running() as url:
        ana, bo = await people("Ana", url), await people("Bo")
        invite = await ana.chat.invite()
        await ana.node.sync_round(10)
        await ana.chat.revoke(invite.id)
        await ana.node.sync_round(10)
        with pytest.raises(ChatError, match=r"revoked.* Ask for a new one"):
            await bo.chat.accept(invite.link)
        assert await bo.chat.contacts() == []


async def test_an_invite_file_that_was_altered(people: Make) -> None:
    ana, bo = await people("Ana"), await people("Bo")
    data = await ana.chat.invite_file((await ana.chat.invite()).id)
    middle = len(data) // 2
    for broken in (data[:middle], data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]):
        with pytest.raises(ChatError, match=r"damaged\. Ask for it again"):
            await bo.chat.accept_file(broken)
    assert await bo.chat.contacts() == []
    await bo.chat.accept_file(data)


# The vault


async def test_a_vault_of_a_newer_version(
    people: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ana, bo = await people("Ana"), await people("Bo")
    await bo.chat.accept_file(await ana.chat.invite_file((await ana.chat.invite()).id))
    await bo.say("Ana", "kept")
    await bo.leave()
    later = Migration(len(MIGRATIONS) + 1, ("CREATE TABLE later (x)",))
    with monkeypatch.context() as newer:
        newer.setattr("volok.app.wiring.MIGRATIONS", (*MIGRATIONS, later))
        await bo.come_back()
        await bo.leave()
    before = (tmp_path / "Bo" / "vault.db").read_bytes()
    with pytest.raises(VaultTooNew) as refused:
        await bo.come_back()
    assert "Update Volok" in sentence(refused.value)
    assert (tmp_path / "Bo" / "vault.db").read_bytes() == before
    with monkeypatch.context() as newer:
        newer.setattr("volok.app.wiring.MIGRATIONS", (*MIGRATIONS, later))
        await bo.come_back()
    assert await bo.texts("Ana") == ["kept"]


# The clock


@pytest.mark.parametrize("ahead", [5 * HOUR, -5 * HOUR])
async def test_a_clock_that_is_hours_off(people: Make, tmp_path: Path, ahead: float) -> None:
    relay = OurRelay(tmp_path / "relay")
    async with relay.running() as url:
        ana = await people("Ana", url, ahead=ahead)
        bo, cy = await people("Bo", url), await people("Cy", url)
        await meet(ana, bo)
        await meet(cy, ana)
        spoken: list[str] = []
        await _speak(spoken, *[(ana, bo), (bo, ana)] * 12)
        file = Outgoing("map.bin", "application/octet-stream", FILE)
        for one, other in ((ana, bo), (bo, ana)):
            sent = await one.chat.send(await one.to(other.name), "a file", files=[file])
            await other.until(lambda to=other, of=sent: _ready(to, of))
            await other.chat.seen(await other.to(one.name))
        await asyncio.gather(ana.until_states("Bo", "read"), bo.until_states("Ana", "read"))
    assert len(await FileBlobs(relay.folder).names()) == 2  # neither had to travel as frames


async def test_a_clock_that_is_put_right(people: Make, tmp_path: Path) -> None:
    async with OurRelay(tmp_path / "relay").running() as url:
        ana, bo = await people("Ana", url, ahead=5 * HOUR), await people("Bo", url)
        await meet(ana, bo)
        spoken: list[str] = []
        await _speak(spoken, (ana, bo), (bo, ana))
        await ana.leave()
        ana.clock = time.time
        await ana.come_back()
        await _speak(spoken, (bo, ana), (bo, ana), (bo, ana), (ana, bo), (bo, ana), (ana, bo))


async def _speak(spoken: list[str], *turns: tuple[Person, Person]) -> None:
    """Say something in turns; both see all that was spoken in the same order."""
    for one, other in turns:
        spoken.append(f"{one.name} {len(spoken)}")
        await one.say(other.name, spoken[-1])
        await other.until_there(one.name, *spoken)
        assert await one.texts(other.name) == spoken


async def test_what_waited_longer_than_relays_keep_it(people: Make, tmp_path: Path) -> None:
    relay = OurRelay(tmp_path / "relay")
    async with relay.running() as url:
        ana, bo = await people("Ana", url), await people("Bo", url)
        await meet(ana, bo)
        await ana.leave()
    ana.clock = lambda: time.time() - 40 * DAY
    await ana.come_back()
    message = await ana.say("Bo", "from long ago")
    assert message.state.value == "queued"
    await ana.leave()
    ana.clock = time.time
    await ana.come_back()
    async with relay.running():
        await bo.until_there("Ana", "from long ago")
        assert (await becomes(ana, message, "delivered")).problem is None


async def _ready(person: Person, sent: Message) -> bool:
    try:
        (file,) = (await person.chat.message(sent.id)).files
    except ChatError:
        return False
    return file.state is FileState.READY


# Relays


class Gate:
    """A relay in front of ours that takes no message while it is shut."""

    def __init__(self, behind: str) -> None:
        self._behind = behind
        self.refusal: str | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        async with serve(self._pass, "127.0.0.1", 0) as server:
            yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    async def _pass(self, client: ServerConnection) -> None:
        async with connect(self._behind) as relay:

            async def back() -> None:
                async for frame in relay:
                    await client.send(frame)

            task = asyncio.create_task(back())
            try:
                async for frame in client:
                    kind, *rest = json.loads(frame)
                    if kind == "EVENT" and self.refusal is not None:
                        await client.send(json.dumps(["OK", rest[0]["id"], False, self.refusal]))
                    else:
                        await relay.send(frame)
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)


async def test_a_relay_that_refuses(people: Make, tmp_path: Path) -> None:
    ours = OurRelay(tmp_path / "relay")
    async with ours.running() as behind:
        gate = Gate(behind)
        async with gate.running() as url:
            ana, bo = await people("Ana", url), await people("Bo", url)
            await meet(ana, bo)
            gate.refusal = "blocked: you are not welcome here"
            first = await becomes(ana, await ana.say("Bo", "first"), "failed")
            assert first.problem is not None
            assert "refuses this message" in first.problem
            assert "add another relay" in first.problem
            assert await ana.chat.waiting() == 1

            # Both do what the sentence says.
            gate.refusal = None
            await bo.node.add_relay(behind)
            await bo.until_there("Ana", "first")
            second = await ana.say("Bo", "second")
            await bo.until_there("Ana", "first", "second")
            assert (await becomes(ana, first, "delivered")).problem is None
            assert (await becomes(ana, second, "delivered")).problem is None


async def test_a_relay_that_thinks_better_of_it(people: Make, tmp_path: Path) -> None:
    async with OurRelay(tmp_path / "relay").running() as behind:
        gate = Gate(behind)
        async with gate.running() as url:
            ana, bo = await people("Ana", url), await people("Bo", url)
            await meet(ana, bo)
            gate.refusal = "blocked: not now"
            first = await becomes(ana, await ana.say("Bo", "first"), "failed")
            await ana.chat.react(first.id, "👍")
            await becomes(ana, await ana.say("Bo", "second"), "failed")
            gate.refusal = None
            third = await ana.say("Bo", "third")
            await bo.until_there("Ana", "first", "second", "third")
            assert [r.emoji for r in (await bo.chat.message(first.id)).reactions] == ["👍"]
            assert (await becomes(ana, first, "delivered")).problem is None
            await becomes(ana, third, "delivered")
            assert await ana.chat.waiting() == 0


async def test_a_relay_that_limits_size(people: Make, tmp_path: Path) -> None:
    tiny = OurRelay(tmp_path / "tiny")
    large = OurRelay(tmp_path / "large")
    async with large.running() as large_url:
        async with tiny.running() as url:
            ana, bo = await people("Ana", large_url), await people("Bo", url)
            await meet(ana, bo)
        tiny.settings = RelaySettings(max_content_length=2000)
        async with tiny.running():
            first = await becomes(ana, await ana.say("Bo", "first"), "failed")
            assert first.problem is not None
            assert "messages of this size" in first.problem
            assert "add another relay" in first.problem
            await bo.node.add_relay(large_url)
            await bo.until_there("Ana", "first")
            assert (await becomes(ana, first, "delivered")).problem is None
