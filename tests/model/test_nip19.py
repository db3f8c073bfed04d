"""bech32 entities and nostr: links (NIP-19, NIP-21)."""

from __future__ import annotations

import nostr_sdk
import pytest
from hypothesis import given
from hypothesis import strategies as st

from volok.model.nip19 import (
    Entity,
    InvalidEntity,
    Naddr,
    Nevent,
    Note,
    Nprofile,
    Npub,
    Nsec,
    bech32_decode,
    bech32_encode,
    decode,
    encode,
    parse_uri,
    to_uri,
)

KEY = "3bf0c63fcb93463407af97a5e5ee64fa883d107ef9e558472c4eb9aaaefa459d"
NPUB = "npub180cvv07tjdrrgpa0j7j7tmnyl2yr6yr7l8j4s3evf6u64th6gkwsyjh6w6"

EXAMPLES = [  # All but the last stand in NIP-19 itself.
    (NPUB, Npub(KEY)),
    (
        "npub10elfcs4fr0l0r8af98jlmgdh9c8tcxjvz9qkw038js35mp4dma8qzvjptg",
        Npub("7e7e9c42a91bfef19fa929e5fda1b72e0ebc1a4c1141673e2794234d86addf4e"),
    ),
    (
        "nsec1vl029mgpspedva04g90vltkh6fvh240zqtv9k0t9af8935ke9laqsnlfe5",
        Nsec(bytes.fromhex("67dea2ed018072d675f5415ecfaed7d2597555e202d85b3d65ea4e58d2d92ffa")),
    ),
    (
        "nprofile1qqsrhuxx8l9ex335q7he0f09aej04zpazpl0ne2cgukyawd24mayt8gpp4mhxue69uhhytnc9e3k7m"
        "gpz4mhxue69uhkg6nzv9ejuumpv34kytnrdaksjlyr9p",
        Nprofile(KEY, ("wss://r.x.com", "wss://djbas.sadkb.com")),
    ),
    (
        "naddr1qqrxyctwv9hxzqfwwaehxw309aex2mrp0yhxummnw3ezuetcv9khqmr99ekhjer0d4skjm3wv4uxzmtsd3"
        "jjucm0d5q3vamnwvaz7tmwdaehgu3wvfskuctwvyhxxmmdqgsrhuxx8l9ex335q7he0f09aej04zpazpl0ne2cgu"
        "kyawd24mayt8grqsqqqa28a3lkds",
        Naddr(
            "banana",
            KEY,
            30023,
            ("wss://relay.nostr.example.mydomain.example.com", "wss://nostr.banana.com"),
        ),
    ),
]

hexes = st.binary(min_size=32, max_size=32).map(bytes.hex)
kinds = st.integers(0, 65535)
relays = st.lists(st.text(st.characters(max_codepoint=127), max_size=255), max_size=3).map(tuple)
identifiers = st.text(st.characters(exclude_categories=["Cs"]), max_size=63)
entities: st.SearchStrategy[Entity] = st.one_of(
    st.builds(Npub, hexes),
    st.builds(Nsec, st.binary(min_size=32, max_size=32)),
    st.builds(Note, hexes),
    st.builds(Nprofile, hexes, relays),
    st.builds(Nevent, hexes, relays, st.none() | hexes, st.none() | kinds),
    st.builds(Naddr, identifiers, hexes, kinds, relays),
)


@pytest.mark.parametrize(("text", "entity"), EXAMPLES)
def test_examples(text: str, entity: Entity) -> None:
    assert decode(text) == entity
    assert decode(text.upper()) == entity
    assert encode(entity) == text


@given(entities)
def test_entities_come_back(entity: Entity) -> None:
    assert decode(encode(entity)) == entity
    if not isinstance(entity, Nsec):
        assert parse_uri(to_uri(entity)) == entity


@given(hexes, hexes, kinds)
def test_another_implementation_agrees(name: str, author: str, kind: int) -> None:
    entity = Nevent(name, ("wss://r.x.com",), author, kind)
    theirs = nostr_sdk.Nip19Event.from_bech32(encode(entity))
    assert theirs.event_id().to_hex() == name
    assert decode(theirs.to_bech32()) == entity


