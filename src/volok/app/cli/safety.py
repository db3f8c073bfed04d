"""`volok status`, `backup`, `restore`, `lock`, `unlock`, `panic`: the state of a home."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from volok.app.access import access, running, start_node
from volok.app.cli.options import Options
from volok.app.cli.output import AsJson, Output
from volok.app.cli.session import run
from volok.app.commands import CommandSet
from volok.app.errors import NotRunning, NotSetUp
from volok.app.home import Home
from volok.app.settings import NodeSettings

app = typer.Typer()

RELAY_STATES = {
    "connected": "connected",
    "connecting": "connecting",
    "failed": "out of reach",
    "idle": "not connected, because no node is up",
}


@app.command()
def status(context: typer.Context, as_json: AsJson = False) -> None:
    """Say how you are connected and what waits.

    Works while locked, and then says less.

    Examples:

        volok status

        volok status --json
    """
    options: Options = context.obj
    output = Output(as_json)

    async def whole() -> None:
        passphrase = options.passphrase if options.passphrase_file else None
        async with access(options.home, NodeSettings(), passphrase) as commands:
            report = await commands.status()
        output.emit(report)
        up = "A node is up" if report["running"] else "No node is up"
        output.say(f"{up} for {options.home}; the vault is {report['state']}.")
        if report["state"] == "open":
            output.say(f"You are {report['name']}. Without receipt: {report['waiting']}.")
        for relay in report["relays"]:
            output.say(f"{relay['url']}: {RELAY_STATES[relay['state']]}")
            if relay["problem"]:
                output.say(f"  {relay['problem']}", "yellow")
            if relay["guards_inboxes"] is False:
                output.say("  Warning: it shows your sealed mail to anybody who asks.", "yellow")
        for relay in report["heard"]:
            said = RELAY_STATES[relay["state"]]
            output.say(f"{relay['url']}: from a contact, because yours are gone; {said}")
        if report["state"] == "open" and not report["relays"]:
            output.say("You have no relay: only what is carried by hand arrives.", "yellow")

    asyncio.run(whole())


@app.command()
def backup(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="The backup to write.")],
    as_json: AsJson = False,
) -> None:
    """Write an encrypted backup of everything.

    Your passphrase opens it. Without a passphrase a recovery code is made and printed: write it
    down, it is shown this once.

    Examples:

        volok backup volok.backup
    """
    output = Output(as_json)

    async def body(commands: CommandSet) -> None:
        report = await commands.backup(str(file.absolute()))
        output.emit(report)
        output.say("The backup is written.", "green")
        if report["recovery_code"]:
            output.say("Write this recovery code down; without it the backup is lost:")
            output.line(report["recovery_code"])

    run(context, body)


@app.command()
def restore(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="The backup to restore.")],
    as_json: AsJson = False,
) -> None:
    """Restore a backup into an empty home folder.

    Asks for the passphrase of the backup, or its recovery code; --passphrase-file before the
    command may hold either. Your contacts send again what the backup does not know.

    Examples:

        volok --home new-home restore volok.backup
    """
    options: Options = context.obj
    path = file.absolute()
    with path.open("rb"):
        secret = options.passphrase()

    async def whole() -> str:
        async with start_node(options.home, NodeSettings()) as node:
            await node.restore(path, secret)
            return str(node.state)

    state = asyncio.run(whole())
    output = Output(as_json)
    output.emit({"home": str(options.home), "state": state})
    output.say("Restored. `volok up` or `volok sync` connects it.", "green")


@app.command()
def lock(context: typer.Context, as_json: AsJson = False) -> None:
    """Lock the running node.

    Its keys leave memory, its page shows the lock. Where no node is up, everything is locked
    already.

    Examples:

        volok lock
    """
    options: Options = context.obj
    output = Output(as_json)

    async def whole() -> None:
        if not Home(options.home).is_set_up():
            raise NotSetUp
        async with running(Home(options.home), NodeSettings()) as remote:
            report = {"state": "locked"} if remote is None else await remote.lock()
        output.emit(report)
        output.say("Locked.", "green")

    asyncio.run(whole())


@app.command()
def unlock(context: typer.Context, as_json: AsJson = False) -> None:
    """Unlock the running node.

    Examples:

        volok unlock

        volok --passphrase-file secret.txt unlock
    """
    options: Options = context.obj
    output = Output(as_json)

    async def whole() -> None:
        async with running(Home(options.home), NodeSettings()) as remote:
            if remote is None:
                raise NotRunning
            report = await remote.status()
            if report["state"] == "locked":
                needed = report["has_passphrase"]
                report = await remote.unlock(options.passphrase() if needed else None)
        output.emit({"state": report["state"]})
        output.say("Unlocked.", "green")

    asyncio.run(whole())


@app.command()
def panic(context: typer.Context, as_json: AsJson = False) -> None:
    """Destroy the key of the vault at once, then everything else.

    Asks nothing and cannot be undone: messages, contacts and keys of this home are gone for ever,
    and only a backup that lies elsewhere brings them back.

    Examples:

        volok panic
    """
    options: Options = context.obj
    output = Output(as_json)

    async def whole() -> None:
        async with access(options.home, NodeSettings(), None) as commands:
            output.emit(await commands.panic())
        output.say("The key is destroyed.", "red")

    asyncio.run(whole())
