"""The address of a relay to hand to people, and what its data folder keeps for it."""

from __future__ import annotations

import base64
import ipaddress
import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from volok.model.relay_link import RelayPin
from volok.model.transport import Transport, parse_transport
from volok.model.urls import InvalidUrl, normalise_relay_url, url_in_requests
from volok.relay.errors import RelayError
from volok.store.secure_files import write_private

SECRET_FILE = "secret-path"  # noqa: S105
LINK_FILE = "link.json"

AUTO, NONE = "auto", "none"

_SECRET_BYTES = 16


@dataclass(frozen=True, slots=True)
class Reachable:
    """How a running relay can be reached; kept in its data folder."""

    host: str
    """The address that it listens on."""
    port: int
    tls: bool
    secret_path: str
    """Empty for none."""
    pin: str
    """The pin of its key in hexadecimal; empty without TLS."""
    urls: tuple[str, ...]
    """The URLs that the operator named."""
    transports: tuple[str, ...] = ()
    """The pluggable transports in front of it, as `volok.model.transport` writes them."""
    onion: str = ""
    """The address of its onion service, without `.onion`; empty for none."""


def secret_path(data_dir: Path, wanted: str, random: Callable[[int], bytes]) -> str:
    """The secret path that an operator asks for: `auto`, `none` (empty), or the path itself.

    `auto` is the one kept in the folder, made from `random` the first time; `random` gives so
    many secret bytes. Raises RelayError.
    """
    if wanted == NONE:
        return ""
    file = data_dir / SECRET_FILE
    try:
        kept = file.read_text(encoding="ascii").strip() if file.exists() else ""
        if wanted == AUTO:
            fresh = base64.urlsafe_b64encode(random(_SECRET_BYTES)).rstrip(b"=").decode()
            wanted = kept or fresh
        if wanted != kept:
            data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_private(file, wanted.encode("ascii"))
    except (OSError, ValueError) as error:
        raise RelayError("The secret path cannot be kept in the data folder.") from error
    return wanted


def remember(data_dir: Path, reachable: Reachable) -> None:
    """Keep how the relay is reached, for `volok relay link`. Raises RelayError."""
    try:
        write_private(data_dir / LINK_FILE, json.dumps(asdict(reachable)).encode())
    except OSError as error:
        raise RelayError("The data folder cannot be written. Choose another folder.") from error


def recall(data_dir: Path) -> Reachable:
    """How the relay of a folder is reached. Raises RelayError."""
    try:
        value = json.loads((data_dir / LINK_FILE).read_bytes())
        pin = bytes.fromhex(value["pin"]).hex()
        urls = tuple(map(str, value["urls"]))
        path, tls = str(value["secret_path"]), bool(value["tls"])
        texts = value.get("transports", [])
        transports = tuple(parse_transport(text).to_text() for text in texts)
        onion = str(value.get("onion", ""))
        return Reachable(
            str(value["host"]), int(value["port"]), tls, path, pin, urls, transports, onion
        )
    except FileNotFoundError as error:
        raise RelayError(
            "No relay has run with this data folder. Start it once, then ask for its address."
        ) from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RelayError("The data folder holds something that is no relay's.") from error


def kept(data_dir: Path) -> tuple[Transport, ...]:
    """The transports that stood in front of the relay the last time."""
    try:
        return tuple(map(parse_transport, recall(data_dir).transports))
    except RelayError:
        return ()


def links(
    reachable: Reachable,
    hosts: Iterable[str] = (),
    *,
    port: int | None = None,
    sni: str = "",
    pinned: bool = True,
) -> list[str]:
    """The addresses to hand to people, in their normal form.

    `hosts` are names or addresses under which people reach the relay; without any, the URLs that
    its operator named, or the address that it listens on. `port` replaces the port that it listens
    on, for a router or a web server in front. `sni` is a cover name. `pinned` says whether the
    pin is part of the address, and with it the transports. The address of the onion service stands
    last. Raises RelayError, InvalidUrl.
    """
    fragment = ""
    if reachable.tls and pinned:
        transports = tuple(map(parse_transport, reachable.transports))
        fragment = f"#{RelayPin(bytes.fromhex(reachable.pin), sni, transports).to_text()}"
    elif sni:
        raise RelayError("A cover name takes a pinned key: run the relay with --tls.")
    path = f"/{reachable.secret_path}" if reachable.secret_path else ""
    places = [_place(host, port or (reachable.port if reachable.tls else 443)) for host in hosts]
    bases = [f"wss://{place}" for place in places]
    if not bases:
        bases = [url_in_requests(url).removesuffix("/") for url in reachable.urls]
    onion = [onion_url(reachable)] if reachable.onion else []
    if not bases and onion and is_unreachable(reachable.host):
        return onion
    if not bases:
        if _is_wildcard(reachable.host):
            raise RelayError("Say under which name or address people reach the relay: --host NAME.")
        scheme = "wss" if reachable.tls else "ws"
        bases = [f"{scheme}://{_place(reachable.host, port or reachable.port)}"]
    return list(dict.fromkeys([*(_joined(base, path, fragment) for base in bases), *onion]))


def onion_url(reachable: Reachable) -> str:
    """The address of its onion service, which is known by that alone. Raises RelayError."""
    pin = f"#{RelayPin(bytes.fromhex(reachable.pin)).to_text()}" if reachable.tls else ""
    scheme = "wss" if reachable.tls else "ws"
    path = f"/{reachable.secret_path}" if reachable.secret_path else ""
    return _joined(f"{scheme}://{reachable.onion}.onion", path, pin)


def onion_port(reachable: Reachable) -> int:
    """The virtual port of its onion service."""
    return 443 if reachable.tls else 80


def _joined(base: str, path: str, fragment: str) -> str:
    below = "" if path and base.endswith(path) else path
    try:
        return normalise_relay_url(f"{base}{below}{fragment}")
    except InvalidUrl as error:
        raise RelayError(f"This makes no address of a relay. {error}") from error


def _place(host: str, port: int) -> str:
    name = f"[{host}]" if ":" in host and not host.startswith("[") else host
    return f"{name}:{port}"


def is_unreachable(host: str) -> bool:
    """Whether nobody but this computer reaches it there, or nobody can know where it is."""
    try:
        return ipaddress.ip_address(host).is_loopback or _is_wildcard(host)
    except ValueError:
        return host == "localhost"


def _is_wildcard(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False
