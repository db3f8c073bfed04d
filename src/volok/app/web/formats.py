"""How values read in a language: times, sizes, previews, notices, the line about the connection.

All pure; text that people wrote passes through unescaped unless a function returns Markup.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import datetime, tzinfo

from babel.dates import format_date, format_skeleton, format_time
from babel.numbers import format_decimal
from markupsafe import Markup, escape

from volok.app.web.i18n import Language
from volok.app.web.interface import NodeStatus
from volok.chat.views import FileKind, FileState, FileView, Message

TIMERS = (0, 30, 300, 3600, 28800, 86400, 604800, 2419200)
"""The choices for disappearing messages, in seconds."""

_URL = re.compile(r"https?://[^\s<>\"'\x00-\x1f]+[^\s<>\"'.,;:!?)\]}\x00-\x1f]")
_JUMBO = 8
_TONES = 8


def moment(milliseconds: int, zone: tzinfo | None) -> datetime:
    """A local time from Unix milliseconds; times out of the calendar become its nearest edge."""
    try:
        return datetime.fromtimestamp(milliseconds / 1000, zone)
    except (OverflowError, ValueError, OSError):
        return datetime(1970 if milliseconds < 0 else 9999, 1, 1, tzinfo=zone)


def clock(at: datetime, language: Language) -> str:
    """The time of day."""
    return format_time(at.replace(tzinfo=None), "short", locale=language.locale)


def day(at: datetime, today: datetime, language: Language) -> str:
    """The day as one says it: today, yesterday, a date; with the year when it is another one."""
    distance = (today.date() - at.date()).days
    if distance == 0:
        return language.gettext("Today")
    if distance == 1:
        return language.gettext("Yesterday")
    if at.year == today.year:
        return format_skeleton("MMMMd", at.replace(tzinfo=None), locale=language.locale)
    return format_date(at.date(), "long", locale=language.locale)


def when(at: datetime, now: datetime, language: Language) -> str:
    """A short time for a list: the time of day for today, else the date."""
    if at.date() == now.date():
        return clock(at, language)
    if (now.date() - at.date()).days == 1:
        return language.gettext("Yesterday")
    skeleton = "MMMd" if at.year == now.year else "yMd"
    return format_skeleton(skeleton, at.replace(tzinfo=None), locale=language.locale)


def size(count: int, language: Language) -> str:
    """A number of bytes in decimal units."""
    units = (language.gettext("kB"), language.gettext("MB"), language.gettext("GB"))
    if count < 1000:
        return language.ngettext("%(count)s byte", "%(count)s bytes", count) % {"count": count}
    value = float(count)
    unit = units[0]
    for unit in units:  # noqa: B007
        value /= 1000
        if value < 999.5:
            break
    number = format_decimal(value, "0" if value >= 9.95 else "0.#", locale=language.locale)
    return f"{number} {unit}"


def minutes(milliseconds: int) -> str:
    """A length as minutes and seconds."""
    whole, rest = divmod(max(0, round(milliseconds / 1000)), 60)
    return f"{whole}:{rest:02d}"


def span(seconds: int, language: Language) -> str:
    """A length of time in words, in the largest unit that divides it."""
    _n = language.ngettext
    if seconds <= 0:
        return language.gettext("Never")
    if seconds % 604800 == 0:
        text, count = _n("%(count)s week", "%(count)s weeks", seconds // 604800), seconds // 604800
    elif seconds % 86400 == 0:
        text, count = _n("%(count)s day", "%(count)s days", seconds // 86400), seconds // 86400
    elif seconds % 3600 == 0:
        text, count = _n("%(count)s hour", "%(count)s hours", seconds // 3600), seconds // 3600
    elif seconds % 60 == 0:
        text, count = _n("%(count)s minute", "%(count)s minutes", seconds // 60), seconds // 60
    else:
        text, count = _n("%(count)s second", "%(count)s seconds", seconds), seconds
    return text % {"count": count}


def relay_name(url: str) -> str:
    """The address of a relay for a list: without its secret path and the pin of its key."""
    scheme, mark, rest = url.partition("://")
    host = rest.partition("#")[0].partition("/")[0]
    return f"{scheme}{mark}{host}"


def initials(name: str) -> str:
    """One or two letters for a picture of a name."""
    words = [word for word in name.split() if any(letter.isalnum() for letter in word)]
    letters = [next(letter for letter in word if letter.isalnum()) for word in words]
    return "".join(letters[:1] + letters[1:][-1:]).upper() or "?"


def tone(id: str) -> int:
    """A colour number, 0 to 7, always the same for the same id."""
    return sum(id.encode()) % _TONES


def jumbo(text: str) -> bool:
    """Whether the text is only a few emoji, and may be shown large."""
    return 0 < len(text) <= _JUMBO and all(
        unicodedata.category(letter) in ("So", "Sk", "Mn", "Cf", "Me") for letter in text
    )


def linked(text: str) -> Markup:
    """Text with its web addresses made links; everything else escaped."""
    parts: list[str] = []
    end = 0
    for match in _URL.finditer(text):
        url = escape(match.group())
        parts.append(escape(text[end : match.start()]))
        parts.append(f'<a href="{url}" target="_blank" rel="noreferrer noopener">{url}</a>')
        end = match.end()
    parts.append(escape(text[end:]))
    return Markup("".join(parts))  # noqa: S704 - every part is escaped above


def file_label(file: FileView, language: Language) -> str:
    """A file in one or two words."""
    if file.kind is FileKind.PICTURE:
        return language.gettext("Photo")
    if file.kind is FileKind.VOICE:
        return language.gettext("Voice message")
    return file.name


def preview(message: Message | None, language: Language) -> str:
    """A message in one line, for lists and quotes."""
    _ = language.gettext
    if message is None:
        return _("No messages yet")
    if message.notice is not None:
        return notice(message, language)
    if message.deleted:
        return _("Message deleted")
    if message.view_once and message.files:
        return _("View-once photo")
    return message.text or ", ".join(file_label(file, language) for file in message.files)


def notice(message: Message, language: Language) -> str:
    """A line that the program wrote into a conversation."""
    _ = language.gettext
    if message.notice == "timer-changed":
        seconds = int(message.text) if message.text.isdecimal() else 0
        if not seconds:
            return _("Messages no longer disappear.")
        return _("Messages now disappear after %(span)s.") % {"span": span(seconds, language)}
    known = {
        "invite-used-twice": _(
            "This invite was used a second time. Somebody else may have read it: compare your"
            " safety numbers."
        ),
        "key-changed": _("Their safety number changed. Compare it before you go on."),
        "cloned-backup": _(
            "Two copies of their Volok answer at the same time. One may be a restored backup"
            " in other hands: ask them."
        ),
        "contact-added": _("You are connected. Messages here are end-to-end encrypted."),
    }
    return known.get(message.notice or "", message.text)


def connection(status: NodeStatus, language: Language) -> tuple[str, str]:
    """How we are connected and what waits, in plain words: (tone, text).

    The tone is `good`, `busy`, `off` or `none`.
    """
    _, _n = language.gettext, language.ngettext
    total = len(status.relays)
    up = sum(relay.state == "connected" for relay in status.relays)
    if not total:
        mood, how = "none", _("No relay yet: messages can only be carried by hand.")
    elif up:
        mood = "good"
        how = _n(
            "Connected through %(up)s of %(total)s relay.",
            "Connected through %(up)s of %(total)s relays.",
            total,
        )
    elif any(relay.state == "connected" for relay in status.heard):
        mood, how = "good", _("Connected through a relay from a contact.")
    elif any(relay.state == "connecting" for relay in status.relays):
        mood, how = "busy", _("Connecting…")
    else:
        mood, how = "off", _("No connection. We keep trying.")
    if status.waiting:
        what = _n(
            "%(count)s message waits.",
            "%(count)s messages wait.",
            status.waiting,
        )
    else:
        what = _("Nothing waits.")
    return mood, f"{how} {what}" % {"up": up, "total": total, "count": status.waiting}


def progress_label(file: FileView, mine: bool, language: Language) -> str:
    """What a progress bar measures."""
    if mine:
        return language.gettext("Sending")
    if file.state is FileState.WAITING:
        return language.gettext("Waiting for the file")
    return language.gettext("Receiving")
