"""Starting a relay from the settings of `volok relay`, and ending it well."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import signal
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from volok.app import verify_process
from volok.app.cli.output import Output
from volok.app.cli.relay_certificate import kept_certificate
from volok.model.urls import relay_host, url_in_requests
from volok.native import NativeCrypto
from volok.paths.tor_control import OnionKey
from volok.relay.backends import Backends, backends, for_a_server
from volok.relay.config import RelayConfig
from volok.relay.errors import RelayError
from volok.relay.folder import Ask, FolderKeys, unlocked
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
from volok.relay.metrics import Metrics
from volok.relay.onion import OpenControl, control_of, kept_key, published
from volok.relay.run import run_relay
from volok.relay.serve_settings import ServeSettings
from volok.relay.settings import RelaySettings
from volok.relay.systemd import Notifier, inherited_listener
from volok.relay.tls import Certificates, file_pin
from volok.relay.transports import parse_wish, transports
from volok.relay.verifying import VerifyingProcesses
from volok.store.file_seal import FileSeal

_FEW_CORES = 2
_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the operator asked for, in the file and on the command line."""

    serve: ServeSettings
    relay: RelaySettings


def wishes(config: RelayConfig, options: Mapping[str, Any]) -> Wishes:
    """Put a configuration file and the options of the command line together; options win.

    `options` are fields of `ServeSettings`, and `url` for `RelaySettings.public_urls`; only those
    that were given. Raises RelayError.
    """
    own = dict(options)
    relay = dict(config.relay)
    if "url" in own:
        relay["public_urls"] = own.pop("url")
    found = Wishes(ServeSettings(**{**config.serve, **own}), RelaySettings(**relay))
    if not found.serve.behind_proxy:
        return found
    urls = found.relay.public_urls
    if not urls:
        raise RelayError("Behind a proxy the relay has to know its address: add --url wss://…")
    names = found.relay.hosts or tuple(dict.fromkeys(map(relay_host, urls)))
    return replace(found, relay=replace(found.relay, hosts=names, forwarded_addresses=True))


async def start(asked: Wishes, output: Output, ask: Ask) -> None:
    """Run a relay until SIGTERM or SIGINT; SIGHUP reads the certificate again. `ask` is called
    before that where the folder is encrypted, or to be. Raises RelayError, PortInUse."""
    keys = unlocked(asked.serve.data, NativeCrypto(), ask, asked.serve.encrypt)
    if keys.store is not None and asked.serve.store:
        raise RelayError(
            "The key file of a shared store is not encrypted under a passphrase. Put the folder "
            "on an encrypted disk, and start without --encrypt in a new folder."
        )
    stopping, metrics, notifier = asyncio.Event(), Metrics(), Notifier(os.environ)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    # What Python says of an error that nobody caught names addresses and frames.
    loop.set_exception_handler(lambda _loop, _context: _count(metrics))
    listener = inherited_listener(os.environ, os.getpid())
    serve, urls = asked.serve, asked.relay.public_urls
    wanted = tuple(parse_wish(text, serve.transport_option) for text in serve.transport)
    files = _certificate(serve, urls)
    path = secret_path(
        serve.data, serve.secret_path or (AUTO if files else NONE), secrets.token_bytes
    )
    if serve.cover and not path:
        raise RelayError("A cover website takes a secret path: --secret-path auto.")
    if wanted and not files:
        raise RelayError("A transport takes a relay that people know by its key: add --tls.")
    pin = file_pin(files[0]).hex() if files else ""
    known = Reachable(serve.host, 0, bool(files), path, pin, urls)
    async with AsyncExitStack() as stack:
        control, key = await _onion(serve, stack)
        known = replace(known, onion=key.address if key else "")
        verifying = await stack.enter_async_context(contextlib.aclosing(await _verifying()))
        certificates = Certificates(*files, lambda: _new_pin(serve.data, files)) if files else None
        address = await stack.enter_async_context(
            run_relay(
                serve.host,
                serve.port,
                serve.data,
                replace(asked.relay, public_urls=_public_urls(known), secret_path=path),
                NativeCrypto(),
                time.time,
                metrics,
                tls=certificates.context if certificates else None,
                cover=serve.cover,
                listener=listener,
                metrics_port=serve.metrics_port or None,
                wait=serve.wait,
                plugin=serve.plugin,
                backends=backends(
                    serve.store, serve.bus, serve.blobs, NativeCrypto(), os.environ, _folder(keys)
                ),
                verifying=verifying,
            )
        )
        target = _LOOPBACK.get(address.host, address.host), address.port
        known = replace(known, host=address.host, port=address.port)
        running = await stack.enter_async_context(
            transports(wanted, serve.data, address.host, target, kept(serve.data))
        )
        found = True
        if control and key:
            keeping = published(control, key, onion_port(known), target)
            found = await stack.enter_async_context(keeping)
        known = replace(known, transports=tuple(one.to_text() for one in running))
        remember(serve.data, known)
        _watch(certificates, stack)
        shown = address.websocket_url if not files else _own_link(known)
        onion = onion_url(known) if key else None
        output.emit({"url": shown, "port": address.port, "onion": onion})
        output.line(shown)
        if onion:
            output.line(onion)
        if not found:
            output.say("Tor has not announced the onion service yet; that may take minutes.", "dim")
        output.say("The relay is up. Press Ctrl-C to stop it.", "dim")
        notifier.ready()
        await stopping.wait()
        notifier.stopping()


