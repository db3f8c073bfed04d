"""The cryptography-only ceiling: what a message costs if nothing but its cryptography were done.

For each message, with the libraries and the sizes of the real path: Olm encryption and decryption,
HPKE sealing and opening of the smallest bucket, a fresh BIP-340 key and its signature, one
verification at the relay and one at the receiver. Keys and ratchets stay loaded in memory; nothing
is parsed, stored or sent. As many processes as there are cores do this side by side, and their
rates are added up: the most that this machine could carry if all other work were free.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import statistics
import sys
import time

from volok.model.crypto import Crypto
from volok.model.envelope import BUCKETS
from volok.native import NativeCrypto

INFO = b"volok envelope 1" + bytes(32)
FRAME_HEAD = 113 + 140
"""Bytes that the payload's header, its JSON and the content id put around a text."""


async def one_process(crypto: Crypto, text: int, seconds: float) -> tuple[float, float]:
    """Do the cryptography of as many messages as fit into `seconds`; `text` is in bytes.

    Returns messages per second, and milliseconds of CPU per message.
    """
    sealing = crypto.sealing_key()
    alice, bob = crypto.new_account(), crypto.new_account()
    sender = alice.outbound(bob.identity_key, bob.new_one_time_key())
    receiver, _ = bob.inbound(alice.identity_key, sender.encrypt(b"first"))
    sender.decrypt(receiver.encrypt(b"answer"))
    plaintext, count = bytes(FRAME_HEAD + text), 0
    start, cpu = time.perf_counter(), time.process_time()
    while (passed := time.perf_counter() - start) < seconds:
        for _ in range(20):
            frame = sender.encrypt(plaintext)
            sealed = await crypto.seal(sealing.public, INFO, frame.ljust(BUCKETS[0], b"\0"))
            secret, name = crypto.random(32), hashlib.sha256(sealed).digest()
            public, signature = crypto.public_key(secret), crypto.sign(secret, name)
            assert crypto.verify(public, name, signature), "the relay's"
            assert crypto.verify(public, name, signature), "the receiver's"
            opened = await crypto.open(sealing.secret, INFO, sealed)
            receiver.decrypt(opened[: len(frame)])
            count += 1
    return count / passed, (time.process_time() - cpu) * 1000 / count


async def ceiling(text: int, seconds: float) -> tuple[float, float]:
    """Messages per second of as many processes as there are cores, all together, and the
    milliseconds of CPU that each message took."""
    cores = len(os.sched_getaffinity(0))
    workers = [
        await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "bench.ceiling", str(text), str(seconds)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        for _ in range(cores)
    ]
    for worker in workers:
        assert worker.stdout is not None
        assert await worker.stdout.readline() == b"ready\n"
    answers = await asyncio.gather(*(worker.communicate(b"go\n") for worker in workers))
    rates, costs = zip(*(map(float, printed.split()) for printed, _ in answers), strict=True)
    return sum(rates), statistics.mean(costs)


if __name__ == "__main__":
    print("ready", flush=True)
    sys.stdin.readline()
    print(*asyncio.run(one_process(NativeCrypto(), int(sys.argv[1]), float(sys.argv[2]))))
