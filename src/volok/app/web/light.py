"""Messages by light: what waits is shown as moving QR codes, and a camera reads those of others.

The page draws codes and reads them; frames (`volok.model.fountain_frames`) are made and put
together here. What is shown is the bundle that a file would hold, or an invite as a file; what is
read is taken in as such a file is.
"""

from __future__ import annotations

import asyncio
import struct
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator

from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from volok.app.web import forms
from volok.app.web.errors import STATED, sentence
from volok.app.web.formats import size
from volok.app.web.i18n import Language
from volok.app.web.interface import NothingWaits
from volok.app.web.render import chat, language_of, preferences_of, shell, web
from volok.model.fountain import NUMBERS
from volok.model.fountain_frames import (
    MAX_FRAME_BYTES,
    FrameReader,
    FrameTooNew,
    FrameWriter,
    InvalidFrame,
    StreamSpoiled,
    StreamTooLarge,
    stream_name,
)
from volok.sync.bundle import BundleNotForUs, BundleTooNew, InvalidBundle

COARSE_BYTES = 271
"""What a QR code of version 10-L holds: 57 modules a side, for cameras that are weak or askew."""
FRAME_BYTES = 425
"""What a QR code of version 13-L holds: 69 modules a side, which a phone reads from another."""
FRAMES_AT_ONCE = 24
"""Frames of one answer: some seconds of showing."""
SPEEDS = {4: COARSE_BYTES, 8: FRAME_BYTES, 12: FRAME_BYTES}
"""The choices: frames per second, and bytes of each."""
USUAL_SPEED = 8
READ_SHARE = 0.8
"""How many of the frames shown a camera is thought to read, for telling how long it takes."""
MAX_SHOWN = 4
MAX_BATCH_BYTES = 256 * 1024
INVITE = b"volok-invite"
"""So begins an invite as a file (`volok.chat.invite_codec`)."""
_LENGTH = struct.Struct(">H")


class Light:
    """What one app shows and reads; in memory alone, and all of it sealed or public."""

    def __init__(self) -> None:
        self.shown: OrderedDict[str, dict[int, FrameWriter]] = OrderedDict()
        """By the hexadecimal name of its stream, then by the bytes of a frame; the oldest goes when
        there are too many."""
        self.reader = FrameReader()

    def show(self, whole: bytes) -> str:
        """Begin to show something; returns its name in `shown`. Raises StreamTooLarge."""
        stream = stream_name(whole)
        self.shown[stream.hex()] = {each: FrameWriter(whole, each) for each in SPEEDS.values()}
        self.reader.pass_over(stream)
        if len(self.shown) > MAX_SHOWN:
            self.shown.popitem(last=False)
        return stream.hex()


def _light(request: Request) -> Light:
    light: Light = request.app.state.light
    return light


async def page(request: Request) -> Response:
    """GET /carry/light: for `contact`, or for an `invite`; begins at once with `show`."""
    query = request.query_params
    invites = {one.id for one in await chat(request).invites()}
    return await shell(
        request,
        "light.html",
        chosen=query.get("contact", ""),
        invite=query["invite"] if query.get("invite") in invites else None,
        begins="show" in query,
        speeds=SPEEDS,
        usual=USUAL_SPEED,
    )


async def show(request: Request) -> Response:
    """POST /carry/light/show: pack what waits for `contact` or everybody, or an `invite`."""
    await preferences_of(request)
    chat(request)
    data = await forms.form(request)
    speech = language_of(request)
    try:
        whole, words = await _packed(request, data, speech)
        name = _light(request).show(whole)
    except StreamTooLarge:
        text = speech.gettext(
            "This is %(size)s, too much to be shown. Pack a file instead, or wait until the"
            " photos and files have gone another way."
        ) % {"size": size(len(whole), speech)}
        return JSONResponse({"problem": text}, 422)
    except NothingWaits:
        return JSONResponse({"nothing": speech.gettext("Nothing of yours waits any more.")})
    except STATED as error:
        chat(request)  # when locked meanwhile, leave for the locked page
        return JSONResponse({"problem": sentence(request, error)}, 422)
    writers = _light(request).shown[name]
    speeds = {
        rate: {
            "bytes": each,
            "count": writers[each].count,
            "words": _duration(writers[each].count / (rate * READ_SHARE), speech),
        }
        for rate, each in SPEEDS.items()
    }
    return JSONResponse({"id": name, "words": words, "speeds": speeds})


async def _packed(request: Request, data: FormData, speech: Language) -> tuple[bytes, str]:
    """What is to be shown, and words for it. Raises STATED errors."""
    if invite := forms.text(data, "invite", 200):
        whole = await chat(request).invite_file(invite)
        return whole, speech.gettext("This is your invite.")
    shared = web(request)
    path = shared.settings.scratch.new()
    try:
        report = await shared.node.export_bundle(path, forms.text(data, "contact", 200) or None)
        whole = b"".join([piece async for piece in shared.settings.scratch.read(path)])
    finally:
        await shared.settings.scratch.remove(path)
    if not report.messages:
        return whole, speech.gettext(
            "Nothing of yours waits. This only confirms what you received."
        )
    words = speech.ngettext(
        "%(num)s message is packed.", "%(num)s messages are packed.", report.messages
    )
    return whole, words % {"num": report.messages}


