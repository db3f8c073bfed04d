"""`volok path list`, `add`, `remove` and `test`: the ways to relays."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from volok.app.cli.output import AsJson, Output
from volok.app.cli.session import run
from volok.app.commands import CommandSet
from volok.app.drop_places import owner_learns
from volok.app.lan import ABOUT, OBSERVER_LEARNS
from volok.app.lan import NAME as LAN
from volok.app.shapes import Json

_MAIL, _SFTP = "mail://", "sftp://"
_PROXIES = ("socks5://", "socks5h://", "http://", "https://", "tor:")
_TOR = "tor"

app = typer.Typer()
path_app = typer.Typer(no_args_is_help=True)
app.add_typer(path_app, name="path")


@path_app.callback()
def path() -> None:
    """List, add, remove and test the ways to your relays.

    Volok chooses by itself: the cheapest way that works here, and another one when it is blocked.

    Examples:

        volok path list

        volok path add socks5://127.0.0.1:1080
    """


@path_app.command("list")
def list_(context: typer.Context, as_json: AsJson = False) -> None:
    """List the ways to your relays, cheapest first.

    Examples:

        volok path list --json
    """
    output = Output(as_json)

    async def body(commands: CommandSet) -> None:
        for one in await commands.paths():
            output.emit(one)
            used = ", in use" if one["used"] else ""
            output.say(f"{one['name']}: {one['about']}{used}")
            if one["removable"]:
                where = ", ".join(one["relays"]) or "all relays"
                output.say(f"  for {where}{', and nothing else' if one['only'] else ''}", "dim")
            output.say(f"  {one['observer_learns']}", "dim")
        lan = await commands.lan()
        if lan["on"]:
            output.emit({"name": LAN, **lan})
            output.say(f"{LAN}: {ABOUT}; {found(lan)}")
            output.say(f"  {lan['problem'] or OBSERVER_LEARNS}", "dim")
        drops = await commands.drops()
        named = any(drop["contacts"] for drop in drops)
        names = {one["id"]: one["name"] for one in (await commands.contacts() if named else ())}
        for drop in drops:
            output.emit({"name": drop["place"], **drop})
            received = drop["received"]
            came = f"; {received} messages and receipts came by it" if received else ""
            files = "1 file" if drop["files"] == 1 else f"{drop['files']} files"
            output.say(f"{drop['place']}: a place to leave messages, {files} there{came}")
            for contact, address in drop["contacts"].items():
                output.say(f"  {names.get(contact, '?')} is written to at {address}", "dim")
            output.say(f"  {drop['problem'] or drop['owner_learns']}", "dim")

    run(context, body)


@path_app.command()
def add(
    context: typer.Context,
    where: Annotated[
        str,
        typer.Argument(
            help="Tor: tor. A proxy: socks5://[USER:PASSWORD@]HOST:PORT, or http:// for CONNECT. "
            "A place to leave messages: a folder, webdavs://HOST/PATH, s3://BUCKET/PREFIX, "
            "sftp://USER@HOST/PATH, or your e-mail account, mail://ADDRESS. The local network: lan."
        ),
    ],
    name: Annotated[str, typer.Option(help="What to call a proxy.", show_default=False)] = "",
    relay: Annotated[
        list[str] | None, typer.Option(help="Use a proxy for this relay; without, for all.")
    ] = None,
    only: Annotated[
        bool, typer.Option("--only", help="Never reach those relays in another way.")
    ] = False,
    bridge: Annotated[
        list[str] | None,
        typer.Option(help="With tor: a bridge line, as bridges.torproject.org gives them."),
    ] = None,
    user: Annotated[str, typer.Option(help="The account at a server.", show_default=False)] = "",
    password_file: Annotated[
        Path | None,
        typer.Option(help="A file that holds the password of the account, or of the key."),
    ] = None,
    key_file: Annotated[
        Path | None, typer.Option(help="With sftp: a file with the private key to log in by.")
    ] = None,
    host_key: Annotated[
        str,
        typer.Option(
            help="With sftp: the fingerprint of the server's key, SHA256:…, instead of a question.",
            show_default=False,
        ),
    ] = "",
    contact: Annotated[
        list[str] | None,
        typer.Option(help="With mail: NAME=ADDRESS, a contact and where to write to them."),
    ] = None,
    imap: Annotated[
        str,
        typer.Option(
            help="With mail: the IMAP server, HOST[:PORT]; imap. and your domain if not given.",
            show_default=False,
        ),
    ] = "",
    smtp: Annotated[
        str,
        typer.Option(
            help="With mail: the server for sending, HOST[:PORT]; smtp. and your domain if not "
            "given. On ports 465 and 993 TLS begins at once, on others by STARTTLS.",
            show_default=False,
        ),
    ] = "",
    endpoint: Annotated[
        str, typer.Option(help="The address of the S3 service.", show_default=False)
    ] = "",
    carry: Annotated[
        bool,
        typer.Option("--carry", help="With lan: carry sealed messages for others, and they yours."),
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Do not ask whether its owner may see what it says.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Add a proxy, or a place to leave messages, as one more way.

    A proxy is used where the direct way is blocked; with --only, it is the only way. Whoever runs
    it sees your address and which relays you use, but nothing of what goes there.

    With tor, relays do not see your address while they are reached that way. A Tor that runs on
    this computer is used (Tor Browser has one), else one is started. With --only, no relay or
    server is ever reached past Tor, and every inbox that you read and every message that you
    leave there has a connection of its own, so that a relay cannot tell that they are yours. So it
    is for relays that end in .onion, which Tor alone leads to. The local network is no part of it.

    A folder (shared, or on a stick), a folder by WebDAV or SFTP, or an S3 bucket that a contact
    uses as well carries sealed messages both ways, without any relay. Before a server is first
    used, the program says what its owner can see, and asks.

    An e-mail account that you have already carries sealed messages to contacts who use one, too:
    as mails with one encrypted attachment, which are deleted when they were read. Your other mail
    is left alone. Say with --contact at which address a contact reads; whoever writes to you by
    mail is answered there. Where the provider refuses your password, make one for a single program
    in the settings of the account (an app password). To name more contacts later, give the same
    address with --contact alone.

    On the local network (lan) the nodes of contacts who are in it, too, find each other and hand
    over what waits, without any server and without internet. With --carry they also take sealed
    messages along for others, which none of those on the way can read.

    Examples:

        volok path add socks5://127.0.0.1:1080

        volok path add http://user:secret@proxy.example:3128 --relay wss://relay.example --only

        volok path add tor --only

        volok path add tor --bridge "obfs4 ADDRESS:PORT FINGERPRINT cert=... iat-mode=0"

        volok path add /media/stick

        volok path add lan

        volok path add webdavs://cloud.example/shared --user alice --password-file secret.txt

        volok path add s3://letters --endpoint https://s3.example --user KEY --password-file F

        volok path add sftp://alice@server.example/shared --key-file ~/.ssh/id_ed25519

        volok path add mail://alice@mail.example --password-file F --contact Bob=bob@post.example

        volok path add mail://alice@mail.example --contact Carol=carol@post.example
    """
    output = Output(as_json)
    learns = OBSERVER_LEARNS if where == LAN else owner_learns(where)
    addresses = _addresses(contact or [])
    if addresses and not where.startswith(_MAIL):
        raise typer.BadParameter("--contact goes with mail://ADDRESS.")
    more: Json = {"imap": imap, "smtp": smtp, "contacts": addresses}
    if key_file:
        more["key"] = key_file.expanduser().read_text()
    if where.startswith(_SFTP) and not (password_file or key_file):
        raise typer.BadParameter("Say with --password-file or --key-file how to log in.")
    asked_before = addresses and not password_file
    if learns and not yes and not asked_before:
        output.say(learns)
        if not typer.confirm("Use it?", err=True):
            raise typer.Exit(1)
    password = password_file.read_text().strip() if password_file else ""

    async def body(commands: CommandSet) -> None:
        if where == _TOR or where.startswith(_PROXIES):
            added = await commands.path_add(where, name, relay or [], only, bridge or [])
            output.emit(added)
            output.say(f"Added as “{added['name']}”. `volok path test` tries it.", "green")
            return
        if where == LAN:
            lan = await commands.lan_choose(True, carry)
            output.emit({"name": LAN, **lan})
            output.say("On. `volok path test lan` says who is here.", "green")
            return
        if where.startswith(_SFTP):
            more["host_key"] = await _known_server(commands, where, host_key, yes, output)
        drop = await commands.drop_add(where, user, password, endpoint, more)
        output.emit({"name": drop["place"], **drop})
        if asked_before:
            output.say("Noted. From now on they are written to there.", "green")
            return
        output.say("Added. It was tried just now, and works.", "green")

    run(context, body)


