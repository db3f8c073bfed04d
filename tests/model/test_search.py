"""Search over public text (NIP-50)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volok.model.event import Event
from volok.model.search import (
    MAX_QUERY,
    InvalidQuery,
    is_found,
    is_searched,
    parse_query,
    searched_text,
    words,
)

A = "a" * 64
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


def event(content: str, kind: int = 1, *tags: tuple[str, ...]) -> Event:
    return Event(A, A, 0, kind, tags, content, "0" * 128)


@pytest.mark.parametrize(
    ("given_text", "expected"),
    [
        ("", []),
        ("Hello, WORLD-wide_web", ["hello", "world", "wide", "web"]),
        ("Ёлка и йод", ["елка", "и", "иод"]),
        ("naïve café Straße ﬁne", ["naive", "cafe", "strasse", "fine"]),
        ("#nostr 2027 x²", ["nostr", "2027", "x2"]),
        ("東京 ไทย", ["東京", "ไทย"]),
    ],
)
def test_words(given_text: str, expected: list[str]) -> None:
    assert words(given_text) == expected


@given(text)
def test_words_are_in_their_one_form(given_text: str) -> None:
    once = words(given_text)
    assert words(" ".join(once)) == once
    assert not any(set(" _\n") & set(word) or not word for word in once)


@given(st.text(st.characters(max_codepoint=127)))
def test_plain_text_has_the_words_that_it_has_beside_other_text(given_text: str) -> None:
    assert words(given_text) == words(given_text + " \N{SNOWMAN}")
    assert [*words(given_text), "\N{CYRILLIC SMALL LETTER ZHE}"] == words(
        given_text + " \N{CYRILLIC CAPITAL LETTER ZHE}"
    )


@given(text)
def test_a_query_read_again_is_the_same(given_text: str) -> None:
    query = parse_query(given_text)
    assert parse_query(query) == query
    assert len(query.split()) == len(set(query.split()))


@given(text, st.randoms(use_true_random=False))
def test_a_text_is_found_by_the_beginnings_of_its_words_in_any_order(given_text, random) -> None:
    beginnings = [word[: random.randint(1, len(word))] for word in words(given_text)][:20]
    random.shuffle(beginnings)
    assert is_found(parse_query(" ".join(beginnings)), event(given_text))


@pytest.mark.parametrize(
    ("query", "content", "found"),
    [
        ("boat", "Boats", True),
        ("boats", "boat", False),
        ("oat", "boat", False),
        ("boat land", "land, then a boat", True),
        ("boat sea", "land, then a boat", False),
        ("domain:example.org nsfw:false boat", "a boat", True),
        ("https://relay.example boat", "a boat", True),
    ],
)
def test_what_is_found(query: str, content: str, found: bool) -> None:
    assert is_found(parse_query(query), event(content)) is found


def test_titles_are_searched_too() -> None:
    article = event("text", 30_023, ("title", "Boats"), ("t", "tagged"), ("summary",))
    assert searched_text(article) == "Boats\ntext"
    assert is_found("boats text", article)
    assert not is_found("tagged", article)


@pytest.mark.parametrize("kind", [3, 4, 5, 13, 62, 1059, 1060, 10_002, 20_001, 21_059, 30_078])
def test_what_is_not_public_text_is_never_found(kind: int) -> None:
    assert not is_searched(kind)
    assert not is_found("boat", event("boat", kind))


@pytest.mark.parametrize("kind", [0, 1, 11, 42, 1111, 9802, 30_023, 30_818])
def test_public_text_is_searched(kind: int) -> None:
    assert is_found("boat", event("boat", kind))


def test_queries_are_bounded() -> None:
    assert parse_query("x" * MAX_QUERY) == "x" * MAX_QUERY
    for too_much in ("x" * (MAX_QUERY + 1), " ".join(map(str, range(33)))):
        with pytest.raises(InvalidQuery):
            parse_query(too_much)
