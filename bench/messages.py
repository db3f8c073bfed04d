"""Messages between two nodes through a relay: real processes, real sockets, real files."""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import sys
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.ceiling import Ceiling, ceiling
from bench.proc import cpu_ms
from bench.wire import wire_to
from tests.end_to_end.processes import NodeProcess, RelayProcess

from volok.app.remote import Remote

TEXT = 100
"""Bytes of each text."""
_POLL = 0.05
_PATIENCE = 120.0


@dataclass(slots=True)
class Rounds:
    """What some rounds of throughput gave, in the order in which they ran."""

    rates: list[float]
    """Messages per second, from the first call of send to the last commit at the receiver."""
    ceilings: list[Ceiling]
    cpu: dict[str, list[float]]
    """Milliseconds of CPU per message, by process; the ceiling's beside them."""

    @property
    def share(self) -> float:
        """The part of the pair's ceiling that was reached: the median of the rounds' own ratios."""
        pairs = zip(self.rates, self.ceilings, strict=True)
        return statistics.median(rate / ceiling.pair for rate, ceiling in pairs)

    @property
    def share_of_machine(self) -> float:
        """The same beside the machine's ceiling."""
        pairs = zip(self.rates, self.ceilings, strict=True)
        return statistics.median(rate / ceiling.machine for rate, ceiling in pairs)


@contextlib.asynccontextmanager
async def pair(folder: Path) -> AsyncIterator[tuple[NodeProcess, NodeProcess, RelayProcess]]:
    """Alice and Bob, who know each other, both up, and their relay."""
    async with contextlib.AsyncExitStack() as stack:
        relay = await RelayProcess.on(folder / "relay")
        stack.push_async_callback(relay.stop)
        nodes = [await _node(stack, folder, name, relay.url) for name in ("Alice", "Bob")]
        await introduce(*nodes)
        yield nodes[0], nodes[1], relay


async def _node(
    stack: contextlib.AsyncExitStack, folder: Path, name: str, relay: str
) -> NodeProcess:
    node = await NodeProcess.of(folder, name, relay)
    stack.push_async_callback(node.stop)
    return node


async def introduce(alice: NodeProcess, bob: NodeProcess) -> None:
    """Let Bob accept an invite of Alice's, and wait until both sides have answered."""
    async with alice.remote() as at_alice, bob.remote() as at_bob:
        invite = await at_alice.invite(7, False, None)
        await at_bob.accept(invite["link"])
        await _until_known(at_alice, "Bob")
        await _until_known(at_bob, "Alice")


async def _until_known(remote: Remote, name: str) -> None:
    async with asyncio.timeout(_PATIENCE):
        while not any(
            person["name"] == name and person["state"] == "active"
            for person in await remote.contacts()
        ):
            await asyncio.sleep(_POLL)


async def throughput(folder: Path, count: int, rounds: int) -> Rounds:
    """Alice is a bot with a node of its own (`volok.Node`), Bob's node is up (`volok up`).

    Each round measures the ceilings of `count` messages, then queues `count` texts at once.
    """
    names = ("sender", "relay", "receiver", "cryptography alone")
    result = Rounds([], [], {name: [] for name in names})
    async with pair(folder) as (alice, bob, relay), bob.remote() as at_bob:
        await alice.stop()
        async with bot(alice.home, "Bob") as sender:
            pids = {"sender": sender.pid, "relay": pid(relay), "receiver": pid(bob)}
            await _burst(sender, at_bob, 100, 100)  # everything is loaded and connected
            for turn in range(rounds):
                most = await ceiling(TEXT, count)
                result.ceilings.append(most)
                result.cpu["cryptography alone"].append(most.cpu)
                before = {name: cpu_ms(number) for name, number in pids.items()}
                passed = await _burst(sender, at_bob, count, 100 + count * (turn + 1))
                result.rates.append(count / passed)
                for name, number in pids.items():
                    result.cpu[name].append((cpu_ms(number) - before[name]) / count)
                await asyncio.sleep(3.0)  # receipts and deletions settle; they are not counted
    return result


