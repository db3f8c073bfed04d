"""What a mail of ours looks like: ordinary, with one attachment. Pure.

1. The headers, their order and the boundary are those of a common mail program that was told to
   keep its name to itself. No header names this computer or its network.
2. The attachment is an archive with a password (WinZip's AE-2 in a ZIP file, as 7-Zip makes it) or
   a file of which nobody expects that it begins in a certain way. Nothing but the password tells
   such an archive from ours: salt, check value, contents and their code all look random.
3. Subject, words and file names are drawn anew for each mail, in the language of the account's
   country. The one thing that links a mail to the file in it is the Message-ID, which is made of
   the file's random name.
"""

from __future__ import annotations

import base64
import re
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TypeVar

T = TypeVar("T")

Random = Callable[[int], bytes]
"""Gives so many random bytes."""

_LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_LINE = 54
"""Bytes in a line of base64, as common mail programs write it: 72 letters."""


@dataclass(frozen=True, slots=True)
class Words:
    """What people write in one language."""

    subjects: tuple[str, ...]
    texts: tuple[str, ...]
    stems: tuple[str, ...]
    """Of file names."""


_LANGUAGES = {
    "en": Words(
        ("Documents", "Photos", "Backup", "Files", "As promised", "The archive", "Scans"),
        ("See attached.", "Hi,\n\nhere are the files.", "As agreed.", "The files you asked for."),
        ("documents", "photos", "backup", "archive", "files", "scans", "notes"),
    ),
    "ru": Words(
        ("Документы", "Фото", "Архив", "Файлы", "Сканы", "Как договаривались"),
        ("Файлы во вложении.", "Привет!\n\nВысылаю файлы.", "Как договаривались.", "Во вложении."),
        ("documents", "foto", "arhiv", "dokumenty", "fajly", "skany", "backup"),
    ),
    "de": Words(
        ("Unterlagen", "Fotos", "Sicherung", "Dateien", "Wie besprochen", "Scans"),
        ("Siehe Anhang.", "Hallo,\n\nanbei die Dateien.", "Wie besprochen.", "Anbei."),
        ("unterlagen", "fotos", "sicherung", "archiv", "dateien", "scans"),
    ),
    "fr": Words(
        ("Documents", "Photos", "Sauvegarde", "Fichiers", "Comme convenu", "Archive"),
        ("Voir en pièce jointe.", "Bonjour,\n\nvoici les fichiers.", "Comme convenu.", "Ci-joint."),
        ("documents", "photos", "sauvegarde", "archive", "fichiers"),
    ),
    "es": Words(
        ("Documentos", "Fotos", "Copia", "Archivos", "Lo acordado"),
        ("Adjunto los archivos.", "Hola:\n\nahí van los archivos.", "Como quedamos."),
        ("documentos", "fotos", "copia", "archivos"),
    ),
}
_COUNTRIES = {
    **dict.fromkeys(("ru", "by", "kz", "su", "kg"), "ru"),
    **dict.fromkeys(("de", "at", "ch", "li"), "de"),
    **dict.fromkeys(("fr", "be", "sn", "ci"), "fr"),
    **dict.fromkeys(("es", "mx", "ar", "cl", "co", "pe", "ve", "cu", "ni"), "es"),
}
"""Languages by the country at the end of a domain; any other writes English."""

_OPAQUE = (
    ("bin", "application/octet-stream"),
    ("dat", "application/octet-stream"),
    ("bak", "application/x-trash"),
    ("hc", "application/octet-stream"),
    ("enc", "application/octet-stream"),
)
"""Kinds of files that begin in no certain way: dumps, backups, encrypted containers."""
_INSIDE = ("pdf", "docx", "jpg", "xlsx", "doc")

_ENTRY = struct.Struct("<4s5H3L2H")
_DIRECTORY = struct.Struct("<4s6H3L5H2L")
_END = struct.Struct("<4s4H2LH")
_AES = struct.Struct("<HHH2sBH")
"""Extra field 0x9901 of AE-2: size, version, vendor, strength, and the method inside."""
_ENTRY_MAGIC, _DIRECTORY_MAGIC, _END_MAGIC = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
_AES_METHOD, _DEFLATED, _ENCRYPTED, _NEEDED, _MADE_BY = 99, 8, 1, 51, 63
_AE_OVERHEAD = 28
"""Bytes that salt (16), check value (2) and authentication code (10) take."""
MOST_BEFORE = 128
"""Bytes before the sealed file in an archive of ours, at most."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A mail, ready to be sent."""

    message_id: str
    """With its angle brackets."""
    data: bytes
    """RFC 5322, lines ended by CRLF, 7 bits."""


