"""Allowances: learned from freezes, tried again, kept; sockets that end themselves in time."""

from __future__ import annotations

import asyncio
import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volok.paths.allowances import Allowances
from volok.paths.budget import Allowance, BudgetSettings, BudgetSocket, Meter, learned, on_trial
from volok.paths.choice import Place
from volok.paths.live import Resumable, Socket

pytestmark = pytest.mark.own_time

SETTINGS = BudgetSettings(drain=0.02)
PLACE = Place("here", "relay:443")


def meter(size: int, packets: float) -> Meter:
    made = Meter(SETTINGS)
    made.bytes, made.packets = size, packets
    return made


def test_few_bytes_in_many_packets_are_no_limit_of_bytes() -> None:
    found = learned(None, meter(4851, 23.0), meter(6757, 22.0), 1000.0)
    assert found is not None
    assert found.packets == pytest.approx(16.1)
    assert found.bytes == 8400


class Pipe(Socket):
    """A websocket whose other end answers each frame with `answer`."""

    def __init__(self, answer: str = "OK") -> None:
        self.sent: list[str] = []
        self.answers: asyncio.Queue[str] = asyncio.Queue()
        self.answer = answer
        self.pings = 0

    async def send(self, text: str) -> None:
        self.sent.append(text)
        if self.answer:
            self.answers.put_nowait(self.answer)

    async def receive(self) -> str:
        return await self.answers.get()

    async def ping(self) -> None:
        self.pings += 1

    async def close(self) -> None:
        pass


def test_a_freeze_teaches_seven_tenths_of_what_passed() -> None:
    found = learned(None, meter(15_000, 25.0), meter(20_000, 40.0), 1000.0)
    assert found == Allowance(10_500, 17.5, 1900.0, 900.0)
    # Frozen again within it: less.
    again = learned(found, meter(15_000, 25.0), meter(20_000, 40.0), 2000.0)
    assert again is not None
    assert again.bytes == pytest.approx(7350, abs=1)
    assert again.wait == 1800.0
    # Soon it is of no use.
    assert learned(again, meter(6000, 11.0), meter(6000, 11.0), 3000.0) is None
    assert learned(None, meter(3000, 10.0), meter(3100, 11.0), 0.0) is None


def test_a_trial_that_freezes_leaves_what_was_known_and_waits_longer() -> None:
    allowances = Allowances(SETTINGS)
    assert allowances.of(PLACE, "a", 0.0) == (None, False)
    assert allowances.froze(PLACE, "a", meter(15_000, 25.0), meter(15_000, 25.0), 0.0, False)
    known, trial = allowances.of(PLACE, "a", 10.0)
    assert known is not None
    assert not trial
    larger, trial = allowances.of(PLACE, "a", 901.0)
    assert trial
    assert larger is not None
    assert larger.bytes == 4 * known.bytes
    assert allowances.of(PLACE, "a", 902.0)[1] is False  # one at a time
    assert allowances.froze(PLACE, "a", meter(15_000, 25.0), meter(15_000, 25.0), 903.0, True)
    after, trial = allowances.of(PLACE, "a", 904.0)
    assert after is not None
    assert (after.bytes, after.wait, trial) == (known.bytes, 1800.0, False)


def test_trials_that_pass_lift_the_limit() -> None:
    allowances = Allowances(SETTINGS)
    allowances.froze(PLACE, "a", meter(15_000, 25.0), meter(15_000, 25.0), 0.0, False)
    now = 901.0
    for _ in range(3):
        larger, trial = allowances.of(PLACE, "a", now)
        if larger is None:
            break
        assert trial
        allowances.passed(PLACE, "a", larger, now)
    assert allowances.of(PLACE, "a", now) == (None, False)


def test_allowances_survive_and_nonsense_does_not() -> None:
    allowances = Allowances(SETTINGS)
    allowances.froze(PLACE, "a", meter(15_000, 25.0), meter(15_000, 25.0), 0.0, False)
    rows = json.loads(json.dumps(allowances.dump()))
    again = Allowances(SETTINGS)
    again.load([*rows, None, ["x"] * 7, ["a", "b", "c", 0, 1, 1, 1]], 1.0)
    assert again.dump() == allowances.dump()
    again.load("nonsense", 1.0)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5000)), max_size=60))
def test_whatever_is_sent_the_meter_only_grows(frames: list[tuple[bool, int]]) -> None:
    one = Meter(SETTINGS)
    for pinged, size in frames:
        before = (one.bytes, one.packets)
        if pinged:
            one.pinged()
        else:
            one.count(size)
        assert (one.bytes, one.packets) > before
        assert one.bytes - before[0] >= (0 if pinged else size)


def test_no_trial_before_its_time() -> None:
    known = Allowance(10_000, 20.0, 500.0, 900.0)
    assert on_trial(known, SETTINGS, 499.0) is None
    assert on_trial(known, SETTINGS, 500.0) == Allowance(40_000, 80.0, 500.0, 900.0)


async def test_a_socket_ends_itself_and_loses_no_answer() -> None:
    pipe, size = Pipe(), 2000
    allowance = Allowance(10_000, 1000.0, 0.0, 0.0)
    socket = BudgetSocket(pipe, allowance, SETTINGS, Meter(SETTINGS))
    while not socket.used_up:
        with contextlib.suppress(Resumable):
            await socket.send("x" * size)
    sent = len(pipe.sent)
    assert 1 <= sent <= 3
    with pytest.raises(Resumable):
        await socket.send("more")
    assert [await socket.receive() for _ in range(sent)] == ["OK"] * sent
    with pytest.raises(Resumable):
        await socket.receive()
    assert len(pipe.sent) == sent


async def test_one_frame_always_goes_however_large() -> None:
    pipe = Pipe()
    allowance = Allowance(6000, 12.0, 0.0, 0.0)
    socket = BudgetSocket(pipe, allowance, SETTINGS, Meter(SETTINGS))
    for small in ("a" * 500, "b" * 500):
        await socket.send(small)
    await socket.send("x" * 50_000)
    with pytest.raises(Resumable):
        await socket.send("x")
    assert len(pipe.sent) == 3


async def test_pings_of_a_quiet_connection_use_it_up() -> None:
    settings = BudgetSettings(drain=0.01, ping_interval=0.01)
    allowance = Allowance(100_000, 20.0, 0.0, 0.0)
    socket = BudgetSocket(Pipe(""), allowance, settings, Meter(settings))
    async with asyncio.timeout(2):
        with pytest.raises(Resumable):
            await socket.receive()
