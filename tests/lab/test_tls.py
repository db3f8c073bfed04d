"""The ClientHello reader, on hellos that OpenSSL really sends and on hellos made to be odd."""

import ssl
from collections.abc import Sequence
from itertools import pairwise, product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lab.tls import Hello, HelloReader, NotTls

NAME = "relay1.example"


def real_hello(
    name: str | None = NAME, alpn: Sequence[str] = ("h2", "http/1.1"), ciphers: str | None = None
) -> bytes:
    """What OpenSSL sends first: one record with a whole ClientHello."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if alpn:
        context.set_alpn_protocols(list(alpn))
    if ciphers:
        context.set_ciphers(ciphers)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing, server_hostname=name).do_handshake()
    return outgoing.read()


HELLO = real_hello()
BOTH = list(product([True, False], repeat=2))


def cut(data: bytes, places: Sequence[int]) -> list[bytes]:
    ends = [0, *sorted({place for place in places if 0 < place < len(data)}), len(data)]
    return [data[start:end] for start, end in pairwise(ends)]


def record(body: bytes, kind: int = 22) -> bytes:
    return bytes([kind, 3, 1]) + len(body).to_bytes(2, "big") + body


def in_records(hello: bytes, places: Sequence[int]) -> bytes:
    return b"".join(record(part) for part in cut(hello[5:], places))


def made_hello(extensions: bytes, ciphers: bytes = b"\x13\x01") -> bytes:
    body = b"\3\3" + bytes(32) + b"\0" + len(ciphers).to_bytes(2, "big") + ciphers + b"\1\0"
    body += len(extensions).to_bytes(2, "big") + extensions
    return record(b"\1" + len(body).to_bytes(3, "big") + body)


def extension(kind: int, data: bytes) -> bytes:
    return kind.to_bytes(2, "big") + len(data).to_bytes(2, "big") + data


def server_name(name: bytes) -> bytes:
    entry = b"\0" + len(name).to_bytes(2, "big") + name
    return extension(0, len(entry).to_bytes(2, "big") + entry)


def read(*pieces: bytes, tcp: bool = True, records: bool = True) -> Hello | NotTls | None:
    reader = HelloReader(reassemble_tcp=tcp, reassemble_records=records)
    for piece in pieces:
        reader.add(piece)
    return reader.result


def hello(*pieces: bytes, tcp: bool = True, records: bool = True) -> Hello:
    result = read(*pieces, tcp=tcp, records=records)
    assert isinstance(result, Hello)
    return result


def test_a_real_hello_is_read() -> None:
    found = hello(HELLO)
    assert (found.name, found.alpn) == (NAME, ("h2", "http/1.1"))
    assert found.whole
    assert not found.has_ech
    assert found.length == len(HELLO) - 5
    assert found.fingerprint.startswith("0304c")


def test_a_hello_may_have_no_name_and_no_protocols() -> None:
    assert hello(real_hello(name=None)).name is None
    assert hello(real_hello(alpn=())).alpn == ()


def test_names_are_compared_in_lower_case_without_the_last_dot() -> None:
    assert hello(made_hello(server_name(b"Relay1.EXAMPLE."))).name == NAME


def test_the_fingerprint_belongs_to_the_client() -> None:
    same = {
        hello(real_hello(name=name)).fingerprint for name in (None, NAME, f"{'a' * 60}.example")
    }
    assert len(same) == 1
    assert same != {hello(real_hello(ciphers="ECDHE+AESGCM")).fingerprint}
    assert same != {hello(real_hello(alpn=())).fingerprint}


def test_neither_order_nor_grease_changes_the_fingerprint() -> None:
    groups, versions = extension(10, b"\0\2\0\x1d"), extension(43, b"\2\3\4")
    plain = hello(made_hello(groups + versions, b"\x13\x01\x13\x02"))
    grease = extension(0x3A3A, b"") + versions + extension(10, b"\0\4\x0a\x0a\0\x1d")
    shuffled = hello(made_hello(grease, b"\xfa\xfa\x13\x02\x13\x01"))
    assert plain.fingerprint == shuffled.fingerprint
    assert not plain.browser_like
    assert shuffled.browser_like


@pytest.mark.parametrize(
    "odd",
    [
        made_hello(extension(0xFAFA, b"")),
        made_hello(b"", b"\x0a\x0a\x13\x01"),
        made_hello(extension(10, b"\0\2\xba\xba")),
        made_hello(extension(16, b"\0\3\2\x1a\x1a")),
        made_hello(b"", bytes(range(30))),
    ],
)
def test_grease_anywhere_or_many_ciphers_look_like_a_browser(odd: bytes) -> None:
    assert hello(odd).browser_like


def test_a_small_client_does_not_look_like_a_browser() -> None:
    # 0x0A1A repeats no byte, so it is no GREASE (RFC 8701).
    assert not hello(made_hello(extension(0x0A1A, b""))).browser_like
    assert not hello(real_hello(ciphers="ECDHE+CHACHA20")).browser_like


def test_encrypted_hello_is_seen_beside_its_outer_name() -> None:
    found = hello(made_hello(server_name(b"cover.example") + extension(0xFE0D, bytes(40))))
    assert found.has_ech
    assert found.name == "cover.example"


@pytest.mark.parametrize(("tcp", "records"), BOTH)
def test_a_whole_hello_in_one_piece_is_read_by_all(tcp: bool, records: bool) -> None:
    assert hello(HELLO, tcp=tcp, records=records) == hello(HELLO)


# A place in the middle of the name.
MIDDLE = HELLO.index(NAME.encode()) + 5


@pytest.mark.parametrize(("tcp", "records"), BOTH)
def test_segments_hide_the_name_from_those_that_join_no_segments(tcp: bool, records: bool) -> None:
    found = hello(*cut(HELLO, [MIDDLE]), tcp=tcp, records=records)
    assert found.name == (NAME if tcp else None)
    assert found.whole == tcp
    assert found.length == len(HELLO) - 5


@pytest.mark.parametrize(("tcp", "records"), BOTH)
def test_records_hide_the_name_from_those_that_join_no_records(tcp: bool, records: bool) -> None:
    found = hello(in_records(HELLO, [MIDDLE - 5]), tcp=tcp, records=records)
    assert found.name == (NAME if records else None)
    assert found.whole == records


@pytest.mark.parametrize(("tcp", "records"), BOTH)
def test_both_cuts_hide_it_from_those_that_lack_either(tcp: bool, records: bool) -> None:
    in_two = in_records(HELLO, [MIDDLE - 5])
    found = hello(*cut(in_two, [MIDDLE]), tcp=tcp, records=records)
    assert found.name == (NAME if tcp and records else None)


def test_a_name_that_lies_whole_in_the_first_piece_is_seen() -> None:
    after = MIDDLE + len(NAME)
    assert hello(*cut(HELLO, [after]), tcp=False).name == NAME
    assert hello(in_records(HELLO, [after]), records=False).name == NAME


@pytest.mark.parametrize("first", [1, 3])
def test_a_first_record_inside_the_handshake_header_shows_nothing(first: int) -> None:
    found = hello(in_records(HELLO, [first]), records=False)
    assert (found.name, found.length, found.whole) == (None, 0, False)
    assert hello(in_records(HELLO, [first])) == hello(HELLO)


def test_records_of_one_byte_are_joined() -> None:
    assert hello(in_records(HELLO, range(len(HELLO)))) == hello(HELLO)


@given(st.lists(st.integers(1, 600), max_size=4), st.lists(st.integers(1, 700), max_size=4))
def test_no_cut_hides_the_name_from_one_that_joins_all(
    records: list[int], segments: list[int]
) -> None:
    assert hello(*cut(in_records(HELLO, records), segments)) == hello(HELLO)


def test_a_reader_waits_until_there_is_enough() -> None:
    reader = HelloReader()
    for byte in HELLO[:-1]:
        reader.add(bytes([byte]))
        assert reader.result is None
    reader.add(HELLO[-1:])
    assert reader.result == hello(HELLO)
    reader.add(b"GET / HTTP/1.1")
    assert reader.result == hello(HELLO)


@pytest.mark.parametrize(
    "payload",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x00",
        b"\x16\x03\x09",
        b"\x16\x02\x01",
        b"\x17\x03\x03\x00\x10",
        record(b"\x02\0\0\1\0"),
        b"\x16\x03\x01\xff\xff\x01",
        b"SSH-2.0-OpenSSH_9.2\r\n",
    ],
)
@pytest.mark.parametrize(("tcp", "records"), BOTH)
def test_other_protocols_are_told_apart(payload: bytes, tcp: bool, records: bool) -> None:
    assert read(payload, tcp=tcp, records=records) == NotTls()


def test_one_or_two_bytes_could_be_anything() -> None:
    assert read(b"\x16", tcp=False) == NotTls()
    assert read(b"\x16\x03", tcp=False) == NotTls()
    assert isinstance(read(b"\x16\x03\x01", tcp=False), Hello)
    assert read(b"\x16") is None


def test_an_alert_in_the_middle_ends_the_hello() -> None:
    in_two = in_records(HELLO, [200])
    found = hello(in_two[:205] + record(b"\1\0", 21) + in_two[205:])
    assert not found.whole


def test_what_is_kept_is_bounded() -> None:
    endless = record(b"\1\xff\xff\xff" + bytes(16000))
    reader = HelloReader(limit=40_000)
    reader.add(endless)
    reader.add(endless)
    assert reader.result is None
    reader.add(endless)
    assert isinstance(reader.result, Hello)
    assert not reader.result.whole


@pytest.mark.parametrize("start", [0, 100, 2**32 - 1, 2**32 - 200])
def test_segments_are_put_in_order(start: int) -> None:
    places = list(enumerate(cut(HELLO, range(100, 500, 100))))
    for order in ([4, 3, 2, 1, 0], [2, 0, 0, 4, 1, 2, 3], [1, 0, 2, 3, 4]):
        reader = HelloReader()
        reader.opened(start - 1)
        for index in order:
            number, piece = places[index]
            reader.add(piece, (start + 100 * number) % 2**32)
        assert reader.result == hello(HELLO)


def test_overlapping_segments_are_joined() -> None:
    reader = HelloReader()
    reader.add(HELLO[:50], 1000)
    reader.add(HELLO[80:300], 1080)
    reader.add(HELLO[20:100], 1020)
    reader.add(HELLO[:50], 1000)
    reader.add(HELLO[250:], 1250)
    assert reader.result == hello(HELLO)


def test_a_gap_keeps_the_reader_waiting() -> None:
    reader = HelloReader()
    reader.opened(999)
    reader.add(HELLO[100:], 1100)
    assert reader.result is None
    reader.add(HELLO[:100], 1000)
    assert reader.result == hello(HELLO)


def test_what_waits_for_a_gap_to_close_is_bounded() -> None:
    reader = HelloReader(limit=2000)
    reader.opened(999)
    for at in range(0, 2000, 100):
        reader.add(bytes(500), 1001 + at)
    reader.add(HELLO, 1000)
    assert reader.result == hello(HELLO)


@given(
    st.lists(st.tuples(st.binary(max_size=60), st.none() | st.integers(0, 2**32 - 1)), max_size=12),
    st.booleans(),
    st.booleans(),
)
def test_garbage_never_raises(
    pieces: list[tuple[bytes, int | None]], tcp: bool, records: bool
) -> None:
    reader = HelloReader(reassemble_tcp=tcp, reassemble_records=records)
    for piece, seq in pieces:
        reader.add(piece, seq)
    assert reader.result is None or isinstance(reader.result, Hello | NotTls)


@given(st.data(), st.booleans(), st.booleans())
def test_a_damaged_hello_never_raises(data: st.DataObject, tcp: bool, records: bool) -> None:
    damaged = bytearray(in_records(HELLO, data.draw(st.lists(st.integers(1, 500), max_size=2))))
    for _ in range(data.draw(st.integers(1, 8))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    pieces = cut(bytes(damaged), data.draw(st.lists(st.integers(1, 500), max_size=3)))
    reader = HelloReader(reassemble_tcp=tcp, reassemble_records=records)
    for at, piece in data.draw(st.permutations(list(enumerate(pieces)))):
        reader.add(piece, data.draw(st.none() | st.just(at * 100)))
    assert reader.result is None or isinstance(reader.result, Hello | NotTls)


@given(st.binary(max_size=200))
def test_any_extensions_are_survived(extensions: bytes) -> None:
    assert isinstance(read(made_hello(extensions)), Hello)
