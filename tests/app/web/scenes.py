"""Rich states for the fake node: every kind of message, person and relay that a page may show."""

from __future__ import annotations

import base64
import io
import math
import struct
import wave
from dataclasses import replace
from functools import cache

from PIL import Image, ImageDraw

from volok.app.web.interface import RelayStatus
from volok.chat.views import ContactState, FileKind, FileState, MessageState, ReactionView

from .fake_node import DAY, MINUTE, FakeNode

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>{{ 7*7 }}"


@cache
def landscape(width: int, height: int, form: str = "JPEG") -> bytes:
    """A drawn river under hills."""
    picture = Image.new("RGB", (width, height), "#f6d9a8")
    draw = ImageDraw.Draw(picture)
    draw.ellipse(
        (width * 0.6, height * 0.12, width * 0.75, height * 0.12 + width * 0.15), "#fff3d6"
    )
    for number, tone in enumerate(("#c98b6b", "#8f6a70", "#4f5d73")):
        base = height * (0.45 + 0.1 * number)
        points = [
            (x, base + math.sin(x / width * 7 + number * 2) * height * 0.08)
            for x in range(0, width + 1, 8)
        ]
        draw.polygon([*points, (width, height), (0, height)], fill=tone)
    draw.polygon([(0, height), (width * 0.5, height * 0.72), (width, height)], fill="#7fb4bf")
    data = io.BytesIO()
    picture.save(data, form)
    return data.getvalue()


