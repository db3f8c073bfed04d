from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from volok.app.cli.output import json_line, printable

HOSTILE = "\x1b]0;owned\x07\x9b31m\u202eback"


@given(st.text())
def test_printable_text_holds_no_control(text: str) -> None:
    shown = printable(text)
    assert not any(ord(c) < 32 and c not in "\n\t" for c in shown)
    assert not any(0x7F <= ord(c) < 0xA0 for c in shown)
    assert len(shown) == len(text)


@given(st.text())
def test_a_json_line_is_one_line_and_comes_back(text: str) -> None:
    line = json_line({"text": text})
    assert json.loads(line) == {"text": text}
    assert "\n" not in line
    assert not any(ord(c) < 32 or 0x7F <= ord(c) < 0xA0 for c in line)


def test_escape_sequences_never_reach_the_terminal() -> None:
    for shown in (printable(HOSTILE), json_line({"text": HOSTILE})):
        assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(shown)