def token_of(name: str) -> str:
    """What the Message-ID of a file of ours holds before the @: a UUID (RFC 9562, version 4) of
    its random name."""
    digits = f"{name[:12]}4{name[13:16]}{'89ab'[int(name[16], 16) % 4]}{name[17:32]}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def compose(
    sender: str, recipient: str, name: str, data: bytes, now: float, random: Random
) -> Letter:
    """The mail that carries a sealed file. `name` is the file's (`volok.paths.drop.drop_name`),
    the addresses are sound ones, `now` is in Unix seconds."""
    domain = sender.rpartition("@")[2]
    words = _LANGUAGES[_COUNTRIES.get(domain.rpartition(".")[2], "en")]
    date = datetime.fromtimestamp(int(now), UTC)
    file, media_type, covered = _attachment(data, words, date, random)
    message_id = f"<{token_of(name)}@{domain}>"
    boundary = "------------" + "".join(chr(_pick(_LETTERS, random)) for _ in range(24))
    head = (
        f"Message-ID: {message_id}",
        f"Date: {format_datetime(date)}",
        "MIME-Version: 1.0",
        f"To: {recipient}",
        f"From: {sender}",
        f"Subject: {_encoded(_pick((*words.subjects, file), random))}",
        f'Content-Type: multipart/mixed; boundary="{boundary}"',
        "",
        "This is a multi-part message in MIME format.",
        f"--{boundary}",
        *_text(_pick(words.texts, random)),
        f"--{boundary}",
        f'Content-Type: {media_type}; name="{file}"',
        f'Content-Disposition: attachment; filename="{file}"',
        "Content-Transfer-Encoding: base64",
        "",
        "",
    )
    body = b"\r\n".join(
        base64.b64encode(covered[at : at + _LINE]) for at in range(0, len(covered), _LINE)
    )
    end = f"\r\n\r\n--{boundary}--\r\n"
    return Letter(message_id, "\r\n".join(head).encode() + body + end.encode())


def uncover(data: bytes) -> bytes:
    """The sealed file in an attachment, or the beginning of it in the beginning of one. What is no
    archive of our kind comes back as it is."""
    try:
        magic, _, flags, method, _, _, _, size, _, name, extra = _ENTRY.unpack_from(data)
    except struct.error:
        return data
    if magic != _ENTRY_MAGIC or method != _AES_METHOD or flags != _ENCRYPTED:
        return data
    begin = _ENTRY.size + name + extra
    return data[begin : begin + size]


def _attachment(
    data: bytes, words: Words, date: datetime, random: Random
) -> tuple[str, str, bytes]:
    """Name, media type and contents of the attachment."""
    stem = _pick(words.stems, random)
    number = int.from_bytes(random(2))
    stem += _pick(("", f"-{number % 100}", f"_{date:%Y-%m}", f" {date:%d.%m}", str(number)), random)
    if random(1)[0] % 4:
        return f"{stem}.zip", "application/zip", _archive(data, stem, date, random)
    suffix, media_type = _pick(_OPAQUE, random)
    return f"{stem}.{suffix}", media_type, data


def _archive(data: bytes, stem: str, date: datetime, random: Random) -> bytes:
    """A ZIP file with one encrypted entry (APPNOTE.TXT 6.3; "AES Encryption Information", AE-2)."""
    inside = f"{stem}.{_pick(_INSIDE, random)}".encode()
    made = date - timedelta(seconds=int.from_bytes(random(3)) % 400_000)
    clock = made.hour << 11 | made.minute << 5 | made.second // 2
    day = (made.year - 1980) << 9 | made.month << 5 | made.day
    plain = len(data) - _AE_OVERHEAD + len(data) * random(1)[0] // 2048
    extra = _AES.pack(0x9901, 7, 2, b"AE", 3, _DEFLATED)
    facts = (_ENCRYPTED, _AES_METHOD, clock, day, 0, len(data), max(0, plain), len(inside))
    entry = _ENTRY.pack(_ENTRY_MAGIC, _NEEDED, *facts, len(extra)) + inside + extra
    place = (0, 0, 0, 0x20, 0)  # no comment, first disk, binary, the archive bit, at the beginning
    directory = (
        _DIRECTORY.pack(_DIRECTORY_MAGIC, _MADE_BY, _NEEDED, *facts, len(extra), *place)
        + inside
        + extra
    )
    end = _END.pack(_END_MAGIC, 0, 0, 1, 1, len(directory), len(entry) + len(data), 0)
    return entry + data + directory + end


def _text(text: str) -> Sequence[str]:
    """The part that people read, with its headers."""
    lines = text.split("\n")
    encoding = "7bit"
    if not text.isascii():
        encoding = "base64"
        coded = base64.b64encode("\r\n".join((*lines, "")).encode()).decode()
        lines = re.findall(".{1,72}", coded)
    return (
        "Content-Type: text/plain; charset=UTF-8; format=flowed",
        f"Content-Transfer-Encoding: {encoding}",
        "",
        *lines,
        "",
    )


def _encoded(text: str) -> str:
    """A header's text, as an encoded word (RFC 2047) where it must be."""
    if text.isascii():
        return text
    return f"=?UTF-8?B?{base64.b64encode(text.encode()).decode()}?="


def _pick(choices: Sequence[T], random: Random) -> T:
    return choices[int.from_bytes(random(4)) % len(choices)]
