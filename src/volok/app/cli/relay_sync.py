"""`volok relay sync`: a relay's folder and another relay get the same public events."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict
from typing import Annotated

import typer

from volok.app.cli.output import AsJson, Output
from volok.app.cli.relay_upkeep import FOLDER, Data, Shared, opened_store
from volok.model.filters import Filter, InvalidFilter, parse_filter
from volok.model.urls import InvalidUrl, normalise_relay_url
from volok.native import NativeCrypto
from volok.paths.direct import DirectPath
from volok.paths.live import PathError
from volok.relay.access import Reader
from volok.relay.errors import RelayError
from volok.store.store import Store
from volok.sync.intake import Intake
from volok.sync.replicating import CannotReplicate, Replica, Replicator

_SEEN = 10_000


def register(relay_app: typer.Typer) -> None:
    """Add the command to `volok relay`."""
    relay_app.command()(sync)


def sync(
    context: typer.Context,
    url: Annotated[str, typer.Argument(help="The other relay: wss://…", metavar="URL")],
    data: Data = FOLDER,
    store: Shared = "",
    wanted: Annotated[
        str,
        typer.Option("--filter", help="Only events that match this filter of NIP-01, as JSON."),
    ] = "{}",
    down: Annotated[bool, typer.Option("--down", help="Fetch what is missing here.")] = False,
    up: Annotated[bool, typer.Option("--up", help="Send what is missing there.")] = False,
    both: Annotated[bool, typer.Option("--both", help="Do both.")] = False,
    as_json: AsJson = False,
) -> None:
    """Fetch what another relay has and this one lacks, send what it lacks, or both.

    Only what differs is carried: the two first compare what they hold (NIP-77). Sealed messages are
    neither fetched nor sent, since they are for their addressees alone. Every event that comes is
    verified. Without a direction, events are fetched. Stop the relay of the folder first; others
    that share a store go on.

    Examples:

        volok relay sync wss://relay.example --data /srv/relay

        volok relay sync wss://relay.example --data /srv/relay --both

        volok relay sync wss://relay.example --filter '{"kinds":[0,3,10002]}' --down

        volok relay sync wss://relay.example --up --json
    """
    output = Output(as_json)
    down, up = down or both or not up, up or both
    opened = opened_store(context, data, store)
    replica = asyncio.run(_sync(_url(url), opened, _filter(wanted), down, up))
    output.emit(asdict(replica))
    if down:
        output.say(f"Fetched {replica.fetched} of {replica.needed} events that were missing here.")
    else:
        output.say(f"{replica.needed} events are missing here; --down fetches them.")
    if up:
        output.say(f"Sent {replica.published} of {replica.lacking} events that were missing there.")
    else:
        output.say(f"{replica.lacking} events are missing there; --up sends them.")
    if replica.forged:
        output.say(f"{replica.forged} events were forged and left out.")


async def _sync(
    url: str, opened: AbstractAsyncContextManager[Store], wanted: Filter, down: bool, up: bool
) -> Replica:
    crypto = NativeCrypto()
    visible = Reader(frozenset(), sealed=False).visibility
    path = DirectPath()
    try:
        async with opened as store:
            socket = await path.websocket(url)
            try:
                intake = Intake(store, crypto, time.time, _SEEN)
                replicator = Replicator(socket, store, intake, visible, time.time)
                return await replicator.run(wanted, down=down, up=up)
            finally:
                await socket.close()
    except (PathError, CannotReplicate) as error:
        raise RelayError(str(error)) from error
    finally:
        await path.close()


def _url(text: str) -> str:
    try:
        return normalise_relay_url(text)
    except InvalidUrl as error:
        raise RelayError(f"This is no address of a relay. {error}") from error


def _filter(text: str) -> Filter:
    try:
        return parse_filter(json.loads(text))
    except (InvalidFilter, ValueError, RecursionError) as error:
        problem = str(error) if isinstance(error, InvalidFilter) else "It is not JSON."
        raise RelayError(f"The filter cannot be used. {problem}") from error