@cache
def tone(seconds: float) -> bytes:
    """A quiet tone as WAV."""
    data = io.BytesIO()
    with wave.open(data, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        count = int(8000 * seconds)
        sound.writeframes(
            b"".join(struct.pack("<h", int(3000 * math.sin(n / 3))) for n in range(count))
        )
    return data.getvalue()


def thumbnail(form: str = "WEBP") -> str:
    """A tiny picture as a data: URL."""
    data = base64.b64encode(landscape(48, 36, form)).decode()
    return f"data:image/{form.lower()};base64,{data}"


def rich(node: FakeNode) -> str:
    """Fill a node with people and messages; returns the id of the fullest conversation."""
    chat = node.chat
    node.relays = (
        RelayStatus("wss://relay.harbour.example", "connected", guards_inboxes=True, blossom=True),
        RelayStatus("wss://open.example/inbox", "connected", guards_inboxes=False, blossom=False),
        RelayStatus("wss://old-lighthouse.example", "failed", "The relay refuses connections."),
    )
    anna = chat.add_contact("Anna Petrowa")
    many = chat.add_contact("Book club Tomás")
    arabic = chat.add_contact("ليلى الحسن")
    changed = chat.add_contact("Pavel", ContactState.KEY_CHANGED)
    hostile = chat.add_contact(HOSTILE)
    chat.add_contact("Jun", ContactState.WAITING)
    blocked = chat.add_contact("Unknown number", ContactState.BLOCKED)

    chat.put(anna, "", ago=3 * DAY, notice="contact-added")
    for number in range(70):
        chat.put(anna, f"Day {number} of the long way", number % 3 == 0, 3 * DAY - number * MINUTE)
    chat.put(anna, "Did you reach the lake? 🏞", ago=DAY + 40 * MINUTE)
    arrived = chat.put(
        anna,
        "Yes! We carried the boats the last three kilometres and put them in before dark.\n\nThe"
        " whole way was mud, then sand, then mud again. Map: https://maps.example/lake?id=7.",
        True,
        DAY + 38 * MINUTE,
    )
    picture = chat.add_file(
        "lake.jpg", landscape(1200, 800), kind=FileKind.PICTURE, media_type="image/jpeg",
        width=1200, height=800, thumbnail=thumbnail(),
    )  # fmt: skip
    chat.put(anna, "From the ridge", True, DAY + 37 * MINUTE, files=(picture,),
             reactions=(ReactionView("❤️", False), ReactionView("👍", True)))  # fmt: skip
    chat.put(anna, "Beautiful. Who carried the heavy one?", ago=DAY + 30 * MINUTE, quote=arrived.id)
    chat.put(anna, "0", ago=90 * MINUTE, notice="timer-changed")
    chat.put(anna, "604800", ago=89 * MINUTE, notice="timer-changed")
    voice = chat.add_file(
        "voice.wav", tone(4), kind=FileKind.VOICE, media_type="audio/wav", duration=4000
    )
    chat.put(anna, "", ago=80 * MINUTE, files=(voice,), expires_in=7 * DAY)
    document = chat.add_file(
        "Portage routes, summer 2026 – final version (2).pdf", b"%PDF-" * 90000
    )
    chat.put(anna, "", True, 60 * MINUTE, MessageState.READ, files=(document,))
    chat.put(anna, "", True, 55 * MINUTE, deleted=True)
    chat.put(anna, "Meet at the old mill at 9", True, 50 * MINUTE, edited=True, expires_in=7 * DAY)
    once = chat.add_file("once.jpg", landscape(600, 800), kind=FileKind.PICTURE,
                         media_type="image/jpeg")  # fmt: skip
    chat.put(anna, "", ago=45 * MINUTE, files=(once,), view_once=True)
    seen = chat.add_file("seen.jpg", b"", kind=FileKind.PICTURE, state=FileState.GONE)
    chat.put(anna, "", True, 44 * MINUTE, files=(seen,), view_once=True)
    for state, text in (
        (MessageState.READ, "Read by now"),
        (MessageState.DELIVERED, "This one reached you"),
        (MessageState.RELAYED, "This one waits on a relay"),
        (MessageState.QUEUED, "And this one is still here"),
    ):
        chat.put(anna, text, True, 20 * MINUTE, state)
    chat.put(anna, "Too big for the relays", True, 19 * MINUTE, MessageState.FAILED,
             problem="No relay of theirs takes files this large.")  # fmt: skip
    loading = chat.add_file("big.jpg", b"x" * 4_200_000, kind=FileKind.PICTURE, width=1600,
                            height=1200, state=FileState.LOADING, progress=0.4,
                            thumbnail=thumbnail(), media_type="image/jpeg")  # fmt: skip
    chat.put(anna, "", ago=10 * MINUTE, state=MessageState.RECEIVED, files=(loading,))
    video = chat.add_file("film.mp4", bytes(64_000_000), state=FileState.WAITING, progress=0.0)
    chat.put(anna, "The whole film follows", ago=9 * MINUTE, state=MessageState.RECEIVED,
             files=(video,))  # fmt: skip
    chat.put(anna, "👍", ago=8 * MINUTE, state=MessageState.RECEIVED)

    for number in range(12):
        chat.put(many, f"Chapter {number + 1} is done", number % 4 == 1, 5 * 60 * MINUTE,
                 None if number % 4 == 1 else MessageState.RECEIVED)  # fmt: skip
    chat.put(arabic, "مرحبا! هل وصلت الرسالة؟", ago=2 * DAY)
    chat.put(arabic, "وصلت، شكرا", True, 2 * DAY - MINUTE, MessageState.DELIVERED)
    chat.put(changed, "See you on Sunday", ago=4 * DAY)
    chat.put(changed, "", ago=4 * DAY - MINUTE, notice="key-changed")
    chat.put(changed, "", ago=4 * DAY - 2 * MINUTE, notice="invite-used-twice")
    chat.put(changed, "", ago=4 * DAY - 3 * MINUTE, notice="cloned-backup")
    chat.put(hostile, HOSTILE, ago=6 * DAY)
    chat.put(hostile, HOSTILE, True, 6 * DAY - MINUTE, problem=HOSTILE)
    chat.put(blocked, "Buy now", ago=400 * DAY)

    people = chat.people
    people[anna] = replace(people[anna], pinned=True, verified=True, timer=604800)
    people[many] = replace(people[many], muted=True)
    return anna
