"""Shares of the event loop: who brings little does not wait for who brings much."""

from __future__ import annotations

import asyncio

import pytest

from volok.relay.shares import SHARE_SECONDS, Account, Shares, shares_of


class Work:
    """Work of one connection that takes a share each time, on a clock of its own."""

    def __init__(self, name: str, shares: Shares, times: int, log: list[str]) -> None:
        self.name, self.shares, self.left, self.log = name, shares, times, log
        self.account = Account()
        self.cost = SHARE_SECONDS
        self.done = asyncio.Event()

    def begin(self) -> None:
        self.shares.add(self.account, self.take)

    def take(self) -> None:
        self.log.append(self.name)
        Clock.now += self.cost
        self.left -= 1
        if self.left:
            self.begin()
        else:
            self.done.set()


class Clock:
    now = 0.0


def new_shares() -> Shares:
    return Shares(asyncio.get_running_loop(), lambda: Clock.now)


async def test_those_who_wait_take_turns():
    shares, log = new_shares(), list[str]()
    works = [Work(name, shares, 3, log) for name in "abc"]
    for work in works:
        work.begin()
    assert shares.is_busy
    await asyncio.gather(*(work.done.wait() for work in works))
    assert "".join(log) == "abcabcabc"
    assert not shares.is_busy


async def test_what_takes_longer_comes_less_often():
    shares, log = new_shares(), list[str]()
    slow, quick = Work("s", shares, 10, log), Work("q", shares, 40, log)
    slow.cost = 4 * SHARE_SECONDS
    slow.begin()
    quick.begin()
    await asyncio.gather(slow.done.wait(), quick.done.wait())
    half = log[: len(log) // 2]
    assert abs(half.count("q") - 4 * half.count("s")) <= 4


async def test_who_pauses_is_served_before_a_flood():
    shares, log = new_shares(), list[str]()
    floods = [Work(name, shares, 500, log) for name in "ABCD"]
    for flood in floods:
        flood.begin()
    for _ in range(5):
        await asyncio.sleep(0)
    honest = Work("h", shares, 4, log)
    before = len(log)
    honest.begin()
    await honest.done.wait()
    assert log[before:].count("h") == 4
    assert len(log) - before <= 4 + len(floods)
    await asyncio.gather(*(flood.done.wait() for flood in floods))


async def test_one_turn_of_the_loop_is_short_for_all_together():
    shares, log = new_shares(), list[str]()
    works = [Work(str(number), shares, 5, log) for number in range(100)]
    for work in works:
        work.begin()
    await asyncio.sleep(0)
    assert 0 < len(log) < 20
    await asyncio.gather(*(work.done.wait() for work in works))
    assert len(log) == 500


@pytest.mark.own_time
async def test_suspects_have_a_part_of_the_time_and_nobody_waits_for_them():
    loop, spent = asyncio.get_running_loop(), 0.0
    shares = Shares(loop, lambda: loop.time() + spent)
    suspects = [Work(name, shares, 1_000_000, []) for name in "ABCD"]

    def busy(work: Work) -> None:
        nonlocal spent
        spent += 0.002
        shares.add(work.account, lambda: busy(work))

    begun = shares.clock()
    for suspect in suspects:
        suspect.account.is_suspect = True
        shares.add(suspect.account, lambda suspect=suspect: busy(suspect))
    assert not shares.is_busy
    await asyncio.sleep(0.2)
    assert 0 < spent < (shares.clock() - begun) / 4
    await asyncio.wait_for(shares.turn(Account()), 1)


async def test_a_turn_comes_at_once_while_nobody_waits_and_in_turn_otherwise():
    shares, log = new_shares(), list[str]()
    await shares.turn(Account())
    work = Work("w", shares, 50, log)
    work.begin()
    await shares.turn(Account())
    assert 0 < len(log) < 50
    given_up = asyncio.ensure_future(shares.turn(Account()))
    await asyncio.sleep(0)
    given_up.cancel()
    await work.done.wait()


async def test_all_of_one_loop_share_it():
    loop = asyncio.get_running_loop()
    assert shares_of(loop) is shares_of(loop)
