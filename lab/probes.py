"""Active probes: what a censor sends to a server that it suspects, and what gives a relay away.

1. The catalogue follows the literature: replays of what a client sent, whole and changed, and
   random bytes of telling lengths (Alice et al., How China Detects and Blocks Shadowsocks, IMC
   2020); the requests of other protocols and silence (Ensafi et al., Examining How the Great
   Firewall Discovers Hidden Circumvention Servers, IMC 2015; Frolov et al., Detecting
   Probe-resistant Proxies, NDSS 2020). To these come the probes that somebody who knows Nostr would
   try: websocket upgrades (RFC 6455) and information documents (NIP-11), without the secret path.
2. Requests of HTTP go inside TLS and in the clear, since the censor does not know which is spoken.
3. An answer reveals a relay when it switches to websocket, is an information document, has a header
   of a Blossom server, or names Nostr or relays in its text. What merely repeats the request does
   not count.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from base64 import b64encode
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from random import Random
from struct import pack

from lab.dns import build_query
from lab.tls import Hello, HelloReader

RANDOM_LENGTHS = (1, 7, 8, 9, 12, 16, 22, 33, 41, 49, 50, 221, 517, 1448, 8192)
"""Lengths of random probes, in bytes: around the sizes of salts and headers, and 221."""
CHANGED_BYTES = ((0,), (16,), (6, 16), tuple(range(8)))
"""Which bytes of a replay are changed."""
VERBS = ("GET", "HEAD", "POST", "PUT", "OPTIONS", "DELETE", "TRACE", "PROPFIND")
PATHS = ("/", "/index.html", "/robots.txt", "/.well-known/nostr.json", "/upload", "/metrics")
SOCKET_PATHS = ("/", "/ws", "/relay", "/socket", "/api")
WRONG_NAMES = ("www.example.com", "localhost", "")
"""Names for the ClientHello that are not the server's own; the empty one is left out."""

_NAMES_A_RELAY = re.compile(rb"\b(?:nostr|relays?|supported_nips)\b", re.IGNORECASE)
_SWITCHES = re.compile(rb"HTTP/1\.[01] 101\b")
_BLOSSOM_HEADER = re.compile(rb"^(?:x-reason|x-sha-256|x-content-length):", re.I | re.M)
_HOST_NAME = re.compile(r"(?!-)[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63})*")
_BROWSER = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36"


@dataclass(frozen=True, slots=True)
class Probe:
    """One connection of a prober."""

    kind: str
    """What it is, in a few words."""
    sent: bytes
    """What is sent; empty for silence."""
    tls: bool = False
    """Whether a TLS handshake comes first."""
    name: str = ""
    """The server name in that handshake; empty for none."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How the censor probes."""

    patience_seconds: float = 2.0
    """How long an answer is waited for, from the connection to its end."""
    at_once: int = 8
    """Connections at once to one server."""
    most_bytes: int = 64 * 1024
    """Of an answer, so much is read."""
    rounds: int = 1
    """How often the whole catalogue is gone through, each time with other random bytes."""


DEFAULT = Settings()


def probes(seen: bytes, host: str, rng: Random) -> Iterator[Probe]:
    """The catalogue again and again without end, with fresh random bytes each time.

    `seen` is what a client sent first, `host` the server's name or address for requests.
    """
    while True:
        yield from catalogue(seen, host, rng)


def catalogue(seen: bytes, host: str, rng: Random) -> Iterator[Probe]:
    """Every probe once; first those that servers answer at once, then those they keep waiting."""
    requests = [*_upgrades(host, rng), *_documents(host), *_requests(host, rng)]
    for kind, request in requests:
        yield Probe(kind, request)
        yield Probe(f"{kind} in TLS", request, tls=True, name=_server_name(host))
    page = _request("GET", "/", host)
    for name in (*WRONG_NAMES, f"{rng.randbytes(6).hex()}.example"):
        yield Probe("another name in TLS", page, tls=True, name=name)
    yield from _replays(seen, rng)
    yield from _garbage(rng)
    yield from _hellos(seen, host, rng)
    yield from _other_protocols(host)
    yield Probe("silence in TLS", b"", tls=True, name=_server_name(host))
    yield Probe("silence", b"")


def reveals(answer: bytes) -> bool:
    """Whether an answer, as it came or as TLS decrypted it, shows that the server is a relay."""
    head = answer.partition(b"\r\n\r\n")[0]
    return bool(
        _SWITCHES.match(head) or _BLOSSOM_HEADER.search(head) or _NAMES_A_RELAY.search(answer)
    )


