"""What relays say and what they mean by it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volok.sync.verdict import Verdict, judge


@pytest.mark.parametrize(
    ("accepted", "message", "content", "expected"),
    [
        (True, "", 10, (Verdict.TAKEN, "")),
        (True, "duplicate: already have this event", 10, (Verdict.TAKEN, "")),
        (False, "duplicate: exists", 10, (Verdict.TAKEN, "")),
        (False, "rate-limited: slow down", 10, (Verdict.SLOWER, "")),
        (False, "auth-required: you must auth", 10, (Verdict.AUTH, "")),
        (False, "restricted: members only", 10, (Verdict.AUTH, "")),
        (False, "restricted: event size too large", 5000, (Verdict.REFUSED, "too-large")),
        (False, "invalid: event ID does not match", 10, (Verdict.REFUSED, "invalid")),
        (False, "Invalid: Bad signature", 10, (Verdict.REFUSED, "invalid")),
        (False, "pow: 26 bits needed", 10, (Verdict.REFUSED, "pow")),
        (False, "blocked: you are banned here", 10, (Verdict.REFUSED, "blocked")),
        (False, "rejected: not allowed", 10, (Verdict.REFUSED, "rejected")),
        (
            False,
            "blocked: event size (66432 bytes) exceeds maximum allowed size (65536 bytes)",
            66_000,
            (Verdict.REFUSED, "too-large"),
        ),
        (
            False,
            "invalid: 280 characters should be enough for anybody",
            5000,
            (Verdict.REFUSED, "too-large"),
        ),
        (False, "invalid: the length of the id", 10, (Verdict.REFUSED, "invalid")),
        (False, "error: could not connect to the database", 10, (Verdict.LATER, "")),
        (False, "database is locked", 10, (Verdict.LATER, "")),
        (False, "", 10, (Verdict.LATER, "")),
    ],
)
def test_judge(accepted: bool, message: str, content: int, expected: object) -> None:
    assert judge(accepted, message, content) == expected


@given(st.booleans(), st.text(), st.integers(0, 100_000))
def test_a_reason_is_one_plain_word(accepted: bool, message: str, content: int) -> None:
    verdict, reason = judge(accepted, message, content)
    assert (verdict is Verdict.REFUSED) == bool(reason)
    assert len(reason) <= 20
    assert not accepted or verdict is Verdict.TAKEN
