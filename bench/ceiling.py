"""The cryptography-only ceiling: what a message costs if nothing but its cryptography were done.

For each message, with the libraries and the sizes of the real path: Olm encryption and decryption,
HPKE sealing and opening of the smallest bucket, a fresh BIP-340 key and its signature, one
verification at the relay and one at the receiver. Keys and ratchets stay loaded in memory; nothing
is parsed, stored or sent. As many processes as there are cores do this side by side, and their rates
are added up: the most that this machine could carry if all other work were free.
"""

from __future__ import annotations

import asyncio
import hashlib
import multiprocessing
import os
import time

from volok.model.crypto import Crypto
from volok.model.envelope import BUCKETS
from volok.native import NativeCrypto

INFO = b"volok envelope 1" + bytes(32)
FRAME_HEAD = 113 + 140
"""Bytes that the payload's header, its JSON and the content id put around a text."""


async def messages_per_second(crypto: Crypto, text: int, seconds: float) -> float:
    """Do the cryptography of as many messages as fit into `seconds`; `text` is in bytes."""
    sealing = crypto.sealing_key()
    alice, bob = crypto.new_account(), crypto.new_account()
    sender = alice.outbound(bob.identity_key, bob.new_one_time_key())
    receiver, _ = bob.inbound(alice.identity_key, sender.encrypt(b"first"))
    sender.decrypt(receiver.encrypt(b"answer"))
    plaintext, count = bytes(FRAME_HEAD + text), 0
    start = time.perf_counter()
    while (passed := time.perf_counter() - start) < seconds:
        for _ in range(20):
            part = sender.encrypt(plaintext).ljust(BUCKETS[0], b"\0")
            sealed = await crypto.seal(sealing.public, INFO, part)
            secret, name = crypto.random(32), hashlib.sha256(sealed).digest()
            public, signature = crypto.public_key(secret), crypto.sign(secret, name)
            assert crypto.verify(public, name, signature), "the relay's"
            assert crypto.verify(public, name, signature), "the receiver's"
            opened = await crypto.open(sealing.secret, INFO, sealed)
            receiver.decrypt(opened[: len(opened.rstrip(b"\0"))])
            count += 1
    return count / passed


def _one(text: int, seconds: float) -> float:
    return asyncio.run(messages_per_second(NativeCrypto(), text, seconds))


def _warm(_: int) -> None:
    time.sleep(0.05)


class Ceiling:
    """The processes that measure it, kept between rounds so that starting them costs nothing."""

    def __init__(self) -> None:
        self._cores = len(os.sched_getaffinity(0))
        self._pool = multiprocessing.get_context("spawn").Pool(self._cores)
        self._pool.map(_warm, range(self._cores), chunksize=1)

    async def measure(self, text: int, seconds: float) -> float:
        """Messages per second of all processes together."""
        tasks = [(text, seconds)] * self._cores
        result = self._pool.starmap_async(_one, tasks, chunksize=1)
        return sum(await asyncio.to_thread(result.get))

    def close(self) -> None:
        """End the processes."""
        self._pool.terminate()
        self._pool.join()
