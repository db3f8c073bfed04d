"""The control channel: commands of a running node, on loopback, for its owner's processes.

1. `POST /api/rpc` with `{"command": …, "arguments": {…}}` is answered by NDJSON: one line
   `{"value": …}` for each result, then `{"end": true}`, or `{"error": SENTENCE}`. An answer
   without one of these last lines was cut. `GET /api/rpc` answers 204: the node is there.
2. Every request carries the bearer token of `run.json`, which only the owner can read.
3. Browsers are kept out: a request with an Origin, or for another Host, is refused.
"""

from __future__ import annotations

import hmac
import inspect
import json
from collections.abc import AsyncIterator
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from volok.app.commands import Commands, CommandSet
from volok.app.errors import STATED, sentence
from volok.app.home import RPC_PATH

MOST_BYTES = 1024 * 1024
"""The largest request."""

VERBS = frozenset(
    name
    for name, member in inspect.getmembers(CommandSet, inspect.isfunction)
    if not name.startswith("_")
)


def control_app(commands: Commands, token: str) -> Starlette:
    """The control channel as an ASGI application."""

    async def endpoint(request: Request) -> Response:
        if (refusal := _refusal(request, token)) is not None:
            return refusal
        if request.method == "GET":
            return Response(status_code=204)
        try:
            body = await _body(request)
            answers = _call(commands, body["command"], body["arguments"])
        except (ValueError, KeyError, TypeError, RecursionError):
            return PlainTextResponse("Not a command.", 400)
        return StreamingResponse(_lines(answers), media_type="application/x-ndjson")

    return Starlette(routes=[Route(RPC_PATH, endpoint, methods=["GET", "POST"])])


def _refusal(request: Request, token: str) -> Response | None:
    host = request.headers.get("host", "").rpartition(":")[0]
    if host != "127.0.0.1" or "origin" in request.headers:
        return PlainTextResponse("Refused.", 403)
    given = request.headers.get("authorization", "")
    if not hmac.compare_digest(given.encode(), f"Bearer {token}".encode()):
        return PlainTextResponse("Refused.", 401)
    return None


async def _body(request: Request) -> Any:
    data = bytearray()
    async for piece in request.stream():
        data += piece
        if len(data) > MOST_BYTES:
            raise ValueError("Too large.")
    return json.loads(data)


def _call(commands: Commands, command: str, arguments: dict[str, Any]) -> AsyncIterator[Any]:
    """Begin a command. Raises KeyError for an unknown one, TypeError for wrong arguments."""
    if command not in VERBS:
        raise KeyError(command)
    method = getattr(commands, command)
    inspect.signature(method).bind(**arguments)
    if inspect.isasyncgenfunction(method):
        return method(**arguments)  # type: ignore[no-any-return]
    return _single(method, arguments)


async def _single(method: Any, arguments: dict[str, Any]) -> AsyncIterator[Any]:
    yield await method(**arguments)


async def _lines(answers: AsyncIterator[Any]) -> AsyncIterator[bytes]:
    try:
        async for value in answers:
            yield _line({"value": value})
    except STATED as error:
        yield _line({"error": sentence(error)})
    else:
        yield _line({"end": True})


def _line(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode() + b"\n"
