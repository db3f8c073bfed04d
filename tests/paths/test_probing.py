"""The doctor's observations, on real sockets: what answers, what does not, and what lies."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.paths.freezing import border_to
from tests.relay.covered import Covered, covered
from websockets.utils import accept_key

from volok.model.relay_link import RelayPin, split_fragment
from volok.paths.doctor import diagnose
from volok.paths.doctor_report import Kind, Progress, Step
from volok.paths.doctor_seen import Hello, Lookup, Observations, Outcome, PlaceSeen, Stage
from volok.paths.probing import Prober, has_route
from volok.paths.probing_names import NameProber, is_address, system_servers
from volok.paths.probing_settings import ProbeSettings, Target

pytestmark = pytest.mark.own_time

QUICK = ProbeSettings(
    lookup_wait=0.4,
    answer_wait=0.05,
    connect_wait=0.4,
    greeting_wait=0.5,
    speech_wait=0.5,
    silence=0.5,
    spacing=0.0,
)
HERE = "127.0.0.1"

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def nothing(_: Target) -> tuple[tuple[str, bool], ...]:
    return ()


async def fine(_: Target) -> str | None:
    return None


async def look(*targets: Target, settings: ProbeSettings = QUICK) -> Observations:
    """Have them looked at."""
    prober = Prober(targets, os.urandom, nothing, fine, lambda _: None, settings)
    return await prober.observe()


async def look_at(target: Target, settings: ProbeSettings = QUICK) -> PlaceSeen:
    return (await look(target, settings=settings)).places[0]


def relay_target(url: str, **changes: object) -> Target:
    plain, pin = split_fragment(url)
    parts = urlsplit(plain)
    tls = parts.scheme == "wss"
    made = Target(url, True, parts.hostname or "", parts.port or 443, tls, pin)
    return replace(made, **changes)  # type: ignore[arg-type]


@contextlib.asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[int]:
    """A server on loopback; gives its port."""
    tasks: set[asyncio.Task[None] | None] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await handler(reader, writer)
        writer.close()

    server = await asyncio.start_server(handle, HERE, 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in filter(None, tasks):
            task.cancel()


@pytest.fixture
async def relay(tmp_path: Path) -> AsyncIterator[Covered]:
    async with covered(tmp_path) as made:
        yield made


async def test_a_relay_carries_all_that_it_is_given(relay: Covered) -> None:
    place = await look_at(relay_target(relay.link))
    assert place.name is not None
    assert place.name.lookup is Lookup.NOT_NEEDED
    (only,) = place.attempts  # of an address there is no name to show
    assert only.hello is Hello.NAMELESS
    assert only.whole
    assert only.carried is not None
    assert only.carried.bytes > 2 * (QUICK.step * QUICK.steps + QUICK.bulk) * 0.9
    assert only.carried.packets
    assert only.carried.rate
    assert only.carried.rate > 100_000


async def test_every_greeting_is_tried_with_a_name(relay: Covered) -> None:
    place = await look_at(relay_target(relay.link, host="localhost"))
    at = [one for one in place.attempts if one.address == HERE]
    assert [one.hello for one in at] == [Hello.NAMELESS, Hello.CUT, Hello.NAMED]
    assert [one.stage for one in at] == [Stage.CARRY, Stage.GREETING, Stage.CARRY]
    assert all(one.outcome is Outcome.WORKS for one in at)


async def test_a_freeze_is_seen_and_measured(relay: Covered) -> None:
    async with border_to(relay.address.port, limit=20_000) as border:
        url = relay.link.replace(f":{relay.address.port}", f":{border.port}")
        seen = await look(relay_target(url, host="localhost"))
    (finding,) = diagnose(seen).findings
    assert finding.kind is Kind.CURTAIN
    assert 10_000 < finding.bytes <= 20_000


async def test_somebody_else_at_the_address_is_a_stranger(relay: Covered) -> None:
    place = await look_at(relay_target(relay.link, pin=RelayPin(bytes(16))))
    assert {one.outcome for one in place.attempts} == {Outcome.STRANGER}
    unpinned = await look_at(relay_target(relay.link, pin=None))
    assert {one.outcome for one in unpinned.attempts} == {Outcome.STRANGER}


async def test_a_secret_path_that_is_wrong_is_no_block(relay: Covered) -> None:
    place = await look_at(relay_target(relay.link.replace("a-secret", "b-secret")))
    (only,) = place.attempts
    assert (only.stage, only.outcome) == (Stage.SPEECH, Outcome.ANSWERS)
    assert place.proved_at == (HERE,)


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while await reader.read(1 << 16):
        pass


async def resetting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    linger = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()


async def garbage(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    while True:
        writer.write(os.urandom(1 << 14))
        await writer.drain()


async def login_page(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    writer.write(b"HTTP/1.1 302 Found\r\nLocation: http://login.example/\r\n\r\n")
    await writer.drain()


async def endless_head(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 101 Switching Protocols\r\n")
    while True:
        writer.write(b"X: " + b"x" * 4000 + b"\r\n")
        await writer.drain()


async def websocket(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, then: bytes, endless: bool
) -> None:
    """Opens a websocket as it should, and then sends what it should not."""
    head = await reader.readuntil(b"\r\n\r\n")
    key = next(line[19:] for line in head.split(b"\r\n") if line.startswith(b"Sec-WebSocket-Key: "))
    writer.write(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept_key(key.decode()).encode() + b"\r\n\r\n"
    )
    while endless:
        writer.write(then)
        await writer.drain()
    writer.write(then)
    await writer.drain()
    if not then:
        writer.close()
    await reader.read()


@pytest.mark.parametrize(
    ("then", "endless", "outcomes"),
    [
        (b"\xff\xff\xff\xff", False, {Outcome.ANSWERS}),
        (b"\x81\x7f" + b"\x7f" * 8, False, {Outcome.ANSWERS}),
        (b"\x81\x02\xff\xff", False, {Outcome.ANSWERS, Outcome.SILENT}),
        (b"\x8a\x01x", False, {Outcome.SILENT}),
        (b"\x81\x7d" + b"x" * 125, True, {Outcome.SILENT}),
        (b"\x88\x02\x03\xe8", False, {Outcome.ANSWERS}),
        (b"", False, {Outcome.ANSWERS}),
    ],
)
async def test_websockets_that_lie(then: bytes, endless: bool, outcomes: set[Outcome]) -> None:
    async def lying(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await websocket(reader, writer, then, endless)

    # A flood takes as much computing as there is time for it.
    settings = replace(QUICK, silence=0.1) if endless else QUICK
    async with serving(lying) as port:
        (only,) = (await look_at(relay_target(f"ws://{HERE}:{port}/"), settings)).attempts
    assert only.stage >= Stage.SPEECH
    assert only.outcome in outcomes


@pytest.mark.parametrize(
    ("handler", "tls", "stage", "outcomes"),
    [
        (silent, True, Stage.GREETING, {Outcome.SILENT}),
        (silent, False, Stage.SPEECH, {Outcome.SILENT}),
        (resetting, True, Stage.GREETING, {Outcome.RESET}),
        (resetting, False, Stage.SPEECH, {Outcome.RESET}),
        (garbage, True, Stage.GREETING, {Outcome.ANSWERS, Outcome.RESET}),
        (garbage, False, Stage.SPEECH, {Outcome.ANSWERS, Outcome.RESET}),
        (login_page, False, Stage.SPEECH, {Outcome.STRANGER}),
        (endless_head, False, Stage.SPEECH, {Outcome.ANSWERS, Outcome.RESET}),
    ],
)
async def test_servers_that_are_no_relays(
    handler: Handler, tls: bool, stage: Stage, outcomes: set[Outcome]
) -> None:
    async with serving(handler) as port:
        scheme = "wss" if tls else "ws"
        place = await look_at(relay_target(f"{scheme}://{HERE}:{port}/"))
    assert {one.stage for one in place.attempts} == {stage}
    assert {one.outcome for one in place.attempts} <= outcomes
    assert not place.proved_at


async def test_nobody_there() -> None:
    with socket.create_server((HERE, 0)) as listener:
        port = listener.getsockname()[1]
    place = await look_at(relay_target(f"wss://{HERE}:{port}"))
    assert {one.outcome for one in place.attempts} == {Outcome.REFUSED}


async def test_it_ends_in_time_with_what_was_seen() -> None:
    async with serving(silent) as port:
        slow = replace(QUICK, greeting_wait=60.0, whole=0.6)
        began = time.monotonic()
        seen = await look(relay_target(f"wss://{HERE}:{port}"), settings=slow)
        assert time.monotonic() - began < 3
    assert not seen.complete
    assert seen.places[0].attempts == ()
    assert [one.kind for one in diagnose(seen).findings] == [Kind.UNCLEAR]


def test_people_wait_half_a_minute_at_most() -> None:
    assert ProbeSettings().whole <= 30


async def test_never_more_than_three_handshakes_at_once() -> None:
    now = most = 0

    async def counting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        while await reader.read(1 << 16):
            pass
        now -= 1

    async with serving(counting) as port:
        targets = [relay_target(f"wss://{HERE}:{port}/{number}") for number in range(8)]
        seen = await look(*targets)
    assert all(place.attempts for place in seen.places)
    assert most == 3


async def test_what_is_only_for_added_paths_is_not_contacted() -> None:
    came = asyncio.Event()

    async def coming(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.set()

    asked: list[str] = []

    async def ways(target: Target) -> tuple[tuple[str, bool], ...]:
        asked.append(target.id)
        return (("tor", True),)

    async with serving(coming) as port:
        target = relay_target(f"ws://localhost:{port}", straight=False)
        prober = Prober([target], os.urandom, ways, fine, lambda _: None, QUICK)
        (place,) = (await prober.observe()).places
        assert not came.is_set()
    assert asked == [target.id]
    assert place.name is None
    assert place.attempts == ()
    assert place.by_way


async def test_progress_and_drops() -> None:
    told: list[Progress] = []

    async def full(target: Target) -> str | None:
        return "It is full." if target.id == "drop:2" else None

    drops = [Target(f"drop:{number}", False, is_network=False, speaks=False) for number in (1, 2)]
    prober = Prober(drops, os.urandom, nothing, full, told.append, QUICK)
    first, second = (await prober.observe()).places
    assert (first.works, first.problem) == (True, "")
    assert (second.works, second.problem) == (False, "It is full.")
    assert [one.step for one in told] == [Step.NAMES, Step.PLACES]


async def test_lookups() -> None:
    names = NameProber(QUICK, os.urandom, servers=[])
    try:
        assert HERE in (await names.look("localhost", ())).addresses
        unknown = await names.look("no-such-name.invalid", ())
        assert unknown.lookup in (Lookup.NO_SUCH_NAME, Lookup.NO_ANSWER)
        assert (await names.look(HERE, ())).lookup is Lookup.NOT_NEEDED
        assert (await names.look("x" * 300, ())).lookup is not Lookup.ANSWERED
        assert await names.server_answers() is None
    finally:
        names.close()


def test_name_servers_of_the_system(tmp_path: Path) -> None:
    file = tmp_path / "resolv.conf"
    file.write_text("# x\nsearch a b\nnameserver 192.0.2.53\nnameserver\nnameserver x\n")
    assert system_servers(file) == ["192.0.2.53"]
    assert system_servers(tmp_path / "none") == []


@given(st.text())
def test_any_text_may_be_a_host(text: str) -> None:
    assert is_address(text) in (True, False)


def test_a_route_is_seen_without_sending_anything() -> None:
    assert has_route() in (True, False)