def without_echo(answer: bytes, sent: bytes, host: str) -> bytes:
    """An answer without the path that was asked for and the host: an error page may repeat them."""
    request = sent.split(b"\r\n", 1)[0].split(b" ")
    path = request[1] if len(request) > 2 else b""
    for said in (path, host.encode("ascii", "replace")):
        if len(said) > 1:
            answer = answer.replace(said, b"")
    return answer


async def probe(
    address: str,
    port: int,
    seen: bytes,
    settings: Settings = DEFAULT,
    rng: Random | None = None,
) -> bool:
    """Probe a server until it reveals itself; False when it does not, or cannot be reached.

    Without `rng` the random bytes follow from `seen`.
    """
    rng = rng or Random(seen)
    host = name_in(seen) or address
    size = sum(1 for _ in catalogue(seen, host, Random(0)))
    left = islice(probes(seen, host, rng), size * settings.rounds)
    found = asyncio.Event()

    async def work() -> None:
        for one in left:
            if found.is_set():
                return
            answer = await ask(address, port, one, settings)
            if reveals(without_echo(answer, one.sent, host)):
                found.set()

    async with asyncio.TaskGroup() as group:
        for _ in range(settings.at_once):
            group.create_task(work())
    return found.is_set()


async def ask(address: str, port: int, one: Probe, settings: Settings = DEFAULT) -> bytes:
    """Send one probe. Returns what came back within the patience; nothing when all fails."""
    answer = bytearray()
    # ValueError: a name that cannot be sent in a ClientHello.
    with suppress(OSError, ValueError):
        async with asyncio.timeout(settings.patience_seconds):
            context = _context() if one.tls else None
            name = one.name if one.tls else None
            reader, writer = await asyncio.open_connection(
                address, port, ssl=context, server_hostname=name
            )
            try:
                writer.write(one.sent)
                await writer.drain()
                while len(answer) < settings.most_bytes and (part := await reader.read(16384)):
                    answer += part
            finally:
                writer.transport.abort()
    return bytes(answer)


def name_in(seen: bytes) -> str | None:
    """The server name in a ClientHello, if that is what was seen and it is a host's name."""
    reader = HelloReader(reassemble_tcp=False)
    reader.add(seen)
    name = reader.result.name if isinstance(reader.result, Hello) else None
    return name if name and len(name) < 254 and _HOST_NAME.fullmatch(name) else None


def client_hello(name: str, rng: Random) -> bytes:
    """A small ClientHello in one record (RFC 8446, section 4.1.2); an empty name is left out."""
    encoded = name.encode("ascii", "replace")
    entry = b"\0" + _vector(2, encoded)
    extensions = pack("!H", 0) + _vector(2, _vector(2, entry)) if encoded else b""
    extensions += pack("!H", 43) + _vector(2, _vector(1, b"\x03\x04\x03\x03"))
    extensions += pack("!H", 10) + _vector(2, _vector(2, b"\x00\x1d\x00\x17"))
    extensions += pack("!H", 13) + _vector(2, _vector(2, b"\x04\x03\x08\x04\x04\x01"))
    extensions += pack("!H", 51) + _vector(2, _vector(2, b"\0\x1d" + _vector(2, rng.randbytes(32))))
    ciphers = b"\x13\x01\x13\x02\x13\x03\xc0\x2b\xc0\x2f"
    body = b"\x03\x03" + rng.randbytes(32) + _vector(1, rng.randbytes(32)) + _vector(2, ciphers)
    message = b"\x01" + _vector(3, body + _vector(1, b"\0") + _vector(2, extensions))
    return b"\x16\x03\x01" + _vector(2, message)


def _vector(count: int, data: bytes) -> bytes:
    return len(data).to_bytes(count, "big") + data


