"""Messages between processes, and children that end with their parents."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volok.store.children import Child, Messages, Parent, packed

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.binary() | st.text(),
    lambda inner: st.lists(inner) | st.tuples(inner, inner),
)


@given(st.lists(values, max_size=5), st.randoms())
def test_messages_come_whole_however_the_bytes_come(sent: list[Any], dice: Any) -> None:
    data = b"".join(map(packed, sent))
    messages, found, place = Messages(), [], 0
    while place < len(data):
        step = dice.randint(1, 40)
        messages.feed(data[place : place + step])
        found += messages
        place += step
    assert found == sent


def test_what_is_said_to_a_parent_that_has_ended_is_lost() -> None:
    ours, theirs = socket.socketpair()
    parent = Parent(theirs)
    ours.sendall(packed("last"))
    ours.close()
    parent.wait(None)
    assert list(parent.messages()) == ["last"]
    assert parent.wait(None)
    assert parent.has_ended
    parent.say("x" * 10**6)


def test_waiting_has_an_end() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert not Parent(theirs).wait(0.001)


async def test_a_child_outlives_signals_and_ends_when_it_is_told() -> None:
    got: list[Any] = []
    lost = asyncio.Event()
    child = await Child.begin("volok.app.verify_process", got.append, lost.set)
    async with asyncio.timeout(30):
        child.say((1, []))
        while not got:
            await asyncio.sleep(0.01)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(child.pid, number)
        child.say((2, []))
        await child.end()
    assert got == [(1, b""), (2, b"")]
    assert lost.is_set()
    assert child.has_ended


async def test_a_child_that_is_killed_is_missed() -> None:
    lost = asyncio.Event()
    child = await Child.begin("volok.app.verify_process", lambda _: None, lost.set)
    async with asyncio.timeout(30):
        os.kill(child.pid, signal.SIGKILL)
        await lost.wait()
        child.say("nobody hears")
        await child.end()


ORPHAN = """
import asyncio, os, signal
from volok.store.children import Child

async def main():
    child = await Child.begin("volok.app.verify_process", print, print)
    print(child.pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="There is no /proc.")
async def test_a_child_ends_with_a_parent_that_is_killed() -> None:
    made = subprocess.run([sys.executable, "-c", ORPHAN], capture_output=True, check=False)
    assert made.returncode == -signal.SIGKILL
    async with asyncio.timeout(30):
        while os.path.exists(f"/proc/{int(made.stdout)}/fd/0"):
            await asyncio.sleep(0.01)
