"""`volok relay`, and `volok relay link`: for operators. The other commands are beside."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Annotated, Any

import typer
import uvloop

from volok.app.cli import relay_inspect, relay_sync, relay_upkeep
from volok.app.cli.output import AsJson, Output
from volok.app.cli.relay_start import start, wishes
from volok.app.cli.relay_upkeep import FOLDER, Data, asking
from volok.relay.config import RelayConfig, read_config
from volok.relay.link import links, recall

app = typer.Typer()
relay_app = typer.Typer()
relay_upkeep.register(relay_app)
relay_inspect.register(relay_app)
relay_sync.register(relay_app)
app.add_typer(relay_app, name="relay")

_NEW_OBJECTS = 20_000
"""New objects after which a relay looks for cycles among them."""
_NO_SETTINGS = frozenset({"config", "as_json"})
"""Options that are no field of `ServeSettings` or `RelaySettings`."""


@relay_app.callback(invoke_without_command=True)
def relay(
    context: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option(help="Read settings from this file; write one with `volok relay config`."),
    ] = None,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port; 0 for any.", min=0, max=65535)] = 7777,
    data: Data = FOLDER,
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
    secret_path: Annotated[
        str,
        typer.Option(
            help="auto, none, or a path of 16 to 64 characters: where alone the relay is. "
            "By default auto with TLS, none without.",
            show_default=False,
        ),
    ] = "",
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
    behind_proxy: Annotated[
        bool,
        typer.Option("--behind-proxy", help="A web server on this computer stands in front."),
    ] = False,
    metrics_port: Annotated[
        int,
        typer.Option(
            help="A port on the loopback address with /metrics and /health; 0 for none.",
            min=0,
            max=65535,
        ),
    ] = 0,
    wait: Annotated[
        float,
        typer.Option(help="Seconds to wait for another relay to let go of --data.", min=0),
    ] = 0.0,
    plugin: Annotated[
        str,
        typer.Option(
            help="The command of a write policy plug-in, as strfry takes them.", show_default=False
        ),
    ] = "",
    store: Annotated[
        str,
        typer.Option(
            help="A PostgreSQL that several relays share: postgresql://HOST/DATABASE; "
            "without, the folder.",
            show_default=False,
        ),
    ] = "",
    bus: Annotated[
        str,
        typer.Option(
            help="The NATS by which relays of one store hear of new events at once: "
            "nats://HOST:4222. Events that are not kept reach the other relays by it alone.",
            show_default=False,
        ),
    ] = "",
    blobs: Annotated[
        str,
        typer.Option(
            help="S3-compatible storage for blobs: s3://BUCKET/PREFIX; the account stands in "
            "AWS_ACCESS_KEY_ID and the like. Without, the folder.",
            show_default=False,
        ),
    ] = "",
    encrypt: Annotated[
        bool,
        typer.Option(
            "--encrypt", help="Encrypt a new folder under a passphrase; each start asks for it."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Run a relay, or look after what one holds.

    A relay keeps sealed messages until they are fetched, serves any Nostr client, and writes
    nothing down about who asks. With --tls it stands on the open internet by itself, and whoever
    does not know its secret path sees an ordinary website.

    With --transport its connections also look like something else, for people where TLS to it is
    blocked. With --onion it is reached through Tor as well: it needs no open port then, and nobody
    sees where it is.

    All settings, limits among them, may stand in a file (--config); an option wins over the file.

    Examples:

        volok relay

        volok relay --host 0.0.0.0 --port 443 --data /srv/relay --tls --cover /srv/website

        volok relay --port 7777 --data /srv/relay --behind-proxy --url wss://relay.example

        volok relay --host 0.0.0.0 --port 443 --data /srv/relay --tls --transport obfs4:8443

        volok relay --onion --data /srv/relay

        volok relay --config relay.toml --metrics-port 9100

        volok relay --store postgresql://db.internal/volok --bus nats://bus.internal:4222

        volok relay link --data /srv/relay --host 203.0.113.11

        volok relay export --data /srv/relay > events.jsonl
    """
    if context.invoked_subcommand is not None:
        return
    asked = wishes(read_config(config) if config else RelayConfig({}, {}), _given(context))
    # By default objects are searched for cycles after every 700 new ones: a tenth of the time of a
    # busy relay, which makes hardly any cycles. What is loaded by now stays.
    gc.freeze()
    gc.set_threshold(_NEW_OBJECTS)
    uvloop.run(start(asked, Output(as_json), asking(context)))


def _given(context: typer.Context) -> dict[str, Any]:
    """The settings that stand on the command line."""
    given = {}
    for name, value in context.params.items():
        if name in _NO_SETTINGS:
            continue
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            given[name] = tuple(value) if isinstance(value, list) else value
    return given


@relay_app.command()
def link(
    data: Data = FOLDER,
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