def _replays(seen: bytes, rng: Random) -> Iterator[Probe]:
    if not seen:
        return
    yield Probe("replay", seen)
    yield Probe("replay cut short", seen[: len(seen) // 2])
    yield Probe("replay with more behind it", seen + rng.randbytes(64))
    for positions in CHANGED_BYTES:
        changed = bytearray(seen)
        for at in positions:
            if at < len(changed):
                changed[at] ^= rng.randrange(1, 256)
        yield Probe("changed replay", bytes(changed))


def _garbage(rng: Random) -> Iterator[Probe]:
    for length in RANDOM_LENGTHS:
        yield Probe("random bytes", rng.randbytes(length))
    yield Probe("zeros", bytes(64))
    yield Probe("line ends", b"\r\n\r\n")


def _hellos(seen: bytes, host: str, rng: Random) -> Iterator[Probe]:
    hello = seen if name_in(seen) else client_hello(_server_name(host), rng)
    for length in (1, 3, 5, 6, 43, len(hello) // 2, len(hello) - 1):
        yield Probe("partial ClientHello", hello[:length])
    yield Probe("ClientHello and silence", hello)
    yield Probe("ClientHello and garbage", hello + rng.randbytes(64))
    yield Probe("another name and silence", client_hello("www.example.com", rng))
    yield Probe("record of a wrong version", b"\x16\x09" + hello[2:])
    yield Probe("alert first", b"\x15\x03\x01\x00\x02\x01\x00")


def _other_protocols(host: str) -> Iterator[Probe]:
    yield Probe("SSH", b"SSH-2.0-OpenSSH_9.2\r\n")
    yield Probe("SMTP", f"EHLO {host}\r\n".encode())
    yield Probe("SOCKS5", b"\x05\x01\x00")
    yield Probe("SOCKS4", b"\x04\x01\x00\x50\x00\x00\x00\x01\x00")
    yield Probe("DNS over TCP", _vector(2, build_query(0x1234, host)))
    yield Probe("Tor versions", b"\x00\x00\x07\x00\x06\x00\x03\x00\x04\x00\x05")
    yield Probe("Modbus", b"\x00\x00\x00\x00\x00\x05\x00\x2b\x0e\x01\x00")
    yield Probe("HTTP proxy", b"CONNECT www.example.com:443 HTTP/1.1\r\n\r\n")
    yield Probe("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")


def _requests(host: str, rng: Random) -> Iterator[tuple[str, bytes]]:
    hidden = f"/{rng.randbytes(16).hex()}"
    blob = f"/{rng.randbytes(32).hex()}"
    for verb in VERBS:
        yield f"HTTP {verb}", _request(verb, "/", host)
    for path in (*PATHS, hidden, blob):
        yield "HTTP path", _request("GET", path, host)
    yield "HTTP PUT of a blob", _request("PUT", "/upload", host, body=rng.randbytes(32))
    yield "HTTP POST to a VPN", _request("POST", "/vpnsvc/connect.cgi", host, body=b"VPNCONNECT")
    yield "HTTP unknown verb", _request("NOSUCH", "/", host)
    yield "HTTP another host", _request("GET", "/", "www.example.com")
    yield "HTTP without host", b"GET / HTTP/1.0\r\n\r\n"
    yield "HTTP malformed", b"GET / HTTP/9.9\r\nHost\r\n\r\n"
    yield "HTTP and a command", _request("GET", "/", host) + b'["REQ","a",{"limit":1}]\r\n'
    preflight = {"Origin": "https://www.example.com", "Access-Control-Request-Method": "PUT"}
    yield "HTTP preflight", _request("OPTIONS", "/upload", host, preflight)


def _upgrades(host: str, rng: Random) -> Iterator[tuple[str, bytes]]:
    for path in (*SOCKET_PATHS, f"/{rng.randbytes(16).hex()}"):
        headers = {
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": b64encode(rng.randbytes(16)).decode(),
        }
        yield "websocket upgrade", _request("GET", path, host, headers)
        wrong = {**headers, "Sec-WebSocket-Version": "12", "Sec-WebSocket-Key": "x"}
        yield "malformed websocket upgrade", _request("GET", path, host, wrong)


def _documents(host: str) -> Iterator[tuple[str, bytes]]:
    for path in SOCKET_PATHS:
        accept = {"Accept": "application/nostr+json"}
        yield "information document", _request("GET", path, host, accept)


def _request(
    verb: str, path: str, host: str, headers: dict[str, str] | None = None, body: bytes = b""
) -> bytes:
    fields = {
        "Host": host,
        "User-Agent": _BROWSER,
        "Accept": "*/*",
        "Accept-Encoding": "identity",
        "Connection": "close",
        **({"Content-Length": str(len(body))} if body else {}),
        **(headers or {}),
    }
    lines = (f"{field}: {value}" for field, value in fields.items())
    return "\r\n".join([f"{verb} {path} HTTP/1.1", *lines, "", ""]).encode() + body


def _server_name(host: str) -> str:
    """The name to ask for in TLS: none for an address."""
    return "" if host.replace(".", "").isdigit() else host


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
