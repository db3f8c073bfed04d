"""A conversation: its page, older messages, single messages, and sending."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from volok.app.web import forms
from volok.app.web.errors import is_htmx, moved
from volok.app.web.formats import moment
from volok.app.web.render import chat, fragment, shell, web
from volok.chat.views import FileKind, Message, MessageState, Outgoing

_GROUP = 300_000
"""Messages of one side that are closer than this (in milliseconds) stand together."""
_THUMBNAIL_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Row:
    """One message and what its neighbours make of it."""

    message: Message
    new_day: bool
    continues: bool
    """Whether it stands together with the one before."""
    first_unread: bool = False


def rows(request: Request, messages: Sequence[Message], before: Message | None) -> list[Row]:
    """Messages, oldest first, as rows; `before` is the one that precedes them."""
    zone = web(request).settings.zone
    shown: list[Row] = []
    unread = False
    for message in messages:
        new_day = (
            before is None
            or moment(before.sent_at, zone).date() != moment(message.sent_at, zone).date()
        )
        continues = (
            not new_day
            and before is not None
            and (before.notice, message.notice) == (None, None)
            and before.mine == message.mine
            and 0 <= message.sent_at - before.sent_at < _GROUP
        )
        first_unread = not unread and message.state is MessageState.RECEIVED
        unread = unread or first_unread
        shown.append(Row(message, new_day, continues and not first_unread, first_unread))
        before = message
    return shown


async def _page_before(
    request: Request, contact: str, before: int | None
) -> tuple[list[Row], int | None]:
    """A page of rows, and the `before` of the page that precedes it (None: there is none)."""
    limit = web(request).settings.page_size
    messages = await chat(request).messages(contact, before, limit + 1)
    if len(messages) <= limit:
        return rows(request, messages, None), None
    return rows(request, messages[1:], messages[0]), messages[1].order


async def conversation(request: Request) -> Response:
    """GET /c/ID, or with ?at=MESSAGE the part around one message."""
    contact = await chat(request).contact(request.path_params["id"])
    before = None
    if at := request.query_params.get("at"):
        before = (await chat(request).message(at)).order + web(request).settings.page_size // 2
    shown, older = await _page_before(request, contact.id, before)
    newest = contact.last.order if contact.last else 0
    at_end = not shown or shown[-1].message.order >= newest
    return await shell(
        request,
        "conversation.html",
        contact=contact,
        current=contact.id,
        rows=shown,
        older=older,
        at_end=at_end,
    )


async def head(request: Request) -> Response:
    """GET /c/ID/head: who this is, alone."""
    contact = await chat(request).contact(request.path_params["id"])
    return await fragment(request, "_head.html", contact=contact)


async def older(request: Request) -> Response:
    """GET /c/ID/older?before=ORDER: the page of messages before this one."""
    text = request.query_params.get("before", "")
    if not (text.isascii() and text.isdecimal() and len(text) < 19):
        raise HTTPException(400)
    contact = await chat(request).contact(request.path_params["id"])
    shown, before = await _page_before(request, contact.id, int(text))
    return await fragment(request, "_older.html", contact=contact, rows=shown, older=before)


async def row(request: Request, message: Message) -> Response:
    """One message as it stands in its conversation."""
    contact = await chat(request).contact(message.contact)
    before = await chat(request).messages(message.contact, message.order, 1)
    (shown,) = rows(request, [message], before[0] if before else None)
    shown = Row(shown.message, shown.new_day, shown.continues)
    return await fragment(request, "_rows.html", contact=contact, rows=[shown])


async def message(request: Request) -> Response:
    """GET /m/ID."""
    return await row(request, await chat(request).message(request.path_params["id"]))


async def seen(request: Request) -> Response:
    """POST /c/ID/seen: the conversation is before the person's eyes."""
    await chat(request).seen(request.path_params["id"])
    return Response(status_code=204)


async def send(request: Request) -> Response:
    """POST /c/ID/messages: a new message, or with `editing` a new text for one of ours."""
    id = request.path_params["id"]
    data = await forms.form(request)
    text = forms.text(data, "text")
    if editing := forms.text(data, "editing", 200):
        await chat(request).edit(editing, text)
        sent = await chat(request).message(editing)
    else:
        files = await _outgoing(data.getlist("details"), forms.uploads(data, "files"))
        if not text and not files:
            raise HTTPException(400)
        reply = forms.text(data, "reply_to", 200) or None
        sent = await chat(request).send(id, text, files, reply, forms.flag(data, "view_once"))
    if is_htmx(request):
        return await row(request, sent)
    return moved(request, f"/c/{id}")


async def _outgoing(
    details: Sequence[UploadFile | str], files: Sequence[UploadFile]
) -> list[Outgoing]:
    """Uploaded files with what the browser knows of them: one JSON object per file, or nothing."""
    known = [_facts(text) for text in details if isinstance(text, str)]
    known += [{}] * (len(files) - len(known))
    return [
        Outgoing(
            name=file.filename or "file",
            media_type=file.content_type or "application/octet-stream",
            data=await file.read(),
            kind=_kind(facts.get("kind")),
            width=_positive(facts.get("width")),
            height=_positive(facts.get("height")),
            duration=_positive(facts.get("duration")),
            thumbnail=_thumbnail(facts.get("thumbnail")),
        )
        for file, facts in zip(files, known, strict=False)
    ]


def _facts(text: str) -> dict[str, Any]:
    try:
        facts = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return facts if isinstance(facts, dict) else {}


def _kind(value: object) -> FileKind:
    return next((kind for kind in FileKind if kind.value == value), FileKind.FILE)


def _positive(value: object) -> int | None:
    return value if type(value) is int and 0 < value < 2**31 else None


def _thumbnail(value: object) -> bytes | None:
    """A picture of at most 4 KiB from base64; None for anything else."""
    if not isinstance(value, str):
        return None
    try:
        picture = base64.b64decode(value, validate=True)
    except ValueError:
        return None
    return picture if 0 < len(picture) <= _THUMBNAIL_BYTES else None
