"""Bundles: what one person packs another one gets, and nobody else learns or breaks anything.

`tests/old_states/bundle_v1` must open for ever. It was made once, by the program of its time:

    python tests/sync/test_bundle.py
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import struct
import tracemalloc
import zipfile
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volok.model.crypto import CryptoError
from volok.model.stream import StreamKey, StreamWriter
from volok.native import NativeCrypto
from volok.sync import bundle
from volok.sync.bundle import (
    BundleNotForUs,
    BundleTooLarge,
    BundleTooNew,
    InboxKey,
    InvalidBundle,
    Part,
    read_bundle,
    write_bundle,
)

CRYPTO = NativeCrypto()
ALICE, BOB, EVE = (CRYPTO.sealing_key() for _ in range(3))
ALICE_KEY = InboxKey(b"a" * 32, ALICE.secret)
BOB_KEY = InboxKey(b"b" * 32, BOB.secret)
EVE_KEY = InboxKey(b"e" * 32, EVE.secret)
FIXTURE = Path(__file__).parent.parent / "old_states" / "bundle_v1"

Contents = tuple[list[bytes], dict[str, bytes]]


def named(*blobs: bytes) -> dict[str, bytes]:
    return {hashlib.sha256(blob).hexdigest(): blob for blob in blobs}


async def in_pieces(data: bytes, size: int = 65_536) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


def part(key: InboxKey, public: bytes, contents: Contents) -> Part:
    events, blobs = contents
    return Part(key.inbox, public, events, [(n, in_pieces(b)) for n, b in blobs.items()])


def to_alice(contents: Contents) -> Part:
    return part(ALICE_KEY, ALICE.public, contents)


def to_bob(contents: Contents) -> Part:
    return part(BOB_KEY, BOB.public, contents)


async def pack(*parts: Part) -> bytes:
    out = io.BytesIO()
    await write_bundle(out, parts, CRYPTO)
    return out.getvalue()


async def unpack(data: bytes, *keys: InboxKey) -> list[Contents]:
    """All contents that are for these keys, read to the end."""
    parts = await read_bundle(io.BytesIO(data), keys, CRYPTO)
    return [
        (
            list(opened.events()),
            {n: b"".join([piece async for piece in opened.blob(n)]) for n, _ in opened.blobs},
        )
        for opened in parts
    ]


CONTENTS = ([b'{"id":"1"}', b'{"id":"2"}'], named(b"picture" * 30_000, b""))


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.binary(max_size=50).filter(lambda line: b"\n" not in line), max_size=6),
    st.lists(st.binary(max_size=200), max_size=4),
)
def test_round_trip(events: list[bytes], blobs: list[bytes]) -> None:
    contents = (events, named(*blobs))
    assert asyncio.run(unpack(asyncio.run(pack(to_alice(contents))), ALICE_KEY)) == [contents]


async def test_each_receiver_gets_their_part_and_no_other() -> None:
    other = ([b"{}"], named(b"x"))
    data = await pack(to_alice(CONTENTS), to_bob(other), to_bob(CONTENTS))
    assert await unpack(data, ALICE_KEY) == [CONTENTS]
    assert await unpack(data, EVE_KEY, BOB_KEY) == [other, CONTENTS]
    (opened,) = await read_bundle(io.BytesIO(data), [ALICE_KEY, EVE_KEY], CRYPTO)
    assert opened.inbox == ALICE_KEY.inbox
    assert dict(opened.blobs) == {name: len(blob) for name, blob in CONTENTS[1].items()}
    with pytest.raises(BundleNotForUs):
        await unpack(data, EVE_KEY)
    with pytest.raises(BundleNotForUs):
        await unpack(data)


async def test_the_right_key_at_another_address_opens_nothing() -> None:
    data = await pack(to_alice(CONTENTS))
    with pytest.raises(BundleNotForUs):
        await unpack(data, InboxKey(b"b" * 32, ALICE.secret))


async def test_the_outside_tells_neither_receivers_nor_contents() -> None:
    data = await pack(to_alice(CONTENTS), to_bob(CONTENTS))
    for secret in (
        *(ALICE_KEY.inbox, BOB_KEY.inbox, ALICE.public[:32], BOB.public[:32]),
        *(b'"id":"', b"picture", b"events.jsonl"),
    ):
        assert secret not in data.removeprefix(b"volok-bundle")
    lengths = {
        len(await pack(to_alice(([b"e" * size], {})))) for size in (0, 1, 17, 500, 2000, 3000)
    }
    assert len(lengths) == 1
    lengths = {len(await pack(to_alice(([b"e" * 30] * n, {})))) for n in range(1000, 1060, 6)}
    assert len(lengths) <= 3


async def test_a_blob_handed_in_twice_travels_once() -> None:
    ((name, blob),) = named(b"one").items()
    both = Part(
        ALICE_KEY.inbox, ALICE.public, [], [(name, in_pieces(blob)), (name, in_pieces(blob))]
    )
    assert await unpack(await pack(both), ALICE_KEY) == [([], {name: blob})]


async def test_what_cannot_be_packed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for bad in (([b"a\nb"], {}), ([b"x" * (1 << 20)], {}), ([], {"../../etc/passwd": b""})):
        with pytest.raises(ValueError, match=r"event|SHA"):
            await pack(to_alice(bad))
    with pytest.raises(CryptoError):
        await pack(Part(ALICE_KEY.inbox, b"no key", []))
    with pytest.raises(BundleTooLarge):
        await pack(*[to_alice(([], {}))] * 1025)
    monkeypatch.setattr(bundle, "MAX_PART_BYTES", 200_000)
    with pytest.raises(BundleTooLarge):
        await pack(to_alice(CONTENTS))


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_damage_gives_a_documented_error_or_the_contents(data: st.DataObject) -> None:
    whole = WHOLE
    at = data.draw(
        st.one_of(st.integers(0, len(whole) - 1), st.integers(0, 1300), st.integers(0, 40))
    )
    kind = data.draw(st.sampled_from(["cut", "flip", "insert", "append"]))
    damaged = {
        "cut": whole[:at],
        "flip": whole[:at] + bytes([whole[at] ^ (1 << (at % 8))]) + whole[at + 1 :],
        "insert": whole[:at] + b"\0" + whole[at:],
        "append": whole + whole[at:],
    }[kind]
    try:
        contents = asyncio.run(unpack(damaged, ALICE_KEY))
    except (InvalidBundle, BundleNotForUs, BundleTooNew):
        return
    assert kind == "flip"  # in the part of somebody else, or in the padding
    assert contents == [CONTENTS]


WHOLE = asyncio.run(pack(to_alice(CONTENTS), to_bob(([b"{}"], {}))))


@pytest.mark.parametrize("kind", ["cut", "changed"])
async def test_damage_to_a_part_of_ours_is_said(kind: str) -> None:
    data = await pack(to_alice(CONTENTS))
    middle = len(data) // 2
    rest = data[middle:] if kind == "changed" else b""
    damaged = data[:middle] + bytes([rest[0] ^ 1]) + rest[1:] if rest else data[:middle]
    with pytest.raises(InvalidBundle):
        await unpack(damaged, ALICE_KEY)


@pytest.mark.parametrize("data", [b"", b"volok", b"PK\x03\x04" + bytes(99), bytes(2000)])
async def test_other_files_are_no_bundles(data: bytes) -> None:
    with pytest.raises(InvalidBundle):
        await unpack(data, ALICE_KEY)


async def test_a_newer_bundle_says_so() -> None:
    data = bytearray(await pack(to_alice(CONTENTS)))
    data[12] = 2
    with pytest.raises(BundleTooNew):
        await unpack(bytes(data), ALICE_KEY)


async def sealed(plaintext: bytes) -> bytes:
    """A bundle by somebody who knows the address and the format, around any plaintext."""
    key = CRYPTO.random(32)
    out = io.BytesIO()
    out.write(await CRYPTO.seal(ALICE.public, b"volok bundle v1" + ALICE_KEY.inbox, key))
    stream = StreamWriter(out, StreamKey(CRYPTO, key, b"volok bundle v1"))
    stream.write(plaintext)
    stream.finish()
    body = out.getvalue()
    return b"volok-bundle\x01" + struct.pack(">HQ", 1, len(body)) + body


async def sealed_zip(content: bytes) -> bytes:
    return await sealed(content + struct.pack(">Q", len(content)))


def zipped(entries: Sequence[tuple[str, bytes]], compression: int = zipfile.ZIP_STORED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        for name, content in entries:
            archive.writestr(zipfile.ZipInfo(name) if compression == 0 else name, content)
    return out.getvalue()


def commented() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("events.jsonl", b"")
        archive.comment = b"hello"
    return out.getvalue()


def swollen() -> bytes:
    """Many entries that share the bytes of one: each looks sound by itself."""
    blob = bytes(100_000)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("events.jsonl", b"")
        archive.writestr(f"blobs/{0:064x}", blob)
        shared = archive.infolist()[1]
        for number in range(1, 50):
            copy = zipfile.ZipInfo(f"blobs/{number:064x}")
            copy.header_offset, copy.CRC = shared.header_offset, shared.CRC
            copy.file_size = copy.compress_size = len(blob)
            archive.filelist.append(copy)
    return out.getvalue()


async def test_entries_that_share_their_bytes_are_refused_before_they_are_read() -> None:
    data = await sealed_zip(swollen())
    with pytest.raises(InvalidBundle):
        await read_bundle(io.BytesIO(data), [ALICE_KEY], CRYPTO)


def falsely_deflated() -> bytes:
    """An entry that is stored, and said to be deflated to its own length: zlib chokes on it."""
    content = bytearray(zipped([("events.jsonl", b"\x07{}\n")]))
    content[content.index(b"PK\x01\x02") + 10] = zipfile.ZIP_DEFLATED
    return bytes(content)


EVENTS = ("events.jsonl", b"{}\n")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no zip at all",
        zipped([]),
        zipped([EVENTS], zipfile.ZIP_DEFLATED),
        zipped([("events.jsonl", bytes(10**6))], zipfile.ZIP_DEFLATED),
        zipped([EVENTS, ("blobs/../../passwd", b"")]),
        zipped([EVENTS, ("/etc/passwd", b"")]),
        zipped([EVENTS, ("blobs/" + "A" * 64, b"")]),
        zipped([EVENTS, ("other.txt", b"")]),
        zipped([("events.jsonl", b"no end of line")]),
        zipped([("events.jsonl", b"x" * (2 << 20) + b"\n")]),
        zipped([EVENTS])[:-1],
        zipped([EVENTS]).replace(b"{}\n", b"[]\n"),  # another checksum
        zipped([EVENTS])[:-2] + b"\1\0",  # a comment that is not there
        commented(),
        falsely_deflated(),
    ],
    ids=range(16),
)
async def test_what_a_malicious_contact_packs_is_refused(content: bytes) -> None:
    with pytest.raises(InvalidBundle):
        await unpack(await sealed_zip(content), ALICE_KEY)


@pytest.mark.filterwarnings("ignore:Duplicate name")
async def test_two_entries_of_one_name_are_refused() -> None:
    with pytest.raises(InvalidBundle):
        await unpack(await sealed_zip(zipped([EVENTS, EVENTS])), ALICE_KEY)


@pytest.mark.parametrize("length", [0, 1, 2**63, 2**64 - 1])
async def test_a_false_length_of_the_zip_is_refused(length: int) -> None:
    with pytest.raises(InvalidBundle):
        await unpack(await sealed(b"x" + struct.pack(">Q", length)), ALICE_KEY)
    with pytest.raises(InvalidBundle):
        await unpack(await sealed(b"short"), ALICE_KEY)


async def test_a_blob_that_is_not_there_is_an_error() -> None:
    (opened,) = await read_bundle(io.BytesIO(await pack(to_alice(CONTENTS))), [ALICE_KEY], CRYPTO)
    with pytest.raises(InvalidBundle):
        await anext(opened.blob("0" * 64))


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_any_zip_gives_a_documented_error_or_contents(data: st.DataObject) -> None:
    whole = bytearray(zipped([EVENTS, (f"blobs/{1:064x}", b"blob")]))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(whole) - 1))
        whole[at] = data.draw(st.integers(0, 255))
    damaged = asyncio.run(sealed_zip(bytes(whole)))
    try:
        (contents,) = asyncio.run(unpack(damaged, ALICE_KEY))
    except InvalidBundle:
        return
    assert sum(map(len, contents[1].values())) <= len(whole)


async def test_large_blobs_pass_through_little_memory(tmp_path: Path) -> None:
    piece = bytes(65_536)

    async def long() -> AsyncIterator[bytes]:
        for _ in range(480):  # 30 MiB
            yield piece

    with (tmp_path / "b").open("w+b") as file:
        tracemalloc.start()
        await write_bundle(
            file, [Part(ALICE_KEY.inbox, ALICE.public, [], [("0" * 64, long())])], CRYPTO
        )
        (opened,) = await read_bundle(file, [ALICE_KEY], CRYPTO)
        total = 0
        async for got in opened.blob("0" * 64):
            total += len(got)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert total == 480 * 65_536
    assert peak < 2_000_000


async def test_version_1_opens() -> None:
    key = InboxKey(b"a" * 32, (FIXTURE / "alice.key").read_bytes())
    data = (FIXTURE / "two.bundle").read_bytes()
    assert await unpack(data, key) == [([b'{"old":1}', b'{"old":2}'], named(b"old blob"))]


async def make() -> None:
    FIXTURE.mkdir(parents=True)
    (FIXTURE / "alice.key").write_bytes(ALICE.secret)
    contents = ([b'{"old":1}', b'{"old":2}'], named(b"old blob"))
    (FIXTURE / "two.bundle").write_bytes(await pack(to_bob(([b"{}"], {})), to_alice(contents)))


if __name__ == "__main__":
    asyncio.run(make())
