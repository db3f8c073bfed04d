"""The doctor of an open node: what it looks at, and what it remembers.

1. It looks at the person's own relays and drops, and at nothing else. What is only to be reached by
   a path that the person added is tried by that path alone.
2. Addresses at which a place proved itself are kept in the vault, at most `MOST_HOSTS` of them, so
   that a dead or forged name says less. Nothing else of an examination is kept.
"""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress
from urllib.parse import urlsplit

from volok.app.drops import Drops, DropView
from volok.app.errors import STATED, sentence
from volok.app.path_making import BROWSER, SHAPES
from volok.app.paths import NodePaths
from volok.app.web.formats import relay_name
from volok.app.wiring import Parts
from volok.chat.records import set_setting, setting
from volok.model.crypto import Crypto
from volok.model.relay_link import InvalidFragment, split_fragment
from volok.paths.doctor import diagnose
from volok.paths.doctor_report import Examination, Progress
from volok.paths.doctor_seen import Observations, is_private, is_public
from volok.paths.probing import Prober
from volok.paths.probing_settings import ProbeSettings, Target
from volok.store.vault import Transaction

SETTING = "doctor.addresses"
_VERSION = 1
MOST_HOSTS = 100
_MOST_ADDRESSES = 4
_NO_ANSWER = "It does not answer in time."
log = logging.getLogger(__name__)

_SERVERS = {"http": 80, "https": 443, "imaps": 993, "imap": 143, "mail": 993, "sftp": 22}


class Doctor:
    """Examines the network of an open node."""

    def __init__(
        self,
        parts: Parts,
        drops: Drops,
        crypto: Crypto,
        settings: ProbeSettings | None = None,
        authorities: ssl.SSLContext | None = None,
    ) -> None:
        """`authorities` as with `ShapedTls`."""
        self._parts = parts
        self._drops = drops
        self._crypto = crypto
        self._settings = settings or ProbeSettings()
        self._authorities = authorities
        self._mail = set[str]()

    async def examine(self, thorough: bool = False) -> AsyncGenerator[Progress | Examination, None]:
        """Tell of the progress, and at the end what came out. `thorough`: also checks for which a
        censor may cut off one of the relays for some minutes. Raises VaultError."""
        known = await self._parts.vault.read(load_addresses)
        relays = await self._parts.chat.relays()
        views = await self._drops.list()
        self._mail = {view.id for view in views if view.kind == "mail"}
        targets = [relay_target(url, self._parts.paths, known) for url in relays]
        targets += [_drop_target(view, self._parts.paths, known) for view in views]
        heard: asyncio.Queue[Progress | None] = asyncio.Queue()
        prober = Prober(
            targets,
            self._crypto.random,
            self._ways,
            self._try_drop,
            heard.put_nowait,
            self._settings,
            self._authorities,
        )
        looking = asyncio.create_task(prober.observe(thorough))
        looking.add_done_callback(lambda _: heard.put_nowait(None))
        try:
            while (progress := await heard.get()) is not None:
                yield progress
            seen = await looking
        finally:
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)
        await self._remember(targets, seen)
        shown = {url: relay_name(url) for url in relays}
        shown |= {_drop_id(view): view.place for view in views}
        yield Examination(diagnose(seen), shown)

    async def _ways(self, target: Target) -> tuple[tuple[str, bool], ...]:
        """Try a relay by each path that is not direct."""
        if not target.is_relay:
            return ()
        straight = {BROWSER[0], *(name for name, *_ in SHAPES)}
        paths = self._parts.paths
        names = [
            one.name
            for one in paths.many.candidates
            if one.name not in straight and one.fits(target.id)
        ]
        found = []
        for name in names:
            works = False
            with suppress(TimeoutError, *STATED):
                async with asyncio.timeout(self._settings.way_wait):
                    trials = await paths.test([target.id], name)
                    works = any(trial.seconds is not None for trial in trials)
            found.append((name, works))
        return tuple(found)

    async def _try_drop(self, target: Target) -> str | None:
        try:
            async with asyncio.timeout(self._settings.way_wait):
                identifier = target.id.partition(":")[2]
                # A mail to oneself takes longer than there is time.
                mails = identifier in self._mail
                await (self._drops.look(identifier) if mails else self._drops.test(identifier))
        except TimeoutError:
            return _NO_ANSWER
        except STATED as error:
            return sentence(error)
        except Exception as error:  # one place must not keep the doctor from the others
            log.warning("a drop could not be tried (%s)", type(error).__name__)
            return "Something went wrong while it was tried."
        return None

    async def _remember(self, targets: list[Target], seen: Observations) -> None:
        hosts = {target.id: target.host for target in targets}
        proved = {
            hosts[place.id]: [one for one in place.proved_at if is_public(one) or is_private(one)]
            for place in seen.places
        }
        fresh = {host: found for host, found in proved.items() if host and found}
        if fresh:
            await self._parts.vault.transact(lambda tx: _save_addresses(tx, fresh))


