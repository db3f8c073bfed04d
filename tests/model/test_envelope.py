"""The sealed envelope: parts, buckets, and what shows on the outside."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volok.model.envelope import (
    BUCKETS,
    DAY,
    InvalidEnvelope,
    Part,
    content_bytes,
    content_length,
    encode_part,
    largest_bucket,
    open_envelope,
    parse_part,
    seal_envelope,
    split,
)
from volok.model.event import verify_event
from volok.native import NativeCrypto

CRYPTO = NativeCrypto()
NOW = 1_800_000_000.0


@given(st.binary(max_size=100_000), st.sampled_from(BUCKETS), st.integers(0, 2**60))
def test_split_and_join(frame: bytes, bucket: int, sequence: int) -> None:
    parts = split(bytes(32), bytes(32), sequence, frame, bucket)
    encoded = [encode_part(part) for part in parts]
    assert {len(e) for e in encoded} <= {b for b in BUCKETS if b <= bucket}
    again = [parse_part(e) for e in encoded]
    assert again == parts
    assert b"".join(part.data for part in again) == frame


@given(st.binary(max_size=200), st.sampled_from(BUCKETS))
def test_garbage_is_a_stated_error(data: bytes, bucket: int) -> None:
    for plaintext in (data, data.ljust(bucket, b"\0"), b"\x01" + data.ljust(bucket - 1, b"\0")):
        with contextlib.suppress(InvalidEnvelope):
            parse_part(plaintext)


def test_padding_that_hides_something_is_refused() -> None:
    whole = bytearray(encode_part(Part(bytes(32), bytes(32), 0, 0, 1, b"x")))
    whole[-1] = 1
    with pytest.raises(InvalidEnvelope):
        parse_part(bytes(whole))


def test_buckets_fit_the_limits_of_known_relays() -> None:
    assert largest_bucket(4096) == 1024
    assert largest_bucket(65_536) == 40_960
    assert largest_bucket(None) == 40_960
    assert largest_bucket(10) == 1024
    assert content_length(40_960) < 65_536


async def test_what_shows_on_the_outside() -> None:
    key, inbox = CRYPTO.sealing_key(), CRYPTO.public_key(CRYPTO.random(32)).hex()
    events = [
        await seal_envelope(
            CRYPTO, inbox, key.public, Part(bytes(32), bytes(32), n, 0, 1, b"x" * n), NOW, 30
        )
        for n in range(40)
    ]
    assert len({e.pubkey for e in events}) == 40
    assert len({len(e.content) for e in events}) == 1
    for event in events:
        assert verify_event(event, CRYPTO)
        assert NOW - 2 * DAY < event.created_at <= NOW - DAY // 2
        assert event.tag("p") == inbox
        assert int(event.tag("expiration") or 0) - event.created_at == 30 * DAY
        assert {name for name, *_ in event.tags} == {"p", "expiration"}
    assert len({e.created_at for e in events}) > 30


async def test_opened_by_its_key_and_inbox_alone() -> None:
    key, other = CRYPTO.sealing_key(), CRYPTO.sealing_key()
    inbox = CRYPTO.public_key(CRYPTO.random(32)).hex()
    part = Part(bytes(32), bytes([7]) * 32, 3, 0, 1, b"frame")
    event = await seal_envelope(CRYPTO, inbox, key.public, part, NOW, 30)
    assert len(content_bytes(event.content)) == 1024 + 1136
    opened = await open_envelope(CRYPTO, event, inbox, [other.secret, key.secret])
    assert opened == part
    with pytest.raises(InvalidEnvelope):
        await open_envelope(CRYPTO, event, inbox, [other.secret])
    with pytest.raises(InvalidEnvelope):
        await open_envelope(CRYPTO, event, "00" * 32, [key.secret])
