"""Waits grow and end."""

from hypothesis import given
from hypothesis import strategies as st

from volok.sync.backoff import Backoff


def test_the_first_waits_then_doubling_up_to_the_longest() -> None:
    backoff = Backoff((0.2, 0.5, 1.0), 6.0)
    assert [backoff.wait(0.0) for _ in range(6)] == [0.2, 0.5, 1.0, 2.0, 4.0, 6.0]
    backoff.reset()
    assert backoff.wait(0.0) == 0.2


@given(st.integers(0, 2000), st.floats(0, 1, exclude_max=True))
def test_jitter_takes_off_at_most_half(attempts: int, chance: float) -> None:
    plain, jittered = Backoff((0.2, 1.0), 300.0), Backoff((0.2, 1.0), 300.0)
    for _ in range(attempts):
        plain.wait(0.0)
        jittered.wait(chance)
    wait = plain.wait(0.0)
    assert wait / 2 < jittered.wait(chance) <= wait <= 300.0