def relay_target(url: str, paths: NodePaths, known: Mapping[str, list[str]]) -> Target:
    """What to look at of a relay. An address that cannot be read is looked at by added paths
    alone."""
    try:
        plain, pin = split_fragment(url)
        parts = urlsplit(plain)
        host, tls = parts.hostname or "", parts.scheme == "wss"
        port = parts.port or (443 if tls else 80)
    except (InvalidFragment, ValueError):
        return Target(url, True, straight=False)
    addresses = [*paths.known_addresses(host), *known.get(host, ())]
    return Target(
        url,
        True,
        host,
        port,
        tls,
        pin,
        tuple(dict.fromkeys(addresses))[:_MOST_ADDRESSES],
        paths.may_go_directly(url),
    )


def _drop_target(view: DropView, paths: NodePaths, known: Mapping[str, list[str]]) -> Target:
    """What to look at of a drop; of a folder nothing but the drop itself."""
    try:
        parts = urlsplit(view.place)
        host, port = parts.hostname or "", parts.port or _SERVERS.get(parts.scheme, 443)
    except ValueError:
        parts, host, port = urlsplit(""), "", 443
    if not host or view.kind == "folder":
        network = view.kind != "folder"
        return Target(_drop_id(view), False, is_network=network, speaks=False)
    speaks = parts.scheme == "https"
    url = f"{parts.scheme}://{parts.netloc}"
    return Target(
        _drop_id(view),
        False,
        host,
        port,
        speaks,
        known=tuple(known.get(host, ())),
        straight=paths.may_go_directly(url),
        speaks=speaks,
    )


def _drop_id(view: DropView) -> str:
    return f"drop:{view.id}"


def load_addresses(tx: Transaction) -> dict[str, list[str]]:
    """Addresses by host, as they lie in the vault: `{"version": 1, "hosts": {HOST: [ADDRESS…]}}`.
    What makes no sense is left out."""
    try:
        value = json.loads(str(setting(tx, SETTING, "{}")))
    except (ValueError, RecursionError):
        return {}
    return read_addresses(value)


def read_addresses(value: object) -> dict[str, list[str]]:
    """The same from parsed JSON."""
    hosts = value.get("hosts") if isinstance(value, dict) and value.get("version") == 1 else None
    found: dict[str, list[str]] = {}
    for host, addresses in hosts.items() if isinstance(hosts, dict) else ():
        good = [
            one
            for one in (addresses if isinstance(addresses, list) else ())
            if type(one) is str and (is_public(one) or is_private(one))
        ]
        if good and len(found) < MOST_HOSTS:
            found[host] = good[:_MOST_ADDRESSES]
    return found


def _save_addresses(tx: Transaction, fresh: Mapping[str, list[str]]) -> None:
    known = load_addresses(tx)
    for host, addresses in fresh.items():
        merged = dict.fromkeys([*addresses, *known.pop(host, [])])
        known[host] = list(merged)[:_MOST_ADDRESSES]
    kept = dict(list(known.items())[-MOST_HOSTS:])
    set_setting(tx, SETTING, json.dumps({"version": _VERSION, "hosts": kept}))
