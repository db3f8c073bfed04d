"""`volok relay`, `volok relay link` and `volok relay export`: for operators."""

from __future__ import annotations

import asyncio
import secrets
import shutil
import signal
import sys
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer
import uvloop

from volok.app.cli.output import Output
from volok.app.cli.people import AsJson
from volok.app.cli.relay_certificate import kept_certificate
from volok.model.urls import relay_host, url_in_requests
from volok.native import NativeCrypto
from volok.paths.tor_control import OnionKey
from volok.relay.errors import RelayError
from volok.relay.export import export_folder
from volok.relay.link import (
    AUTO,
    NONE,
    Reachable,
    is_unreachable,
    kept,
    links,
    onion_port,
    onion_url,
    recall,
    remember,
    secret_path,
)
from volok.relay.onion import OpenControl, control_of, kept_key, published
from volok.relay.run import run_relay
from volok.relay.settings import RelaySettings
from volok.relay.tls import file_pin, server_context
from volok.relay.transports import TransportWish, parse_wish, transports

app = typer.Typer()
relay_app = typer.Typer()
app.add_typer(relay_app, name="relay")

_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104

Data = Annotated[Path, typer.Option(help="The folder that holds what the relay keeps.")]


@dataclass(frozen=True, slots=True)
class _Wishes:
    """What the operator asked for on the command line."""

    host: str
    port: int
    data: Path
    urls: tuple[str, ...]
    tls: bool
    certificate: Path | None
    key: Path | None
    secret: str | None
    cover: Path | None
    transports: tuple[TransportWish, ...]
    onion: bool
    tor_control: str


