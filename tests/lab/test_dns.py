"""DNS messages: read, written, forged."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lab.dns import AAAA, A, Answer, Query, answer, build_query, parse_answer, parse_query

labels = st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=20)
dns_names = st.lists(labels, max_size=5).map(".".join)
identities = st.integers(0, 0xFFFF)
addresses = st.lists(st.ip_addresses(v=4).map(str), max_size=4)

# As a common stub resolver sends it: with an EDNS record that offers 1232 bytes.
WITH_EDNS = bytes.fromhex(
    "1a2b01200001000000000001"
    "0672656c617931076578616d706c650000010001"
    "00002904d000000000000c000a00084ac1c34d4b4a5e10"
)


def asked(name: str = "relay1.example", kind: int = A) -> Query:
    query = parse_query(build_query(7, name, kind))
    assert query is not None
    return query


@given(identities, dns_names, st.sampled_from([A, AAAA, 65]))
def test_a_query_is_read_back(identity: int, name: str, kind: int) -> None:
    payload = build_query(identity, name, kind)
    assert parse_query(payload) == Query(identity, name, kind, payload[12:])
    assert parse_answer(payload) is None


@given(identities, dns_names, addresses)
def test_an_answer_is_read_back(identity: int, name: str, given_addresses: list[str]) -> None:
    query = parse_query(build_query(identity, name))
    assert query is not None
    payload = answer(query, given_addresses)
    assert parse_answer(payload) == Answer(identity, name, A, 0, tuple(given_addresses))
    assert parse_query(payload) is None


def test_a_real_query_is_read() -> None:
    query = parse_query(WITH_EDNS)
    assert query == Query(0x1A2B, "relay1.example", A, WITH_EDNS[12:32])


def test_names_are_compared_in_lower_case_but_answered_as_asked() -> None:
    query = asked("ReLaY1.exAMPLE.")
    assert query.name == "relay1.example"
    assert b"\x06ReLaY1\x07exAMPLE\0" in answer(query, ["192.0.2.1"])


def test_an_answer_gives_addresses_of_the_asked_type_alone() -> None:
    both = ["192.0.2.1", "2001:db8::1"]
    for kind, expected in ((A, ("192.0.2.1",)), (AAAA, ("2001:db8::1",)), (65, ())):
        read = parse_answer(answer(asked(kind=kind), both))
        assert read is not None
        assert read.addresses == expected


def test_an_answer_can_say_that_there_is_no_such_name() -> None:
    read = parse_answer(answer(asked(), [], code=3))
    assert read == Answer(7, "relay1.example", A, 3, ())


def test_an_alias_in_an_answer_is_stepped_over() -> None:
    query = asked()
    alias = b"\xc0\x0c\0\5\0\1\0\0\0\x3c\0\4\1x\xc0\x13"
    plain = answer(query, ["192.0.2.1"])
    head = 12 + len(query.question)
    payload = plain[:7] + b"\2" + plain[8:head] + alias + plain[head:]
    read = parse_answer(payload)
    assert read is not None
    assert read.addresses == ("192.0.2.1",)


@pytest.mark.parametrize("name", ["a..b", "x" * 64, ".".join(["x" * 60] * 5), "почта"])
def test_a_name_that_cannot_be_written_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"name|codec"):
        build_query(1, name)


def test_what_is_no_address_is_refused() -> None:
    with pytest.raises(ValueError, match="relay1"):
        answer(asked(), ["relay1.example"])


def test_a_loop_of_pointers_ends() -> None:
    header = b"\0\1\x01\0\0\1\0\0\0\0\0\0"
    assert parse_query(header + b"\xc0\x0c\0\1\0\1") is None
    assert parse_query(header + b"\1a\xc0\x0c\0\1\0\1") is None


@pytest.mark.parametrize("length", range(len(build_query(1, "relay1.example"))))
def test_a_query_that_is_cut_short_is_none(length: int) -> None:
    assert parse_query(build_query(1, "relay1.example")[:length]) is None


@pytest.mark.parametrize("missing", range(1, 17))
def test_an_answer_that_is_cut_short_is_none(missing: int) -> None:
    assert parse_answer(answer(asked(), ["192.0.2.1"])[:-missing]) is None


def test_only_standard_queries_with_one_question_count() -> None:
    plain = build_query(1, "relay1.example")
    assert parse_query(plain[:2] + b"\x29" + plain[3:]) is None  # UPDATE
    assert parse_query(plain[:5] + b"\2" + plain[6:]) is None


@given(st.binary(max_size=80), st.data())
def test_garbage_never_raises(payload: bytes, data: st.DataObject) -> None:
    parse_query(payload)
    parse_answer(payload)
    damaged = bytearray(answer(asked(), ["192.0.2.1", "192.0.2.2"]))
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    parse_answer(bytes(damaged))
    parse_query(bytes(damaged))