@given(
    st.text(max_size=100)
    | st.builds(
        bech32_encode,
        st.sampled_from(["npub", "nsec", "note", "nprofile", "nevent", "naddr", "nrelay"]),
        st.binary(max_size=80),
    )
)
def test_what_is_no_entity_raises_invalid_entity(text: str) -> None:
    try:
        entity = decode(text)
    except InvalidEntity:
        return
    assert decode(encode(entity)) == entity


@given(st.binary(max_size=100))
def test_bech32_comes_back(data: bytes) -> None:
    assert bech32_decode(bech32_encode("volok", data)) == ("volok", data)


@given(st.integers(5, len(NPUB) - 1), st.sampled_from("qpzry9x8gf2tvdw0s3jn54khce6mua7l"))
def test_one_wrong_character_is_found(place: int, character: str) -> None:
    wrong = NPUB[:place] + character + NPUB[place + 1 :]
    if wrong != NPUB:
        with pytest.raises(InvalidEntity):
            decode(wrong)


@pytest.mark.parametrize(
    "text",
    [
        "",
        KEY,
        NPUB[:-1],
        NPUB[0].upper() + NPUB[1:],
        " " + NPUB,
        NPUB.replace("k", "\u212a"),  # the Kelvin sign, whose lower case is k
        "npub1" + "q" * 6000,
        bech32_encode("npub", bytes(31)),
        bech32_encode("nsec", bytes(33)),
        bech32_encode("volok", bytes(32)),
        bech32_encode("nprofile", b""),
        bech32_encode("nprofile", b"\0\x20" + bytes(31)),
        bech32_encode("nprofile", b"\1\1x"),
        bech32_encode("nprofile", b"\0\x20" + bytes(32) + b"\1\1\xff"),
        bech32_encode("nevent", b"\0\x1f" + bytes(31)),
        bech32_encode("nevent", b"\0\x20" + bytes(32) + b"\3\2\0\1"),
        bech32_encode("nevent", b"\0\x20" + bytes(32) + b"\3\4\0\1\0\0"),
        bech32_encode("nevent", b"\0\x20" + bytes(32) + b"\2\1\0"),
        bech32_encode("naddr", b"\0\1x"),
        bech32_encode("naddr", b"\0\1\xff\2\x20" + bytes(32) + b"\3\4\0\0\0\1"),
    ],
)
def test_refused(text: str) -> None:
    with pytest.raises(InvalidEntity):
        decode(text)


def test_bech32_ends_in_zero_bits_and_uses_the_old_constant() -> None:
    # BIP-173 and BIP-350: a valid bech32 text, the same as bech32m, and one with spare bits set.
    assert bech32_decode("A12UEL5L") == ("a", b"")
    for text in ("a1lqfn3a", "a1rsjkgzt"):
        with pytest.raises(InvalidEntity):
            bech32_decode(text)


def test_unknown_fields_are_ignored() -> None:
    text = bech32_encode("nprofile", b"\x09\1x\0\x20" + bytes.fromhex(KEY) + b"\x08\0")
    assert decode(text) == Nprofile(KEY)


@pytest.mark.parametrize(
    "entity",
    [
        Npub("short"),
        Nsec(b"short"),
        Nprofile(KEY, ("wss://пример.рф",)),
        Nprofile(KEY, ("w" * 256,)),
        Nprofile(KEY, ("w" * 255,) * 20),
        Nevent(KEY, kind=65536),
        Nevent(KEY, author=KEY.upper()),
        Naddr("\ud800", KEY, 30023),
    ],
)
def test_what_cannot_be_encoded(entity: Entity) -> None:
    with pytest.raises(InvalidEntity):
        encode(entity)


def test_links() -> None:
    assert to_uri(Npub(KEY)) == f"nostr:{NPUB}"
    assert parse_uri(f"NOSTR:{NPUB}") == Npub(KEY)
    for text in (NPUB, f"web+nostr:{NPUB}", f"nostr://{NPUB}", "nostr:"):
        with pytest.raises(InvalidEntity):
            parse_uri(text)


def test_secret_keys_stay_out_of_links_and_reprs() -> None:
    secret = Nsec(bytes.fromhex(KEY))
    with pytest.raises(InvalidEntity):
        to_uri(secret)
    with pytest.raises(InvalidEntity):
        parse_uri(f"nostr:{encode(secret)}")
    assert KEY not in repr(secret)
    assert repr(bytes.fromhex(KEY)) not in repr(secret)
