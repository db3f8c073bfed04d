"""Which addresses of a name are trusted."""

from hypothesis import given
from hypothesis import strategies as st

from volok.paths.addresses import AddressBook, AddressSettings

HOST = "relay.example"


def test_what_was_proved_is_taken_without_a_new_lookup_while_it_is_fresh():
    book = AddressBook(AddressSettings(fresh=100))
    assert book.trusted(HOST, 0) == []
    book.proved(HOST, "192.0.2.1", 10)
    book.proved(HOST, "192.0.2.2", 20)
    assert book.trusted(HOST, 50) == ["192.0.2.2", "192.0.2.1"]
    assert book.trusted(HOST, 115) == ["192.0.2.2"]
    assert book.trusted("other.example", 50) == []


def test_a_doubt_puts_a_fresh_address_behind_the_others():
    book = AddressBook()
    assert book.ordered(HOST, ["192.0.2.1", "192.0.2.2"]) == ["192.0.2.1", "192.0.2.2"]
    book.failed(HOST, "192.0.2.1")
    assert book.is_doubted(HOST, "192.0.2.1")
    assert book.ordered(HOST, ["192.0.2.1", "192.0.2.2"]) == ["192.0.2.2", "192.0.2.1"]


def test_a_proved_address_bears_a_few_failures():
    book = AddressBook(AddressSettings(doubts=3))
    book.proved(HOST, "192.0.2.1", 0)
    for _ in range(2):
        book.failed(HOST, "192.0.2.1")
        assert book.trusted(HOST, 1) == ["192.0.2.1"]
        assert book.ordered(HOST, ["192.0.2.2", "192.0.2.1"]) == ["192.0.2.1", "192.0.2.2"]
    book.failed(HOST, "192.0.2.1")
    assert book.trusted(HOST, 1) == []
    assert book.ordered(HOST, ["192.0.2.1", "192.0.2.2"]) == ["192.0.2.2", "192.0.2.1"]
    book.proved(HOST, "192.0.2.1", 2)
    assert book.trusted(HOST, 3) == ["192.0.2.1"]


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.booleans())))
def test_no_more_is_remembered_than_may_be(steps: list[tuple[int, int, bool]]):
    book = AddressBook(AddressSettings(names=3, addresses=4))
    for now, (host, address, proof) in enumerate(steps):
        if proof:
            book.proved(f"{host}.example", f"192.0.2.{address}", now)
            assert f"192.0.2.{address}" in book.trusted(f"{host}.example", now)
        else:
            book.failed(f"{host}.example", f"192.0.2.{address}")
    sizes = [len(book.known(f"{host}.example")) for host in range(10)]
    assert sum(size > 0 for size in sizes) <= 3
    assert max(sizes) <= 4
