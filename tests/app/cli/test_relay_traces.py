"""No IP, port, user agent, key, id, content or path of a client is written anywhere, at any level.

A relay runs with every logger of Python at DEBUG, asyncio in debug mode, and each warning shown. It
is talked to over HTTP, websockets and TLS, well and badly. Then its output and each file in its
folder are searched; events themselves are what a relay is for, and lie in their own file.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import ssl
import sys
import time
from pathlib import Path

import pytest
import websockets
from tests.relay.conftest import CRYPTO, Person

from volok.model.auth import auth_event

LOUD = """
import logging, sys, threading, time, warnings
logging.basicConfig(level=logging.DEBUG, stream=sys.stderr)
warnings.simplefilter("always")
def louder():
    while True:  # whatever quiets a logger is undone
        logging.disable(logging.NOTSET)
        for logger in [logging.getLogger(), *logging.Logger.manager.loggerDict.values()]:
            if isinstance(logger, logging.Logger):
                logger.setLevel(logging.DEBUG)
                logger.disabled, logger.propagate = False, True
        time.sleep(0.005)
threading.Thread(target=louder, daemon=True).start()
logging.getLogger("loud").debug("THE-LOGS-ARE-ON")
from volok.app.cli import main
sys.argv = ["volok", *sys.argv[1:]]
main()
"""
AGENT = "AgentOfSomebody/7.7"
CLIENT = "127.77.66.55"
"""Where the client comes from; the relay listens elsewhere."""
ODD = "odd-path-of-somebody"
WORD = "words-of-somebody"


async def loud_relay(folder: Path, *arguments: str) -> tuple[asyncio.subprocess.Process, dict]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-X", "dev", "-c", LOUD, "relay", "--port", "0", "--json"),
        *("--data", str(folder), *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONASYNCIODEBUG": "1"},
    )
    async with asyncio.timeout(30):
        return process, json.loads(await process.stdout.readline())


async def raw(
    port: int, data: bytes, tls: ssl.SSLContext | None = None, wait: float = 0.3
) -> bytes:
    """Send bytes from the client's address; what came back in `wait` seconds, or until the end."""
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, local_addr=(CLIENT, 0), ssl=tls
    )
    ports.append(writer.get_extra_info("sockname")[1])
    answer = b""
    with contextlib.suppress(OSError, TimeoutError):
        writer.write(data)
        async with asyncio.timeout(wait):
            while piece := await reader.read(100_000):
                answer += piece
    writer.transport.abort()
    return answer


ports: list[int] = []
"""The ports of the client."""


def head(line: str, *more: str) -> bytes:
    lines = (line, "Host: relay.example", f"User-Agent: {AGENT}", *more)
    return "\r\n".join((*lines, "", "")).encode()


async def odd_requests(port: int, path: str, tls: ssl.SSLContext | None) -> None:
    forwarded = f"X-Forwarded-For: {CLIENT}"
    upgrade = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13")
    requests = (
        head(f"GET {path}/ HTTP/1.1", forwarded),
        head(f"GET {path}/{ODD} HTTP/1.1"),
        head(f"GET {path}/%zz%00{ODD} HTTP/1.1"),
        head(f"BREW {path}/{ODD} HTTP/1.1"),
        head(
            f"PUT {path}/upload HTTP/1.1",
            "Content-Length: 99999999999999",
            "Authorization: Nostr x",
        ),
        head(f"PUT {path}/upload HTTP/1.1", "Transfer-Encoding: chunked") + b"zz\r\n",
        head(f"GET {path}/ HTTP/1.1", *upgrade, "Sec-WebSocket-Key: bad"),
        head(f"GET {path}/ HTTP/1.1", *upgrade, "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==")
        + b"\xff\xff\xff\xff" * 20,
        head(f"GET {path}/ HTTP/1.1", "X-Long: " + AGENT * 20_000),
        b"\x16\x03\x01\x02\x00" + WORD.encode() * 40,
        b"\x00" * 4096,
        AGENT.encode(),
    )
    await asyncio.gather(*(raw(port, data, tls) for data in requests))


