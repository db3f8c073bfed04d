"""What one connection may carry on a network that cuts connections after so much.

Some censors let a connection pass until about 16 to 20 KB or about 25 packets, counted both ways,
and then drop everything in silence (DESIGN, profile `curtain`). Where a connection froze, the next
ones end themselves earlier, and sessions go on serially over new ones.

1. The system counts packets where it can; elsewhere they are estimated from frames, as records of
   1,300 bytes.
2. Bytes and packets are both limited, since it is not known which of them the censor counts.
3. Nothing more is sent once the allowance is used up; what the other end still sends is read
   until it falls silent, so that no answer is lost: reading costs nothing any more.
4. A limit is tried again after a while, with four times as much, and forgotten when it was large.
   Each try that fails doubles the wait.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

from volok.paths.live import Resumable, Socket

RESUME = "The connection was renewed before this network would cut it."


@dataclass(frozen=True, slots=True)
class BudgetSettings:
    """How the allowance of a connection is learned. Times are in seconds, sizes in bytes."""

    handshake_bytes: int = 3000
    """Taken by TCP, TLS and the websocket handshake."""
    handshake_packets: float = 10.0
    """The same in packets."""
    record: int = 1300
    """In one packet."""
    share: float = 0.7
    """Of what passed before a freeze, what is used from then on."""
    least_bytes: int = 5000
    """A smaller allowance is of no use: such a path has failed."""
    least_packets: float = 12.0
    """The same in packets."""
    assumed_bytes: int = 12_000
    """Passes at least, where a freeze was met while much was being sent."""
    assumed_packets: float = 22.0
    """The same in packets."""
    plain_packets: float = 18.0
    """Where so many passed, a freeze after few bytes was not for the bytes."""
    most_bytes: int = 128 * 1024
    """What froze later than this was an outage, no rule of a network."""
    gather: float = 0.003
    """For which frames are held back that may share packets."""
    drain: float = 1.0
    """Silence after which the other end has answered what it will answer."""
    drain_more: float = 0.25
    """The same once an answer has come to what was sent last."""
    trial_first: float = 900.0
    """After which a larger allowance is tried."""
    trial_most: float = 6 * 3600.0
    """The longest wait between such trials."""
    trial_factor: float = 4.0
    """How much larger it is."""
    ping_interval: float = 25.0
    """Between the pings of a quiet connection, which are packets as well."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """What connections over one path to one relay may carry, both ways together."""

    bytes: int
    packets: float
    trial_at: float
    """Unix seconds from which one connection may try more."""
    wait: float
    """Seconds between trials."""


@dataclass(slots=True)
class Meter:
    """What one connection has carried so far, as far as can be told."""

    settings: BudgetSettings
    bytes: int = 0
    packets: float = 0.0

    def __post_init__(self) -> None:
        self.bytes = self.settings.handshake_bytes
        self.packets = self.settings.handshake_packets

    def count(self, size: int) -> None:
        """A frame of `size` bytes went or came."""
        records = -(-size // self.settings.record) or 1
        self.bytes += size + 40 * records
        self.packets += _packets(records)

    def pinged(self) -> None:
        """A ping and its answer went over the wire."""
        self.bytes += 80
        self.packets += 2.5

    def exceeds(self, allowance: Allowance, more: int = 0) -> bool:
        """Whether this, and a frame of `more` bytes, is over the allowance."""
        records = -(-more // self.settings.record)
        return (
            self.bytes + more > allowance.bytes
            or self.packets + _packets(records) > allowance.packets
        )


def _packets(records: int) -> float:
    """Half as many acknowledgements go back; those of a single record travel with the answer."""
    return records * (1.5 if records > 1 else 1.0)


def learned(
    known: Allowance | None, answered: Meter, total: Meter, now: float, trial: bool = False
) -> Allowance | None:
    """The allowance after a freeze; None: this path carries too little, it has failed.

    `answered` is what had passed when the last frame came, `total` all that was counted; `trial`:
    whether more than the known allowance was being tried. `now` is in Unix seconds.
    """
    settings = total.settings
    if known is not None and trial:
        wait = min(2 * known.wait, settings.trial_most)
        return replace(known, trial_at=now + wait, wait=wait)
    size = max(answered.bytes, min(total.bytes, settings.assumed_bytes))
    packets = max(answered.packets, min(total.packets, settings.assumed_packets))
    if packets >= settings.plain_packets:
        # Many small packets: it is they that were counted, and the bytes tell nothing.
        size = max(size, settings.assumed_bytes)
    wait = settings.trial_first
    if known is not None:
        size, packets = min(size, known.bytes), min(packets, known.packets)
        wait = min(2 * known.wait, settings.trial_most)
    found = Allowance(int(size * settings.share), packets * settings.share, now + wait, wait)
    if found.bytes < settings.least_bytes or found.packets < settings.least_packets:
        return None
    return found


def on_trial(known: Allowance, settings: BudgetSettings, now: float) -> Allowance | None:
    """A larger allowance, when it is time to try one; else None."""
    if now < known.trial_at:
        return None
    factor = settings.trial_factor
    return replace(known, bytes=int(known.bytes * factor), packets=known.packets * factor)


class BudgetSocket(Socket):
    """A websocket that ends itself before its allowance is used up, with `Resumable`."""

    def __init__(
        self, socket: Socket, allowance: Allowance, settings: BudgetSettings, meter: Meter
    ) -> None:
        self._socket = socket
        self._allowance = allowance
        self._settings = settings
        self._meter = meter
        # Whether a frame larger than one record went or came: without one, a new connection would
        # get no further than this one.
        self._carried = False
        self._owed = False
        self._fresh = True
        self._held: asyncio.TimerHandle | None = None
        self._ending = asyncio.Event()

    @property
    def used_up(self) -> bool:
        """Whether nothing more is sent."""
        return self._ending.is_set()

    async def send(self, text: str) -> None:
        if self.used_up:
            raise Resumable(RESUME)
        size = len(text.encode())
        if self._fresh:
            self._fresh = False
            self._correct()
        if self._carried and self._meter.exceeds(self._allowance, more=size):
            self._ending.set()
            raise Resumable(RESUME)
        self._carried = self._carried or size > self._settings.record
        self._meter.count(size)
        self._owed = True
        # Packets are counted as well: what is sent in one go shares them.
        if self._held is None:
            self._socket.hold(True)
            wait = self._settings.gather
            self._held = asyncio.get_running_loop().call_later(wait, self._let_go)
        await self._socket.send(text)

    async def receive(self) -> str:
        text = await self._next()
        self._owed = False
        size = len(text.encode())
        self._carried = self._carried or size > self._settings.record
        self._meter.count(size)
        self._correct()
        if self._carried and self._meter.exceeds(self._allowance):
            self._ending.set()
        return text

    async def ping(self) -> None:
        self._meter.pinged()
        await self._socket.ping()

    def stuck(self) -> bool | None:
        return self._socket.stuck()

    def traffic(self) -> tuple[int, int, int] | None:
        return self._socket.traffic()

    def _correct(self) -> None:
        """Put what the system has counted in place of the estimate, while nothing is under way."""
        seen = self._socket.traffic()
        if seen is not None and seen[2] == 0:
            self._meter.bytes, self._meter.packets = seen[:2]

    def _let_go(self) -> None:
        self._held = None
        self._socket.hold(False)

    async def close(self) -> None:
        if self._held is not None:
            self._held.cancel()
            self._let_go()
        if self.used_up:
            await self._socket.abandon()
        self._ending.set()
        await self._socket.close()

    async def _next(self) -> str:
        coming = asyncio.ensure_future(self._socket.receive())
        try:
            while not self.used_up:
                ending = asyncio.ensure_future(self._ending.wait())
                await asyncio.wait(
                    {coming, ending},
                    timeout=self._settings.ping_interval,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                ending.cancel()
                if coming.done():
                    return coming.result()
                if not self.used_up:
                    self._meter.pinged()
                    if self._meter.exceeds(self._allowance):
                        self._ending.set()
            settings = self._settings
            wait = settings.drain if self._owed else min(settings.drain_more, settings.drain)
            await asyncio.wait({coming}, timeout=wait)
            if coming.done():
                return coming.result()
            raise Resumable(RESUME)
        finally:
            coming.cancel()
