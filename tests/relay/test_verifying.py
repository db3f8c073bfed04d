"""Signatures are checked in processes of their own, and by threads when one is killed."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from volok.app import verify_process
from volok.model.event import Event, sign_event
from volok.native import NativeCrypto
from volok.relay.verifying import Verifying, VerifyingProcesses, VerifyingThreads

CRYPTO = NativeCrypto()
SECRET = bytes([3]) * 32


def events(count: int, label: str) -> list[Event]:
    return [sign_event(CRYPTO, SECRET, 1, 1, [], f"{label} {number}") for number in range(count)]


def children() -> list[int]:
    found = []
    for task in Path("/proc/self/task").iterdir():
        for word in (task / "children").read_text().split():
            if verify_process.MODULE.encode() in Path(f"/proc/{word}/cmdline").read_bytes():
                found.append(int(word))
    return found


@pytest.fixture(params=["threads", "processes"])
async def verifying(request: pytest.FixtureRequest) -> AsyncIterator[Verifying]:
    made: Verifying
    if request.param == "threads":
        made = VerifyingThreads(CRYPTO)
    else:
        made = await VerifyingProcesses.open(verify_process.MODULE, 2, CRYPTO)
    yield made
    await made.aclose()
    assert not children()


async def test_the_forged_are_found(verifying: Verifying) -> None:
    good = events(5, "good")
    forged = replace(good[0], sig="00" * 64), replace(good[1], content="other")
    batch = [*good, *forged]
    expected = [True] * 5 + [False] * 2
    async with asyncio.timeout(30):
        found = await asyncio.gather(*(verifying.genuine(batch) for _ in range(8)))
    assert [list(one) for one in found] == [expected] * 8


async def test_one_or_two_that_are_urgent_wait_for_nobody() -> None:
    good, *_ = events(1, "urgent")
    forged = replace(good, sig="00" * 64)
    verifying = VerifyingThreads(CRYPTO)
    await verifying.aclose()  # whoever asks a thread now is told so
    assert list(await verifying.genuine([good, forged], is_urgent=True)) == [True, False]
    with pytest.raises(RuntimeError):
        await verifying.genuine([good, forged])


async def test_killed_in_the_middle_threads_go_on_and_another_one_comes() -> None:
    made = await VerifyingProcesses.open(verify_process.MODULE, 1, CRYPTO)
    batch = events(64, "many")
    async with asyncio.timeout(60):
        asked = [asyncio.create_task(made.genuine(batch)) for _ in range(20)]
        await asyncio.sleep(0)
        (killed,) = children()
        os.kill(killed, signal.SIGKILL)
        assert all([all(await one) for one in asked])
        while not children():
            assert all(await made.genuine(batch))
        assert children() != [killed]
        assert all(await made.genuine(batch))
    await made.aclose()