@contextlib.asynccontextmanager
async def bot(home: Path, contact: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A bot that sends on demand."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "bench.bot", str(home), contact, str(TEXT)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        await _heard(process, b"ready\n")
        yield process
    finally:
        process.kill()
        await process.wait()


async def _heard(process: asyncio.subprocess.Process, line: bytes) -> None:
    assert process.stdout is not None
    heard = await asyncio.wait_for(process.stdout.readline(), _PATIENCE)
    assert heard == line, "the bot has failed"


async def _burst(
    sender: asyncio.subprocess.Process, at_bob: Remote, count: int, total: int
) -> float:
    """Seconds from the word to send `count` texts until Bob's vault holds `total`."""
    assert sender.stdin is not None
    start = time.perf_counter()
    sender.stdin.write(b"%d\n" % count)
    async with asyncio.timeout(_PATIENCE):
        while missing := total - int((await at_bob.contacts())[0]["unread"]):
            # Asking costs Bob's node time: the rarer, the more is missing.
            await asyncio.sleep(min(max(missing / 2000, 0.02), 0.5))
    passed = time.perf_counter() - start
    await _heard(sender, b"sent\n")
    return passed


async def latency(
    folder: Path, count: int, per_second: float
) -> tuple[list[float], dict[str, float]]:
    """Both nodes are up; a program sends through one control channel and listens at the other.

    Returns the milliseconds from the call of send until `incoming` gives the message, for each; and
    the milliseconds of CPU per message by process.
    """
    delays: list[float] = []
    async with (
        pair(folder) as (alice, bob, relay),
        alice.remote() as at_alice,
        bob.remote() as at_bob,
    ):
        pids = {"sender": pid(alice), "relay": pid(relay), "receiver": pid(bob)}
        came = at_bob.incoming().__aiter__()
        before: dict[str, float] = {}
        for number in range(-5, count):
            if number == 0:
                before = {name: cpu_ms(process) for name, process in pids.items()}
            text = f"{number} ".ljust(TEXT, "x")
            start = time.perf_counter()
            sent = asyncio.create_task(at_alice.send("Bob", text, []))
            message = await asyncio.wait_for(anext(came), _PATIENCE)
            passed = time.perf_counter() - start
            assert message["text"] == text
            await sent
            if number >= 0:
                delays.append(passed * 1000)
            await asyncio.sleep(max(0.0, start + 1 / per_second - time.perf_counter()))
        cpu = {name: (cpu_ms(process) - before[name]) / count for name, process in pids.items()}
    return delays, cpu


async def bytes_up(folder: Path, count: int, per_second: float) -> dict[str, float]:
    """Bytes of TCP payload that the sender's node writes to and reads from its relay, per text.

    Receipts that come back, and the requests to delete them, are among them.
    """
    async with contextlib.AsyncExitStack() as stack:
        relay = await RelayProcess.on(folder / "relay")
        stack.push_async_callback(relay.stop)
        wire = await stack.enter_async_context(wire_to(relay.url))
        alice = await _node(stack, folder, "Alice", wire.url)
        bob = await _node(stack, folder, "Bob", wire.url)
        await introduce(alice, bob)
        await asyncio.sleep(3.0)  # what the introduction brought about is over
        counts = wire.of(pid(alice))
        before = sum(c.up for c in counts), sum(c.down for c in counts)
        async with alice.remote() as at_alice:
            for number in range(count):
                await at_alice.send("Bob", f"{number} ".ljust(TEXT, "x"), [])
                await asyncio.sleep(1 / per_second)
        await asyncio.sleep(4.0)  # receipts, and what is asked about them
        assert [c.port for c in wire.of(pid(alice))] == [c.port for c in counts], "reconnected"
        return {
            "up": (sum(c.up for c in counts) - before[0]) / count,
            "down": (sum(c.down for c in counts) - before[1]) / count,
        }


def pid(process: NodeProcess | RelayProcess) -> int:
    """The id of a program's process."""
    assert process.process is not None
    return process.process.pid


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` of all values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