def _duration(seconds: float, speech: Language) -> str:
    """About how long it takes, in words."""
    if seconds < 90:
        number = int(seconds) + 1 if seconds < 10 else -(-int(seconds) // 5) * 5
        text = speech.ngettext(
            "This takes about %(num)s second.", "This takes about %(num)s seconds.", number
        )
    else:
        number = int(seconds / 60) + 1
        text = speech.ngettext(
            "This takes about %(num)s minute.", "This takes about %(num)s minutes.", number
        )
    return text % {"num": number}


async def frames(request: Request) -> Response:
    """GET /carry/light/ID/frames?bytes=B&first=N: FRAMES_AT_ONCE frames from number N on."""
    chat(request)
    first, each = _number(request, "first"), _number(request, "bytes")
    writer = _light(request).shown.get(request.path_params["id"], {}).get(each)
    if writer is None:
        raise HTTPException(404)
    # Somebody who shows for that long is there; after that, the automatic lock may come.
    if first < 3 * writer.count:
        web(request).idle.touch()
    made = []
    for number in range(first, first + FRAMES_AT_ONCE):
        made.append(writer.frame(number % NUMBERS))
        await asyncio.sleep(0)
    return Response(b"".join(made), media_type="application/octet-stream")


def _number(request: Request, name: str) -> int:
    text = request.query_params.get(name, "")
    if not (text.isascii() and text.isdecimal() and len(text) <= 10):
        raise HTTPException(400)
    return int(text)


async def read(request: Request) -> Response:
    """POST /carry/light/read: frames that a camera saw, each after its length in 2 bytes."""
    await preferences_of(request)
    chat(request)
    web(request).idle.touch()
    light, speech = _light(request), language_of(request)
    own, old = False, False
    for frame in _cut(await _body(request)):
        try:
            whole = light.reader.take(frame)
        except InvalidFrame:
            continue
        except (FrameTooNew, StreamSpoiled) as error:
            goes_on = isinstance(error, StreamSpoiled)
            return JSONResponse({"problem": _why(request, error), "goesOn": goes_on})
        if whole is not None:
            return await _taken_in(request, whole)
        passed = light.reader.passed_over
        own = passed is not None and passed.hex() in light.shown
        old = passed is not None and not own
    if own:
        return JSONResponse({"hint": speech.gettext("The camera sees your own screen.")})
    if old:
        text = speech.gettext("This was read already. Let the other side read your answer.")
        return JSONResponse({"hint": text})
    progress = light.reader.progress
    if progress is None:
        return JSONResponse({})
    words = speech.gettext("%(have)s of %(need)s") % {"have": progress.have, "need": progress.need}
    return JSONResponse({"have": progress.have, "need": progress.need, "words": words})


def _why(request: Request, error: Exception) -> str:
    """Why nothing came in: in words for a camera where an error has words for a file."""
    _ = language_of(request).gettext
    match error:
        case StreamSpoiled():
            return _(
                "The pictures that were read do not fit together, so reading begins anew. Keep"
                " everything but the other screen out of the camera's sight."
            )
        case FrameTooNew() | BundleTooNew():
            return _("The other side has a newer version of Volok. Update yours and read again.")
        case BundleNotForUs():
            return _("This holds nothing for you: it is for somebody else, or it is too old.")
        case InvalidBundle():
            return _("This code carries no messages. Ask for it to be shown again.")
    return sentence(request, error)


async def _body(request: Request) -> bytes:
    body = bytearray()
    try:
        async for piece in request.stream():
            body += piece
            if len(body) > MAX_BATCH_BYTES:
                raise HTTPException(413)
    except ClientDisconnect as error:
        raise HTTPException(400) from error
    return bytes(body)


def _cut(body: bytes) -> Iterator[bytes]:
    """The frames of a batch. Raises HTTPException 400 for what is none."""
    at = 0
    while at < len(body):
        if at + _LENGTH.size > len(body):
            raise HTTPException(400)
        (length,) = _LENGTH.unpack_from(body, at)
        at += _LENGTH.size
        if length > MAX_FRAME_BYTES or at + length > len(body):
            raise HTTPException(400)
        yield body[at : at + length]
        at += length


async def _taken_in(request: Request, whole: bytes) -> Response:
    """Take in what was read, as the file that it is, and say what came."""
    try:
        if whole.startswith(INVITE):
            came = await _accept(request, whole)
        else:
            came = await _import(request, whole)
    except STATED as error:
        _light(request).reader.read_again(whole)
        chat(request)
        return JSONResponse({"problem": _why(request, error), "goesOn": False})
    return JSONResponse({"came": came})


async def _accept(request: Request, whole: bytes) -> dict[str, str]:
    contact = await chat(request).accept_file(whole)
    text = language_of(request).gettext(
        "You accepted the invite of %(name)s. Now let them read your answer."
    )
    return {
        "words": text % {"name": contact.name},
        "contact": contact.id,
        "name": contact.name,
        "link": f"/c/{contact.id}",
    }


async def _import(request: Request, whole: bytes) -> dict[str, str]:
    shared, speech = web(request), language_of(request)
    path = shared.settings.scratch.new()
    try:
        await shared.settings.scratch.write(path, _once(whole))
        report = await shared.node.import_bundle(path)
    finally:
        await shared.settings.scratch.remove(path)
    count = report.events + report.blobs
    if not count:
        return {"words": speech.gettext("Nothing new was in it."), "link": "/"}
    words = speech.ngettext("%(num)s new item came in.", "%(num)s new items came in.", count)
    return {"words": words % {"num": count}, "link": "/"}


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data
