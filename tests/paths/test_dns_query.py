"""Questions and answers of the DNS, against a second writer of such messages: the lab's forger."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab import dns
from volok.paths.dns_query import AAAA, A, InvalidAnswer, InvalidName, make_query, read_answer

QUERY = make_query(0x1234, "relay.example", A)


def answered(query: bytes, *addresses: str) -> bytes:
    asked = dns.parse_query(query)
    assert asked is not None
    return dns.answer(asked, list(addresses))


@pytest.mark.parametrize("kind", [A, AAAA])
def test_a_question_is_understood(kind: int):
    asked = dns.parse_query(make_query(7, "Relay.Example.", kind))
    assert asked is not None
    assert (asked.id, asked.name, asked.type) == (7, "relay.example", kind)


def test_a_name_in_another_script_is_asked_for_as_the_dns_has_it():
    asked = dns.parse_query(make_query(7, "bücher.example", A))
    assert asked is not None
    assert asked.name == "xn--bcher-kva.example"


@pytest.mark.parametrize("name", ["", ".", "a..b", "a" * 64 + ".example", "a." * 130 + "a"])
def test_what_is_no_name_is_not_asked_for(name: str):
    with pytest.raises(InvalidName):
        make_query(7, name, A)


def test_all_addresses_of_an_answer_are_read():
    assert read_answer(answered(QUERY, "192.0.2.1", "192.0.2.2"), QUERY) == (
        "192.0.2.1",
        "192.0.2.2",
    )
    six = make_query(9, "relay.example", AAAA)
    assert read_answer(answered(six, "2001:db8::1"), six) == ("2001:db8::1",)
    assert read_answer(answered(QUERY), QUERY) == ()


def test_an_alias_before_the_address_is_passed_over():
    alias = b"\xc0\x0c" + b"\0\x05\0\x01\0\0\0\x3c\0\x04\x01a\xc0\x0c"
    answer = answered(QUERY, "192.0.2.1")
    head = answer[:6] + b"\0\x02" + answer[8 : len(QUERY)]
    assert read_answer(head + alias + answer[len(QUERY) :], QUERY) == ("192.0.2.1",)


def test_letters_may_have_changed_their_case():
    answer = answered(QUERY, "192.0.2.1").replace(b"relay", b"RELAY")
    assert read_answer(answer, QUERY) == ("192.0.2.1",)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        QUERY,
        answered(make_query(0x1235, "relay.example", A), "192.0.2.1"),
        answered(make_query(0x1234, "other.example", A), "192.0.2.1"),
        answered(make_query(0x1234, "relay.example", AAAA), "2001:db8::1"),
    ],
    ids=["nothing", "the question itself", "another number", "another name", "another kind"],
)
def test_what_answers_another_question_is_no_answer(payload: bytes):
    with pytest.raises(InvalidAnswer):
        read_answer(payload, QUERY)


@given(st.binary(max_size=80))
def test_garbage_after_the_question_gives_no_more_than_addresses(rest: bytes):
    payload = QUERY[:2] + b"\x80\0\0\x01\xff\xff\0\0\0\0" + QUERY[12:] + rest
    for address in read_answer(payload, QUERY):
        assert address.count(".") == 3 or ":" in address


@given(st.integers(0, 60))
def test_an_answer_that_is_cut_off_is_read_as_far_as_it_goes(size: int):
    whole = answered(QUERY, "192.0.2.1", "192.0.2.2")
    cut = whole[: len(QUERY) + size]
    found = read_answer(cut, QUERY)
    assert found == ("192.0.2.1", "192.0.2.2")[: size // 16]