async def client(url: str, tls: ssl.SSLContext | None) -> list[str]:
    """What somebody does; returns what must not be found outside events."""
    person, now = Person(os.urandom(32)), int(time.time())
    event = person.event(1, WORD, [["t", "tag-of-somebody"]], at=now)
    options = {"user_agent_header": AGENT, "local_addr": (CLIENT, 0), "ssl": tls}
    async with websockets.connect(url, **options) as socket_:
        ports.append(socket_.local_address[1])
        challenge = json.loads(await socket_.recv())[1]
        auth = auth_event(CRYPTO, person.secret, url, challenge, now)
        for frame in (
            f'["EVENT",{event.to_json().decode()}]',
            f'["AUTH",{auth.to_json().decode()}]',
            json.dumps(["REQ", "sub-of-somebody", {"authors": [person.pubkey]}]),
            json.dumps(["EVENT", json.loads(event.to_json()) | {"sig": "0" * 128}]),
            '["EVENT",{"id":"' + WORD + '"}]',
            WORD,
            b"\x00\xff" + WORD.encode(),
            "[" * 50_000,
        ):
            await socket_.send(frame)
            await socket_.recv()
    forger = await websockets.connect(url, **options)
    forger.transport.abort()
    for data in (b"\x81\xfe\xff\xff", b"\xc1\x80\x00\x00\x00\x00", b"\x88\x81aaaa\x00"):
        broken = await websockets.connect(url, **options)
        broken.transport.write(data)
        broken.transport.abort()
    return [person.secret.hex(), auth.id, challenge, "sub-of-somebody"]


@pytest.mark.parametrize(
    "tls", [pytest.param(False, id="plain", marks=pytest.mark.full), pytest.param(True, id="tls")]
)
async def test_nothing_of_a_client_is_written(tls: bool, tmp_path: Path) -> None:
    ports.clear()
    folder = tmp_path / "data"
    with socket.create_server(("127.0.0.1", 0)) as one:
        metrics_port = one.getsockname()[1]
    arguments = ("--metrics-port", str(metrics_port), *(("--tls",) if tls else ()))
    process, shown = await loud_relay(folder, *arguments)
    context = None
    if tls:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    path = "/" + shown["url"].partition("#")[0].split("/", 3)[3] if tls else ""
    url = f"{'wss' if tls else 'ws'}://127.0.0.1:{shown['port']}{path}"
    try:
        secrets = await client(url, context)
        await odd_requests(shown["port"], path, context)
        if tls:  # and who speaks no TLS, or stops in the middle of a handshake
            await odd_requests(shown["port"], path, None)
        asked = b"GET /metrics HTTP/1.1\r\nHost: localhost:1\r\nConnection: close\r\n\r\n"
        numbers = await raw(metrics_port, asked, wait=30)
        assert b"volok_relay_failures_total 0\n" in numbers
        process.send_signal(signal.SIGTERM)
        out, errors = await asyncio.wait_for(process.communicate(), 60)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0
    assert b"THE-LOGS-ARE-ON" in errors
    hidden = [AGENT, CLIENT, ODD, WORD, "tag-of-somebody", *secrets]
    written = {"standard output": out, "standard error": errors, "metrics": numbers}
    written |= {
        str(file.relative_to(folder)): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file() and not file.name.startswith("events.db")
    }
    assert len(written) > 5
    for place, data in written.items():
        for text in hidden:
            assert text.encode() not in data, (place, text)
        for port in ports:
            assert str(port).encode() not in data, (place, port)
    # The store holds the event and nothing of who sent it.
    for file in folder.glob("events.db*"):
        for text in (AGENT, CLIENT, socket.inet_aton(CLIENT).hex(), ODD, *secrets):
            assert text.encode() not in file.read_bytes(), text
        assert socket.inet_aton(CLIENT) not in file.read_bytes()