def _folder(keys: FolderKeys) -> Backends:
    """How the folder itself is opened."""
    seal = FileSeal(NativeCrypto(), keys.blobs) if keys.blobs is not None else None
    return for_a_server(keys.store, seal)


async def _verifying() -> VerifyingProcesses:
    """What checks signatures. This process and the store's take two cores by themselves."""
    try:
        return await VerifyingProcesses.open(
            verify_process.MODULE, 2 if (os.cpu_count() or 1) > _FEW_CORES else 1, NativeCrypto()
        )
    except OSError as error:
        raise RelayError("There is no room for another process. Free some memory.") from error


def _count(metrics: Metrics) -> None:
    metrics.failures += 1


def _watch(certificates: Certificates | None, stack: AsyncExitStack) -> None:
    """Follow the files of the certificate until the stack ends."""
    loop = asyncio.get_running_loop()
    if certificates is None:
        loop.add_signal_handler(signal.SIGHUP, lambda: None)
        return
    loop.add_signal_handler(signal.SIGHUP, certificates.reload)
    stack.callback(asyncio.create_task(certificates.watch()).cancel)


def _new_pin(data: Path, files: tuple[Path, Path]) -> None:
    """Keep the pin of a new key, for `volok relay link`."""
    with contextlib.suppress(RelayError):  # the relay serves it all the same
        remember(data, replace(recall(data), pin=file_pin(files[0]).hex()))


async def _onion(
    serve: ServeSettings, stack: AsyncExitStack
) -> tuple[OpenControl | None, OnionKey | None]:
    """The Tor to publish through, and the key of the onion service. Raises RelayError."""
    if not serve.onion:
        return None, None
    program = shutil.which("tor") or shutil.which("/usr/sbin/tor")
    control = await stack.enter_async_context(
        control_of(serve.tor_control, serve.data, program, secrets.token_bytes)
    )
    return control, await kept_key(serve.data, control)


def _public_urls(known: Reachable) -> tuple[str, ...]:
    """The URLs that an AUTH may name: where people cannot reach it otherwise, the onion alone."""
    if known.onion and (known.urls or (not known.tls and is_unreachable(known.host))):
        return *known.urls, url_in_requests(onion_url(known))
    return known.urls


def _own_link(reachable: Reachable) -> str:
    """The address for whoever is on this computer, also when it listens on every address."""
    return links(reachable, [_LOOPBACK.get(reachable.host, reachable.host)])[0]


def _certificate(serve: ServeSettings, urls: tuple[str, ...]) -> tuple[Path, Path] | None:
    """The files of the certificate and its key; None without TLS. Raises RelayError."""
    if serve.cert and serve.key:
        return serve.cert, serve.key
    if not serve.tls:
        return None
    name = relay_host(urls[0]) if urls else "localhost"
    return kept_certificate(serve.data, name, time.time)
