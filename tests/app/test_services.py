from __future__ import annotations

import asyncio

from volok.app.services import Pulse, Services


async def test_a_task_that_fails_is_counted_and_started_again() -> None:
    services = Services(first_pause=0.001, longest_pause=0.01)
    done = asyncio.Event()
    attempts = 0

    async def work() -> None:
        nonlocal attempts
        attempts += 1
        if attempts < 4:
            raise RuntimeError("no")
        done.set()

    services.start("work", work)
    await asyncio.wait_for(done.wait(), 5)
    await services.stop()
    assert attempts == 4
    assert services.failures["work"] == 3


async def test_stopping_cancels_and_waits() -> None:
    services = Services(1, 1)
    started, ended = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    services.start("work", work)
    await started.wait()
    await services.stop()
    assert ended.is_set()


async def test_a_task_may_stop_the_services_it_belongs_to() -> None:
    services = Services(1, 1)
    stopped = asyncio.Event()

    async def work() -> None:
        await services.stop()
        stopped.set()

    services.start("work", work)
    await asyncio.wait_for(stopped.wait(), 5)


async def test_a_pulse_wakes_all_who_wait_and_nobody_later() -> None:
    pulse = Pulse()
    waiters = [asyncio.create_task(pulse.wait()) for _ in range(3)]
    await asyncio.sleep(0)
    pulse.beat()
    await asyncio.wait_for(asyncio.gather(*waiters), 5)
    later = asyncio.create_task(pulse.wait())
    await asyncio.sleep(0)
    assert not later.done()
    later.cancel()
