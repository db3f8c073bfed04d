"""Signed events, made before anything is measured, as the bytes that go over the wire.

The same events go to every relay. They are short notes with two tags each, about 450 bytes of JSON;
by a hundred authors and spread over the hour before, unless a `Crowd` says otherwise.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial

import coincurve

AUTHORS = 100
TOPICS = 50
_HOUR = 3600
_PART = 2_000
_VERIFIED = 4_000

# No thread of this process is copied into the workers.
_SPAWN = multiprocessing.get_context("spawn")


@dataclass(frozen=True, slots=True)
class Crowd:
    """Who wrote the events of a batch, and when."""

    authors: int = AUTHORS
    start: int | None = None
    """The oldest `created_at`, in Unix seconds; None: so that the newest is of now."""
    seconds: int = _HOUR
    """Over which `created_at` lies spread."""


_ANYBODY = Crowd()


@dataclass(frozen=True, slots=True)
class Batch:
    """Signed events of one kind."""

    start: int
    """The oldest `created_at`, in Unix seconds."""
    seconds: int
    """Over which `created_at` lies spread."""
    events: Sequence[bytes]
    """Each as canonical JSON."""


def author(number: int) -> str:
    """The public key of an author, in hexadecimal."""
    return coincurve.PrivateKey(_secret(number)).public_key_xonly.format().hex()


def topic(number: int) -> str:
    """The value of a `t` tag."""
    return f"topic{number % TOPICS}"


def signed(count: int, kind: int, label: str, crowd: Crowd = _ANYBODY) -> Batch:
    """So many events; another `label` gives others."""
    start = _start(crowd)
    parts = [(low, min(low + _PART, count)) for low in range(0, count, _PART)]
    make = partial(_sign, count, kind, label, crowd, start)
    with ProcessPoolExecutor(os.cpu_count(), mp_context=_SPAWN) as pool:
        events = [event for part in pool.map(make, parts) for event in part]
    return Batch(start, crowd.seconds, events)


def signed_here(count: int, kind: int, label: str) -> Batch:
    """The same without other processes, for a few thousand."""
    return _made_here(count, kind, label, _ANYBODY, is_real=True)


def unsigned(count: int, kind: int, label: str, crowd: Crowd = _ANYBODY) -> Batch:
    """The same with signatures that nobody has made, for what is never verified."""
    return _made_here(count, kind, label, crowd, is_real=False)


def _made_here(count: int, kind: int, label: str, crowd: Crowd, *, is_real: bool) -> Batch:
    start = _start(crowd)
    events = _sign(count, kind, label, crowd, start, (0, count), is_real=is_real)
    return Batch(start, crowd.seconds, events)


def _start(crowd: Crowd) -> int:
    return int(time.time()) - crowd.seconds if crowd.start is None else crowd.start


def verification_ceiling(events: Sequence[bytes], seconds: float = 2.0) -> float:
    """Signatures per second that every core together can check, and nothing else, with the binding
    that the relay uses."""
    cores = os.cpu_count() or 1
    given = [(json.loads(one)["pubkey"], json.loads(one)) for one in events[:_VERIFIED]]
    work = [
        (bytes.fromhex(key), bytes.fromhex(event["id"]), bytes.fromhex(event["sig"]))
        for key, event in given
    ]
    with ProcessPoolExecutor(cores, mp_context=_SPAWN) as pool:
        list(pool.map(_verify, [work[:10]] * cores, [0.1] * cores))  # the processes are up
        return sum(pool.map(_verify, [work] * cores, [seconds] * cores))


def _verify(work: Sequence[tuple[bytes, bytes, bytes]], seconds: float) -> float:
    begun, done = time.perf_counter(), 0
    while (passed := time.perf_counter() - begun) < seconds:
        for key, message, signature in work[:100]:
            assert coincurve.PublicKeyXOnly(key).verify(signature, message)
        done += min(100, len(work))
    return done / passed


@lru_cache
def _keys(authors: int) -> tuple[list[coincurve.PrivateKey], list[str]]:
    keys = [coincurve.PrivateKey(_secret(number)) for number in range(authors)]
    return keys, [key.public_key_xonly.format().hex() for key in keys]


def _sign(
    count: int,
    kind: int,
    label: str,
    crowd: Crowd,
    start: int,
    part: tuple[int, int],
    *,
    is_real: bool = True,
) -> list[bytes]:
    authors, seconds = crowd.authors, crowd.seconds
    keys, names = _keys(authors)
    made = []
    for number in range(*part):
        name = names[number % authors]
        at = start + number * seconds // count
        tags = f'[["t","{topic(number)}"],["p","{names[(number * 7) % authors]}"]]'
        content = f"{label} {number}: " + "the boats are carried overland here " * 3
        text = f'[0,"{name}",{at},{kind},{tags},"{content}"]'
        digest = hashlib.sha256(text.encode()).digest()
        key = keys[number % authors]
        signature = (key.sign_schnorr(digest, b"\0" * 32) if is_real else 2 * digest).hex()
        made.append(
            (
                f'{{"id":"{digest.hex()}","pubkey":"{name}","created_at":{at},"kind":{kind},'
                f'"tags":{tags},"content":"{content}","sig":"{signature}"}}'
            ).encode()
        )
    return made


def _secret(number: int) -> bytes:
    return hashlib.sha256(b"volok bench author %d" % number).digest()