@path_app.command()
def remove(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Its name in `volok path list`.")],
    as_json: AsJson = False,
) -> None:
    """Remove a way that you added. What you left in a place is taken away from there.

    Examples:

        volok path remove proxy

        volok path remove /media/stick

        volok path remove mail://alice@mail.example
    """
    output = Output(as_json)

    async def body(commands: CommandSet) -> None:
        drops = {one["place"] for one in await commands.drops()}
        if name == LAN:
            output.emit({"name": LAN, **await commands.lan_choose(False, False)})
        elif name in drops:
            output.emit(await commands.drop_remove(name))
        else:
            output.emit(await commands.path_remove(name))
        output.say("Removed.", "green")

    run(context, body)


@path_app.command("test")
def try_(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(help="One way; without, all of them.")] = None,
    relay: Annotated[
        str | None, typer.Option(help="With this relay; without, with all of yours.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Try the ways to your relays, one after the other, or one place to leave messages.

    Nothing but your relays, or that place, is contacted. An e-mail account is tried with a mail to
    yourself, which is deleted when it came.

    Examples:

        volok path test

        volok path test direct --relay wss://relay.example --json

        volok path test lan

        volok path test mail://alice@mail.example
    """
    output = Output(as_json)

    async def body(commands: CommandSet) -> None:
        if name == LAN:
            lan = await commands.lan_test()
            output.emit({"name": LAN, **lan})
            output.say(lan["problem"] or f"{found(lan)[0].upper()}{found(lan)[1:]}.")
            return
        if name and name in {one["place"] for one in await commands.drops()}:
            tried = await commands.drop_test(name)
            output.emit({"name": name, **tried})
            output.say(f"{name}: works, tried in {tried['seconds']:.2f} s", "green")
            return
        trials = await commands.path_test(name, relay)
        for one in trials:
            output.emit(one)
            if one["seconds"] is None:
                output.say(f"{one['relay']} by {one['name']}: {one['problem']}", "yellow")
            else:
                output.say(f"{one['relay']} by {one['name']}: open in {one['seconds']:.2f} s")
        if not trials:
            output.say("You have no relay that could be tried.", "yellow")

    run(context, body)


def _addresses(texts: Sequence[str]) -> dict[str, str]:
    """Contacts and their mail addresses, from NAME=ADDRESS."""
    addresses = {}
    for text in texts:
        name, equals, address = text.partition("=")
        if not (equals and name.strip() and address.strip()):
            raise typer.BadParameter("--contact reads NAME=ADDRESS.")
        addresses[name.strip()] = address.strip()
    return addresses


async def _known_server(
    commands: CommandSet, where: str, expected: str, yes: bool, output: Output
) -> str:
    """The key of an SFTP server, once the person has accepted it."""
    shown = await commands.drop_host_key(where)
    output.say(f"The server shows the key {shown['fingerprint']}.")
    if expected and expected != shown["fingerprint"]:
        output.say("This is not the key that you expect, so nothing was said to it.", "red")
        raise typer.Exit(1)
    if not (expected or yes) and not typer.confirm(
        "Is that what its owner says it is? From now on no other is accepted.", err=True
    ):
        raise typer.Exit(1)
    return str(shown["host_key"])


def found(lan: Json) -> str:
    """What was found on the local network, in words."""
    if not lan["nodes"]:
        return "no other node here"
    nodes = "1 node" if lan["nodes"] == 1 else f"{lan['nodes']} nodes"
    match lan["contacts"]:
        case 0:
            return f"{nodes} here, no contact among them"
        case 1:
            return f"{nodes} here, 1 of them a contact"
        case contacts:
            return f"{nodes} here, {contacts} of them contacts"
