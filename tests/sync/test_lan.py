"""Recognition on the local network, and its frames."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volok.sync.lan import (
    HEAD_BYTES,
    MARK_BYTES,
    MARKS,
    MARKS_BYTES,
    MOST_PART,
    Answer,
    InvalidFrame,
    Kind,
    Meeting,
    Role,
    fingerprint,
    frame_head,
    marks,
    names_body,
    parse_file,
    parse_head,
    parse_name,
    parse_names,
    parse_part,
    parse_taken,
    part_body,
    recognised,
    taken_body,
)

CHANNEL = fingerprint(b"a certificate")
A, B = bytes([1]) * 32, bytes([2]) * 32
secrets = st.lists(st.binary(min_size=32, max_size=32), unique=True, max_size=20)


def meeting(role: Role, ours: bytes = A, theirs: bytes = B, channel: bytes = CHANNEL) -> Meeting:
    return Meeting(role, channel, ours, theirs)


def between(
    one: Meeting, his: Sequence[bytes], other: Meeting, hers: Sequence[bytes]
) -> set[bytes]:
    """The secrets that `other` recognises in what `one` sends."""
    came = marks(one, his, random.randbytes)
    assert len(came) == MARKS_BYTES
    return {hers[place] for place in recognised(other, hers, came, random.randbytes)}


@given(secrets, secrets, secrets, st.randoms())
def test_both_find_exactly_what_they_share(
    common: list[bytes], his: list[bytes], hers: list[bytes], order: random.Random
) -> None:
    one, other = [*common, *his], [*common, *hers]
    order.shuffle(one)
    order.shuffle(other)
    dialled, listened = meeting(Role.DIALLED), meeting(Role.LISTENED, B, A)
    expected = set(one) & set(other)
    assert between(dialled, one, listened, other) == expected
    assert between(listened, other, dialled, one) == expected


@pytest.mark.parametrize(
    "replayed",
    [
        meeting(Role.DIALLED, ours=bytes(32)),
        meeting(Role.DIALLED, theirs=bytes(32)),
        meeting(Role.DIALLED, channel=fingerprint(b"another certificate")),
        meeting(Role.LISTENED, ours=B, theirs=A),
    ],
    ids=["another nonce of theirs", "another nonce of ours", "another channel", "sent back"],
)
def test_marks_of_another_meeting_recognise_nobody(replayed: Meeting) -> None:
    known = [bytes([7]) * 32]
    assert between(replayed, known, meeting(Role.LISTENED, B, A), known) == set()


def test_what_is_sent_does_not_tell_how_many_are_known() -> None:
    few = marks(meeting(Role.DIALLED), [], random.randbytes)
    many = marks(
        meeting(Role.DIALLED), [random.randbytes(32) for _ in range(300)], random.randbytes
    )
    for sent in (few, many):
        each = [sent[at : at + MARK_BYTES] for at in range(0, len(sent), MARK_BYTES)]
        assert len(set(each)) == MARKS
        assert each == sorted(each)


def test_of_too_many_secrets_the_first_take_part() -> None:
    known = [random.randbytes(32) for _ in range(MARKS + 5)]
    found = between(meeting(Role.DIALLED), known, meeting(Role.LISTENED, B, A), known)
    assert found == set(known[:MARKS])


@given(st.binary(max_size=MARKS_BYTES + 20))
def test_garbage_recognises_nobody(came: bytes) -> None:
    known = [bytes([7]) * 32]
    assert recognised(meeting(Role.DIALLED), known, came, random.randbytes) == ()


@given(st.binary(max_size=8))
def test_heads_parse_or_raise_their_error(head: bytes) -> None:
    try:
        kind, length = parse_head(head)
    except InvalidFrame:
        return
    assert len(head) == HEAD_BYTES
    assert length <= MOST_PART + 16
    assert kind is not None or length <= 4096


def test_heads_of_every_kind_come_back_and_a_later_kind_is_skipped() -> None:
    for kind in Kind:
        assert parse_head(frame_head(kind, 5)) == (kind, 5)
    assert parse_head(b"\xc8\0\0\0\x09") == (None, 9)
    with pytest.raises(InvalidFrame):
        parse_head(b"\xc8\0\1\0\0")
    with pytest.raises(InvalidFrame):
        parse_head(frame_head(Kind.PART, MOST_PART + 5))


@given(st.binary(max_size=100))
def test_bodies_parse_or_raise_their_error(body: bytes) -> None:
    for parse in (parse_part, parse_taken, parse_name, parse_names, parse_file):
        try:
            parse(body)
        except InvalidFrame:
            continue


@given(st.integers(0, 2**32 - 1), st.binary(max_size=50), st.sampled_from(Answer))
def test_bodies_come_back(number: int, data: bytes, answer: Answer) -> None:
    assert parse_part(part_body(number, data)) == (number, data)
    assert parse_taken(taken_body(number, answer)) == (number, answer)
    names = [bytes([n]) * 16 for n in range(len(data))]
    assert parse_names(names_body(names)) == names
