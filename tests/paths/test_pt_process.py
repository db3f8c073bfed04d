"""Programs of transports that work, hang, die, lie and talk nonsense."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from tests.own_time import minutes_pass

from volok.paths.pt_dialogue import Dialogue, Method, TransportFailed, client_environment
from volok.paths.pt_process import ProgramSettings, TransportProgram

PATIENT = ProgramSettings(60.0, stop_wait=60.0, pause_first=60.0, stable_after=1000.0)
KILLING = replace(PATIENT, stop_wait=1.0)
"""For programs that do not end when they are asked to."""
READY = "echo VERSION 1; echo CMETHOD obfs4 socks5 127.0.0.1:1080; echo CMETHODS DONE; "


async def written(file: Path) -> str:
    """What a program wrote into a file, once it did."""
    async with asyncio.timeout(60):
        while not (file.exists() and file.read_text()):
            await asyncio.sleep(0.01)
    return file.read_text()


def program(state: Path, script: str, settings: ProgramSettings = PATIENT) -> TransportProgram:
    return TransportProgram(
        ("/bin/sh", "-c", script),
        state / "state",
        partial(Dialogue, "obfs4", False),
        client_environment("obfs4"),
        settings,
    )


async def test_it_is_told_what_the_protocol_says_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example")
    monkeypatch.setenv("VOLOK_PASSPHRASE_FILE", "/secret")
    made = program(tmp_path, f"env > env.txt; {READY} cat > stdin.txt")
    assert await made.ready() == Method("127.0.0.1", 1080)
    assert await made.ready() == Method("127.0.0.1", 1080)
    told = (tmp_path / "state" / "env.txt").read_text()
    assert "TOR_PT_MANAGED_TRANSPORT_VER=1\n" in told
    assert f"TOR_PT_STATE_LOCATION={tmp_path / 'state'}\n" in told
    assert "TOR_PT_EXIT_ON_STDIN_CLOSE=1\n" in told
    assert "TOR_PT_CLIENT_TRANSPORTS=obfs4\n" in told
    assert "PROXY=" not in told
    assert "VOLOK" not in told
    await made.close()
    # It was asked to end by the end of its input, and did.
    assert (tmp_path / "state" / "stdin.txt").read_text() == ""
    with pytest.raises(TransportFailed, match="stopped"):
        await made.ready()


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("exit 3", "ended at once"),
        ("echo VERSION 1; exec sleep 100", "does not get ready"),
        ("yes", "coming to the point"),
        ("head -c 100000 /dev/zero; sleep 1", "coming to the point"),
        ("head -c 3000 /dev/urandom; echo; sleep 100", "does not get ready|coming to the point"),
        ("echo CMETHOD-ERROR obfs4 no", "does not know"),
    ],
)
async def test_what_does_not_work_is_said_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, said: str
) -> None:
    made = program(tmp_path, f"echo $$ > pid; {script}", KILLING)
    starting = asyncio.create_task(made.ready())
    pid = int(await written(tmp_path / "state" / "pid"))
    if "get ready" in said:
        while made._process is None:
            await asyncio.sleep(0.01)
        minutes_pass(monkeypatch)
    with pytest.raises(TransportFailed, match=said):
        await starting
    # Nothing of it is left.
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 0)
        pytest.fail("The program still runs.")
    # At once it is not even started again.
    (tmp_path / "state" / "pid").unlink()
    with pytest.raises(TransportFailed, match=said):
        await made.ready()
    assert not (tmp_path / "state" / "pid").exists()
    await made.close()


async def test_one_that_dies_is_started_again_after_a_pause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = program(tmp_path, f"echo $$ >> pids; {READY} exec cat")
    await made.ready()
    os.kill(int((tmp_path / "state" / "pids").read_text()), signal.SIGKILL)
    await made.ended()
    with pytest.raises(TransportFailed, match="started again"):
        await made.ready()
    minutes_pass(monkeypatch)
    await made.ready()
    assert len((tmp_path / "state" / "pids").read_text().split()) == 2
    await made.close()


async def test_what_it_says_later_does_not_stop_it(tmp_path: Path) -> None:
    script = f"{READY} head -c 300000 /dev/zero; touch over; exec cat"
    made = program(tmp_path, script)
    await made.ready()
    async with asyncio.timeout(60):
        while not (tmp_path / "state" / "over").exists():
            await asyncio.sleep(0.02)
    await made.close()


async def test_one_that_ignores_the_end_of_its_input_is_killed(tmp_path: Path) -> None:
    script = f"echo $$ > pid; trap '' TERM; {READY} while :; do sleep 1; done"
    made = program(tmp_path, script, KILLING)
    await made.ready()
    pid = int((tmp_path / "state" / "pid").read_text())
    await made.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_one_that_is_not_there(tmp_path: Path) -> None:
    made = TransportProgram(
        (str(tmp_path / "nothing"),), tmp_path, partial(Dialogue, "obfs4", False), {}, PATIENT
    )
    with pytest.raises(TransportFailed, match="cannot be started"):
        await made.ready()
    await made.close()
