"""Our negentropy beside others: the reference implementation, and nostr-tools.

`VOLOK_NEGENTROPY_JS` names js/Negentropy.js of a checkout of the reference implementation
(github.com/hoytech/negentropy). nostr-tools comes with the packages of package.json.
"""

from __future__ import annotations

import hashlib
import os
import random
from pathlib import Path

import pytest
from tests.sync.negentropy_peer import Course, Other, Ours, course

ROOT = Path(__file__).parents[2]
TOOLS = ROOT / "node_modules" / "nostr-tools" / "lib" / "esm" / "nip77.js"
REFERENCE = os.environ.get("VOLOK_NEGENTROPY_JS", "")

needs_reference = pytest.mark.skipif(
    not REFERENCE, reason="VOLOK_NEGENTROPY_JS names no reference implementation"
)
needs_tools = pytest.mark.skipif(
    not TOOLS.is_file() and '"nostr-tools"' not in (ROOT / "package.json").read_text(),
    reason="package.json does not name nostr-tools",
)


def sets(count: int, seed: int, one_sided: float, span: int) -> tuple[bytes, bytes]:
    """Two sets of records; `span`: over how many seconds they are spread."""
    chance = random.Random(seed)
    ours, theirs = list[bytes](), list[bytes]()
    for number in range(count):
        at = 1_677_970_534 + chance.randrange(span)
        one = at.to_bytes(8, "big") + hashlib.sha256(f"{seed} {number}".encode()).digest()
        whose = chance.random()
        if whose > one_sided:
            ours.append(one)
        if whose > 2 * one_sided or whose <= one_sided:
            theirs.append(one)
    return b"".join(sorted(ours)), b"".join(sorted(theirs))


def ids(packed: bytes) -> set[bytes]:
    return {packed[at + 8 : at + 40] for at in range(0, len(packed), 40)}


def check(result: Course, ours: bytes, theirs: bytes) -> None:
    assert result.have == ids(ours) - ids(theirs)
    assert result.need == ids(theirs) - ids(ours)


CASES = [
    (300, 1, 0.1, 0, 10_000),
    (5_000, 2, 0.01, 0, 60),
    (5_000, 3, 0.3, 0, 10_000),
    (12_000, 4, 0.001, 0, 1_000_000),
    (4_000, 5, 0.1, 4096, 30_000),
    (8_000, 6, 0.02, 8_000, 500),
]
cases = pytest.mark.parametrize(("count", "seed", "one_sided", "limit", "span"), CASES)


@needs_tools
@cases
def test_nostr_tools_reconciles_with_us(count, seed, one_sided, limit, span):
    ours, theirs = sets(count, seed, one_sided, span)
    most = limit or 10**9  # it takes no 0
    result = course(Other(TOOLS, ours, most), Ours(theirs, limit, initiates=False))
    check(result, ours, theirs)
    alone = course(Ours(ours, limit, initiates=True), Ours(theirs, limit, initiates=False))
    check(alone, ours, theirs)
    assert list(map(len, alone.up)) == list(map(len, result.up))
    assert limit or alone == result


@needs_reference
@cases
def test_the_reference_reconciles_with_us_frame_by_frame(count, seed, one_sided, limit, span):
    library = Path(REFERENCE)
    ours, theirs = sets(count, seed, one_sided, span)

    def ourselves(packed: bytes, *, initiates: bool) -> Ours:
        return Ours(packed, limit, initiates=initiates)

    reference = course(Other(library, ours, limit), Other(library, theirs, limit))
    check(reference, ours, theirs)
    for result in (
        course(ourselves(ours, initiates=True), ourselves(theirs, initiates=False)),
        course(ourselves(ours, initiates=True), Other(library, theirs, limit)),
        course(Other(library, ours, limit), ourselves(theirs, initiates=False)),
    ):
        check(result, ours, theirs)
        for mine, its in ((result.up, reference.up), (result.down, reference.down)):
            assert list(map(len, mine)) == list(map(len, its))
            # The last fingerprint of a full frame may differ: see `volok.sync.negentropy`.
            assert limit or mine == its
