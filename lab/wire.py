"""The wire: a process that carries every packet between the hosts and lets the border judge it.

1. One epoll loop over a TUN device for each host, a socket to whoever directs the lab, and a socket
   to the prober, which looks at suspected servers from the censor's own host.
2. The director writes lines of JSON and gets one line for each, in order:

   `{"do": "censor", "profiles": ["curtain"], "seed": 7}` gives `{"parameters": {...}}`;
   `{"do": "clear"}`, `{"do": "unplug", "host": "relay1"}` and `{"do": "plug", "host": "relay1"}`
   give `{}`; `{"do": "ground", "listed_names": [...], "listed_addresses": [...]}` changes what the
   next censor knows and gives `{}`; `{"do": "report"}` gives `{"observation": {...},
   "counts": {...}}`. What cannot be done gives `{"error": "..."}`.
3. It ends when the director's socket is closed.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import json
import os
import select
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any

from lab import censor, ground
from lab.border import Border, Sending
from lab.censor import Suspicion, Together

AT_ONCE = 64
"""Packets read from one host before the others have their turn."""
LONGEST = 65_535


class BadCommand(ValueError):
    """The director asked for something that there is not."""


class Lines:
    """Whole lines from a non-blocking stream socket."""

    def __init__(self, sock: socket.socket) -> None:
        """The socket is made non-blocking for reading; `write` waits."""
        self.sock = sock
        self.sock.setblocking(False)
        self._rest = b""

    def read(self) -> list[bytes] | None:
        """The lines that have come; None when the other side is gone."""
        try:
            got = self.sock.recv(LONGEST)
        except BlockingIOError:
            return []
        except OSError:
            return None
        if not got:
            return None
        *lines, self._rest = (self._rest + got).split(b"\n")
        return lines

    def write(self, value: Mapping[str, Any]) -> None:
        """Send one object as a line; the other side reads at once, so this does not wait long."""
        self.sock.setblocking(True)
        with contextlib.suppress(OSError):
            self.sock.sendall(json.dumps(value).encode() + b"\n")
        self.sock.setblocking(False)


class Wire:
    """The loop. `devices` are the hosts' TUN devices by host name; `director` and `prober` sockets
    as above."""

    def __init__(
        self, devices: Mapping[str, int], director: socket.socket, prober: socket.socket
    ) -> None:
        """Take over the descriptors; the TUN devices must be non-blocking."""
        hosts = [ground.BY_NAME[name] for name in devices]
        self._border = Border(hosts)
        self._device_of = {
            bytes(map(int, host.address.split("."))): devices[host.name] for host in hosts
        }
        self._ground = ground.ordinary()
        self._director = Lines(director)
        self._prober = Lines(prober)
        self._held: list[tuple[float, int, bytes, bytes]] = []
        self._order: Iterator[int] = itertools.count()

    def run(self) -> None:
        """Carry packets until the director is gone."""
        poll = select.epoll()
        devices = frozenset(self._device_of.values())
        for fd in (*devices, self._director.sock.fileno(), self._prober.sock.fileno()):
            poll.register(fd, select.EPOLLIN)
        while True:
            ready = [fd for fd, _ in poll.poll(self._until_next())]
            self._release(time.monotonic())
            for fd in ready:
                if fd in devices:
                    self._take(fd)
                elif fd == self._director.sock.fileno():
                    if not self._directed():
                        return
                elif not self._probed():
                    poll.unregister(fd)

    def _take(self, device: int) -> None:
        """Read what a host has sent, and send on what may pass."""
        read, carry, clock = os.read, self._border.carry, time.monotonic
        for _ in range(AT_ONCE):
            try:
                raw = read(device, LONGEST)
            except (BlockingIOError, OSError):  # nothing more, or the device is down
                break
            now = clock()
            for sending in carry(raw, now):
                if sending[0] > 0:
                    self._hold(sending, now)
                else:
                    self._send(sending[1], sending[2])
        for suspicion in self._border.suspicions():
            self._prober.write({**asdict(suspicion), "seen": suspicion.seen.hex()})

    def _send(self, target: bytes, raw: bytes) -> None:
        with contextlib.suppress(OSError):  # the device is down
            os.write(self._device_of[target], raw)

    def _hold(self, sending: Sending, now: float) -> None:
        delay, target, raw = sending
        heapq.heappush(self._held, (now + delay, next(self._order), target, raw))

    def _release(self, now: float) -> None:
        while self._held and self._held[0][0] <= now:
            _, _, target, raw = heapq.heappop(self._held)
            self._send(target, raw)

    def _until_next(self) -> float:
        """Seconds until a held packet is due; -1 when none is held."""
        return max(0.0, self._held[0][0] - time.monotonic()) if self._held else -1.0

    def _directed(self) -> bool:
        """Obey the director; False when it is gone."""
        lines = self._director.read()
        for line in lines or ():
            try:
                answer = self._obey(json.loads(line))
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                answer = {"error": f"{type(error).__name__}: {error}"}
            self._director.write(answer)
        return lines is not None

    def _obey(self, order: Mapping[str, Any]) -> dict[str, Any]:
        match order["do"]:
            case "censor":
                made = {
                    name: censor.make(name, self._ground, int(order["seed"]))
                    for name in order["profiles"]
                }
                self._border.put(Together([one for one, _ in made.values()]))
                return {"parameters": {name: drawn for name, (_, drawn) in made.items()}}
            case "clear":
                self._border.put(None)
            case "ground":
                known = self._ground
                self._ground = replace(
                    known,
                    listed_names=frozenset(order.get("listed_names", known.listed_names)),
                    listed_addresses=frozenset(
                        order.get("listed_addresses", known.listed_addresses)
                    ),
                )
            case "unplug":
                self._border.unplug(ground.BY_NAME[order["host"]].address)
            case "plug":
                self._border.plug(ground.BY_NAME[order["host"]].address)
            case "report":
                observation = self._border.observation().to_json()
                return {"observation": observation, "counts": asdict(self._border.counts)}
            case other:
                raise BadCommand(f"There is no order {other!r}.")
        return {}

    def _probed(self) -> bool:
        """Hear what the prober found; False when it is gone."""
        lines = self._prober.read()
        for line in lines or ():
            found = json.loads(line)
            seen = bytes.fromhex(found["seen"])
            suspicion = Suspicion(found["address"], found["port"], seen)
            self._border.judged(suspicion, found["revealed"])
        return lines is not None


def main() -> None:
    """Run as `python -m lab.wire DEVICES DIRECTOR PROBER`: a JSON object of descriptors by host
    name, and two descriptors of stream sockets, all inherited."""
    devices, director, prober = json.loads(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    Wire(devices, socket.socket(fileno=director), socket.socket(fileno=prober)).run()


if __name__ == "__main__":
    main()
