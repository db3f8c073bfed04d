"""Looking names up."""

import asyncio
import socket
import threading

import pytest

from volok.paths import names
from volok.paths.names import Names


async def test_dial_reaches_a_listener_by_name_and_by_address():
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    looking = Names()
    for host in ("localhost", "127.0.0.1"):
        connection = await looking.dial(host, port)
        assert connection.getpeername()[1] == port
        assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        connection.close()
    server.close()
    await server.wait_closed()
    with pytest.raises(ConnectionRefusedError):
        await looking.dial("127.0.0.1", port)
    looking.close()


async def test_a_name_is_asked_once_at_a_time_and_holds_up_no_other(monkeypatch):
    asked: list[str] = []
    begun, answer = threading.Event(), threading.Event()

    def look_up(host: str, port: int) -> list[names.Address]:
        asked.append(host)
        if host == "dead":
            begun.set()
            answer.wait(20)
            raise socket.gaierror(socket.EAI_AGAIN, "no answer")
        return [(socket.AF_INET, ("127.0.0.1", port))]

    monkeypatch.setattr(names, "_look_up", look_up)
    looking = Names()
    waiting = [asyncio.create_task(looking.addresses("dead", 1)) for _ in range(40)]
    assert await looking.addresses("alive", 2) == [(socket.AF_INET, ("127.0.0.1", 2))]
    assert await asyncio.to_thread(begun.wait, 20)
    assert asked.count("dead") == 1
    waiting[0].cancel()
    answer.set()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(results[0], asyncio.CancelledError)
    assert all(isinstance(result, OSError) for result in results[1:])
    with pytest.raises(OSError, match="no answer"):
        await looking.addresses("dead", 1)
    assert asked.count("dead") == 2
    looking.close()
