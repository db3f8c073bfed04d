"""Languages and formats."""

from __future__ import annotations

import importlib.util
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from babel.messages.pofile import read_po
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup, escape

from volok.app.web import formats
from volok.app.web.i18n import LANGUAGES, choose, language
from volok.app.web.interface import NodeStatus, RelayStatus
from volok.chat.views import Message, MessageState

ROOT = Path(__file__).parents[3]
EN, RU = language("en"), language("ru")
NOW = datetime(2026, 6, 20, 12, tzinfo=UTC)


def test_every_text_is_translated() -> None:
    source = ROOT / "tools" / "catalogue.py"
    spec = importlib.util.spec_from_file_location("catalogue", source)
    assert spec is not None
    assert spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    wanted = {message.id for message in tool.texts() if message.id}
    assert len(wanted) > 200
    for code in set(LANGUAGES) - {"en"}:
        file = ROOT / f"src/volok/app/web/locale/{code}/LC_MESSAGES/volok.po"
        known = {message.id: message for message in read_po(file.open("rb"), locale=code)}
        for text in wanted:
            assert text in known, f"run tools/catalogue.py: {text!r}"
            found = known[text].string
            assert all(found) if isinstance(found, tuple) else found, f"not translated: {text!r}"
            assert not list(known[text].check(read_po(file.open("rb"), locale=code)))


@pytest.mark.parametrize(
    ("count", "text"),
    [(1, "1 день"), (2, "2 дня"), (5, "5 дней"), (11, "11 дней"), (21, "21 день"), (25, "25 дней")],
)
def test_russian_plurals(count: int, text: str) -> None:
    if count % 7:
        assert formats.span(count * 86400, RU) == text


@pytest.mark.parametrize(
    ("preference", "header", "code"),
    [
        ("ru", "en", "ru"),
        ("", "ru", "ru"),
        ("", "ru-RU,ru;q=0.9,en;q=0.8", "ru"),
        ("", "de, en;q=0.5, ru;q=0.7", "ru"),
        ("", "en;q=0.4, ru;q=0", "en"),
        ("", "", "en"),
        ("xx", "fr", "en"),
        ("", ";q=x,,;;q=1,ru;q=nan", "en"),
    ],
)
def test_choice_of_language(preference: str, header: str, code: str) -> None:
    assert choose(preference, header).code == code


@given(st.text(max_size=60))
def test_any_header_gives_a_language(header: str) -> None:
    assert choose("", header).code in LANGUAGES


def test_days_and_times() -> None:
    hour = timedelta(hours=1)
    assert formats.day(NOW - hour, NOW, EN) == "Today"
    assert formats.day(NOW - 13 * hour, NOW, EN) == "Yesterday"
    assert formats.day(NOW - 24 * 9 * hour, NOW, RU) == "11 июня"
    assert formats.day(NOW.replace(year=2024), NOW, EN) == "June 20, 2024"
    assert formats.when(NOW, NOW, RU) == "12:00"
    assert formats.when(NOW - 24 * 9 * hour, NOW, EN) == "Jun 11"
    assert formats.moment(10**20, UTC).year == 9999
    assert formats.moment(-(10**20), UTC).year == 1970


@pytest.mark.parametrize(
    ("count", "text"),
    [(1, "1 byte"), (999, "999 bytes"), (1000, "1 kB"), (1500, "1.5 kB"), (999_600, "1 MB"),
     (64_000_000, "64 MB"), (2_340_000_000, "2.3 GB")],
)  # fmt: skip
def test_sizes(count: int, text: str) -> None:
    assert formats.size(count, EN) == text


def test_small_things() -> None:
    assert formats.minutes(61_400) == "1:01"
    assert [formats.initials(name) for name in ("anna petrowa", "", "  ", "Ян", "a b c")] == [
        "AP", "?", "?", "Я", "AC"
    ]  # fmt: skip
    assert formats.span(0, EN) == "Never"
    assert formats.span(90, EN) == "90 seconds"
    assert formats.span(604800, EN) == "1 week"
    assert [formats.jumbo(text) for text in ("👍", "❤️", "ok", "", "👍" * 9, "👍!")] == [
        True, True, False, False, False, False
    ]  # fmt: skip


@given(st.text())
def test_linked_text_is_escaped_text(text: str) -> None:
    plain = Markup(formats.linked(text)).striptags() if "<a" in formats.linked(text) else None
    html = str(formats.linked(text))
    if "https://" not in text and "http://" not in text:
        assert html == str(escape(text))
    assert plain is None or "<script" not in html


def test_links() -> None:
    html = str(formats.linked("See (https://a.example/x?b=1&c=2). <https://b.example>"))
    assert html.count("<a ") == 2
    assert 'href="https://a.example/x?b=1&amp;c=2"' in html
    assert 'rel="noreferrer noopener"' in html
    assert "<a" not in str(formats.linked("javascript://x ftp://y https://"))


def _status(*states: str, waiting: int = 0) -> NodeStatus:
    relays = tuple(RelayStatus("wss://r", state) for state in states)  # type: ignore[arg-type]
    return NodeStatus("Mira", "open", relays, waiting)


@pytest.mark.parametrize(
    ("status", "mood", "text"),
    [
        (_status(), "none", "No relay yet: messages can only be carried by hand. Nothing waits."),
        (_status("connected"), "good", "Connected through 1 of 1 relay. Nothing waits."),
        (_status("connected", "failed", waiting=2), "good",
         "Connected through 1 of 2 relays. 2 messages wait."),
        (_status("connecting", "failed"), "busy", "Connecting… Nothing waits."),
        (_status("failed", waiting=1), "off", "No connection. We keep trying. 1 message waits."),
    ],
)  # fmt: skip
def test_the_line_about_the_connection(status: NodeStatus, mood: str, text: str) -> None:
    assert formats.connection(status, EN) == (mood, text)
    assert formats.connection(status, RU)[1] != text


@pytest.mark.parametrize(
    "key", ["timer-changed", "invite-used-twice", "key-changed", "cloned-backup", "contact-added"]
)
def test_notices_are_sentences(key: str) -> None:
    for text in ("", "3600", "junk"):
        message = Message("a", "b", False, text, 0, 1, MessageState.READ, notice=key)
        assert formats.notice(message, EN).endswith(".")
        assert formats.notice(message, RU) != formats.notice(message, EN)
