"""Reading what a relay says of itself."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volok.sync.dialogue import Described
from volok.sync.nip11 import parse_document

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({}, Described()),
        ({"limitation": {"max_content_length": 8196}}, Described(8196)),
        ({"limitation": {"max_message_length": 65536}}, Described(64512)),
        (
            {"limitation": {"max_message_length": 8192, "max_content_length": 8196}},
            Described(7168),
        ),
        ({"limitation": {"max_subscriptions": 20}}, Described(None, 20)),
        ({"limitation": {"max_content_length": -1, "max_subscriptions": True}}, Described()),
        ({"limitation": []}, Described()),
        ({"supported_nips": [1, 77]}, Described(reconciles=True)),
        ({"supported_nips": [1, "77", 76]}, Described()),
        ({"supported_nips": 77}, Described()),
    ],
)
def test_parse_document(document: object, expected: Described) -> None:
    assert parse_document(json.dumps(document).encode()) == expected


@given(st.binary() | ANYTHING.map(lambda value: json.dumps({"limitation": value}).encode()))
def test_nothing_makes_it_raise(data: bytes) -> None:
    said = parse_document(data, 7)
    assert said.ahead == 7
    assert said.max_content is None or said.max_content >= 0


def test_deep_nesting_is_no_document() -> None:
    assert parse_document(b"[" * 50_000) == Described()