@relay_app.callback(invoke_without_command=True)
def relay(
    context: typer.Context,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port; 0 for any.", min=0, max=65535)] = 7777,
    data: Data = Path("volok-relay"),
    url: Annotated[
        list[str] | None,
        typer.Option(help="The address people use (wss://…), so that nobody can pass it off."),
    ] = None,
    tls: Annotated[
        bool, typer.Option("--tls", help="Speak TLS, with a key made once and kept in --data.")
    ] = False,
    cert: Annotated[
        Path | None, typer.Option(help="Speak TLS with this certificate (PEM) and --key.")
    ] = None,
    key: Annotated[Path | None, typer.Option(help="The key of --cert (PEM).")] = None,
    secret: Annotated[
        str | None,
        typer.Option(
            "--secret-path",
            help="auto, none, or a path of 16 to 64 characters: where alone the relay is. "
            "By default auto with TLS, none without.",
            show_default=False,
        ),
    ] = None,
    cover: Annotated[
        Path | None,
        typer.Option(help="A folder with the website that everybody else sees."),
    ] = None,
    transport: Annotated[
        list[str] | None,
        typer.Option(
            help="A pluggable transport in front of the relay: NAME[:PORT][=PROGRAM]. Takes --tls."
        ),
    ] = None,
    transport_option: Annotated[
        list[str] | None,
        typer.Option(help="What the program of a transport is told: NAME:KEY=VALUE."),
    ] = None,
    onion: Annotated[
        bool, typer.Option("--onion", help="Be an onion service of Tor as well.")
    ] = False,
    tor_control: Annotated[
        str,
        typer.Option(
            help="Publish it through the Tor with this control port (HOST:PORT or a socket); "
            "without, one is started.",
            show_default=False,
        ),
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Run a relay, or export what one holds.

    A relay keeps sealed messages until they are fetched, serves any Nostr client, and writes
    nothing down about who asks. With --tls it stands on the open internet by itself, and whoever
    does not know its secret path sees an ordinary website.

    With --transport its connections also look like something else, for people where TLS to it is
    blocked. With --onion it is reached through Tor as well: it needs no open port then, and nobody
    sees where it is.

    Examples:

        volok relay

        volok relay --host 0.0.0.0 --port 443 --data /srv/relay --tls --cover /srv/website

        volok relay --port 7777 --data /srv/relay --url wss://relay.example

        volok relay --host 0.0.0.0 --port 443 --data /srv/relay --tls --transport obfs4:8443

        volok relay --onion --data /srv/relay

        volok relay link --data /srv/relay --host 203.0.113.11

        volok relay export --data /srv/relay > events.jsonl
    """
    if context.invoked_subcommand is not None:
        return
    asked = tuple(parse_wish(text, transport_option or ()) for text in transport or ())
    wishes = _Wishes(
        host, port, data, tuple(url or ()), tls, cert, key, secret, cover, asked, onion, tor_control
    )
    uvloop.run(_serve(wishes, Output(as_json)))


async def _serve(wishes: _Wishes, output: Output) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    files = _certificate(wishes)
    secret = wishes.secret or (AUTO if files else NONE)
    path = secret_path(wishes.data, secret, secrets.token_bytes)
    if wishes.cover and not path:
        raise RelayError("A cover website takes a secret path: --secret-path auto.")
    if wishes.transports and not files:
        raise RelayError("A transport takes a relay that people know by its key: add --tls.")
    pin = file_pin(files[0]).hex() if files else ""
    known = Reachable(wishes.host, 0, bool(files), path, pin, wishes.urls)
    async with AsyncExitStack() as stack:
        control, key = await _onion(wishes, stack)
        known = replace(known, onion=key.address if key else "")
        settings = RelaySettings(public_urls=_public_urls(known), secret_path=path)
        address = await stack.enter_async_context(
            run_relay(
                wishes.host,
                wishes.port,
                wishes.data,
                settings,
                NativeCrypto(),
                time.time,
                tls=server_context(*files) if files else None,
                cover=wishes.cover,
            )
        )
        target = _LOOPBACK.get(address.host, address.host), address.port
        known = replace(known, host=address.host, port=address.port)
        running = await stack.enter_async_context(
            transports(wishes.transports, wishes.data, address.host, target, kept(wishes.data))
        )
        found = True
        if control and key:
            keeping = published(control, key, onion_port(known), target)
            found = await stack.enter_async_context(keeping)
        known = replace(known, transports=tuple(one.to_text() for one in running))
        remember(wishes.data, known)
        shown = address.websocket_url if not files else _own_link(known)
        onion = onion_url(known) if key else None
        output.emit({"url": shown, "port": address.port, "onion": onion})
        output.line(shown)
        if onion:
            output.line(onion)
        if not found:
            output.say("Tor has not announced the onion service yet; that may take minutes.", "dim")
        output.say("The relay is up. Press Ctrl-C to stop it.", "dim")
        await stopping.wait()


async def _onion(
    wishes: _Wishes, stack: AsyncExitStack
) -> tuple[OpenControl | None, OnionKey | None]:
    """The Tor to publish through, and the key of the onion service. Raises RelayError."""
    if not wishes.onion:
        return None, None
    program = shutil.which("tor") or shutil.which("/usr/sbin/tor")
    control = await stack.enter_async_context(
        control_of(wishes.tor_control, wishes.data, program, secrets.token_bytes)
    )
    return control, await kept_key(wishes.data, control)


def _public_urls(known: Reachable) -> tuple[str, ...]:
    """The URLs that an AUTH may name: where people cannot reach it otherwise, the onion alone."""
    if known.onion and (known.urls or (not known.tls and is_unreachable(known.host))):
        return *known.urls, url_in_requests(onion_url(known))
    return known.urls


def _own_link(reachable: Reachable) -> str:
    """The address for whoever is on this computer, also when it listens on every address."""
    return links(reachable, [_LOOPBACK.get(reachable.host, reachable.host)])[0]


def _certificate(wishes: _Wishes) -> tuple[Path, Path] | None:
    """The files of the certificate and its key; None without TLS. Raises RelayError."""
    if (wishes.certificate is None) != (wishes.key is None):
        raise RelayError("Give both --cert and --key, or neither.")
    if wishes.certificate and wishes.key:
        return wishes.certificate, wishes.key
    if not wishes.tls:
        return None
    name = relay_host(wishes.urls[0]) if wishes.urls else "localhost"
    return kept_certificate(wishes.data, name, time.time)


@relay_app.command()
def link(
    data: Data = Path("volok-relay"),
    host: Annotated[
        list[str] | None,
        typer.Option(help="A name or an address under which people reach the relay."),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(help="The port that people use, if it is another.", min=1, max=65535),
    ] = None,
    sni: Annotated[
        str, typer.Option(help="A host name for nodes to show to the network in place of yours.")
    ] = "",
    pin: Annotated[
        bool,
        typer.Option("--pin/--no-pin", help="Whether nodes know the relay by its key alone."),
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Print the address of a relay to hand to people; it has been started once.

    The address holds the secret path and the pin of the relay's key: give it to those who shall
    use the relay, and to nobody else.

    Examples:

        volok relay link --data /srv/relay --host relay.example

        volok relay link --data /srv/relay --host 203.0.113.11 --sni www.example.org

        volok relay link --data /srv/relay --host relay.example --no-pin
    """
    output = Output(as_json)
    for address in links(recall(data), host or (), port=port, sni=sni, pinned=pin):
        output.emit({"url": address})
        output.line(address)


@relay_app.command()
def export(data: Data = Path("volok-relay")) -> None:
    """Write every event that a relay holds, sealed ones included: one JSON object per line.

    Examples:

        volok relay export --data /srv/relay > events.jsonl
    """
    for line in export_folder(data):
        sys.stdout.buffer.write(line)
    sys.stdout.flush()
