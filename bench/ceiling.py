"""The cryptography-only ceilings: what would be carried if nothing but cryptography were done.

For each message, with the libraries and the sizes of the real path: Olm encryption and decryption,
HPKE sealing and opening of the smallest bucket, a fresh BIP-340 key and its signature, one
verification at the relay and one at the receiver. Keys and ratchets stay loaded in memory; nothing
is parsed, stored or sent. Two ceilings are measured:

- *of the pair*: three processes, the sender's, the relay's and the receiver's, do their own part of
  the same number of messages side by side, on the same cores as the real ones. The slowest says how
  many messages two nodes and a relay could exchange: a ratchet goes from message to message, so
  that a conversation cannot be spread over cores.
- *of the machine*: as many processes as there are cores do all parts, and their rates are added up.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from volok.model.crypto import Crypto, OlmSession
from volok.model.envelope import BUCKETS
from volok.native import NativeCrypto

INFO = b"volok envelope 1" + bytes(32)
FRAME_HEAD = 113 + 140
"""Bytes that the payload's header, its JSON and the content id put around a text."""
ROLES = ("sender", "relay", "receiver")


@dataclass(frozen=True, slots=True)
class Ceiling:
    """Messages per second, and the CPU that one message took when all parts were done at once."""

    pair: float
    machine: float
    cpu: float
    """Milliseconds."""


@dataclass(frozen=True, slots=True)
class _Sealed:
    length: int
    sealed: bytes
    public: bytes
    name: bytes
    signature: bytes


class _Pair:
    """Two people with a session that goes both ways."""

    def __init__(self, crypto: Crypto, text: int) -> None:
        self.crypto = crypto
        self.sealing = crypto.sealing_key()
        alice, bob = crypto.new_account(), crypto.new_account()
        self.sender: OlmSession = alice.outbound(bob.identity_key, bob.new_one_time_key())
        self.receiver, _ = bob.inbound(alice.identity_key, self.sender.encrypt(b"first"))
        self.sender.decrypt(self.receiver.encrypt(b"answer"))
        self._plaintext = bytes(FRAME_HEAD + text)

    async def send(self) -> _Sealed:
        crypto = self.crypto
        frame = self.sender.encrypt(self._plaintext)
        padded = frame.ljust(BUCKETS[0], b"\0")
        sealed = await crypto.seal(self.sealing.public, INFO, padded)
        secret, name = crypto.random(32), hashlib.sha256(sealed).digest()
        public, signature = crypto.public_key(secret), crypto.sign(secret, name)
        return _Sealed(len(frame), sealed, public, name, signature)

    def relay(self, one: _Sealed) -> None:
        assert self.crypto.verify(one.public, one.name, one.signature)

    async def receive(self, one: _Sealed) -> None:
        assert self.crypto.verify(one.public, one.name, one.signature)
        opened = await self.crypto.open(self.sealing.secret, INFO, one.sealed)
        self.receiver.decrypt(opened[: one.length])


async def _whole(pair: _Pair, count: int) -> None:
    for _ in range(count):
        one = await pair.send()
        pair.relay(one)
        await pair.receive(one)


async def _part(pair: _Pair, role: str, given: Sequence[_Sealed], count: int) -> None:
    for number in range(count):
        if role == "sender":
            await pair.send()
        elif role == "relay":
            pair.relay(given[number])
        else:
            await pair.receive(given[number])


async def _work(role: str, text: int, count: int) -> None:
    pair = _Pair(NativeCrypto(), text)
    given = [await pair.send() for _ in range(count)] if role in ("relay", "receiver") else []
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    start, cpu = time.perf_counter(), time.process_time()
    await (_whole(pair, count) if role == "whole" else _part(pair, role, given, count))
    print(time.perf_counter() - start, time.process_time() - cpu, flush=True)


async def _side_by_side(roles: Sequence[str], text: int, count: int) -> list[tuple[float, float]]:
    """Seconds and CPU seconds of each, all started together."""
    workers = [
        await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "bench.ceiling", role, str(text), str(count)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        for role in roles
    ]
    for worker in workers:
        assert worker.stdout is not None
        assert await worker.stdout.readline() == b"ready\n"
    answers = await asyncio.gather(*(worker.communicate(b"go\n") for worker in workers))
    printed = [tuple(map(float, out.split())) for out, _ in answers]
    return [(seconds, cpu) for seconds, cpu in printed]


async def ceiling(text: int, count: int) -> Ceiling:
    """Both ceilings for texts of `text` bytes, measured with `count` messages."""
    pair = await _side_by_side(ROLES, text, count)
    cores = len(os.sched_getaffinity(0))
    machine = await _side_by_side(["whole"] * cores, text, count)
    return Ceiling(
        pair=count / max(seconds for seconds, _ in pair),
        machine=sum(count / seconds for seconds, _ in machine),
        cpu=statistics.mean(cpu for _, cpu in machine) * 1000 / count,
    )


if __name__ == "__main__":
    asyncio.run(_work(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
