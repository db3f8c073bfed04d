"""Set reconciliation between two stores, as a dialogue of frames."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volok.sync.negentropy import LEAST_LIMIT, Initiator, Responder, Step
from volok.sync.negentropy_codec import INFINITY, FrameReader, InvalidFrame, Mode
from volok.sync.negentropy_records import RECORD_BYTES, Records, assemble, finish

EMPTY = Records.of([])
FULL_RANGE_NO_IDS = bytes.fromhex("6100000200")


def made(number: int, time: int = 1_700_000_000) -> bytes:
    """A record that looks random and is the same in every run."""
    return time.to_bytes(8, "big") + hashlib.sha256(b"%d" % number).digest()


def reconcile(ours: Records, theirs: Records, limit: int = 0) -> tuple[set[bytes], set[bytes], int]:
    """What we have and what we need, and how many answers it took."""
    initiator, responder = Initiator(ours, limit), Responder(theirs, limit)
    frame: bytes | None = initiator.start()
    have: set[bytes] = set()
    need: set[bytes] = set()
    rounds = 0
    while frame is not None:
        assert not limit or len(frame) <= limit
        answer = responder.answer(frame)
        assert not limit or len(answer) <= limit
        step = initiator.take(answer)
        have.update(step.have)
        need.update(step.need)
        frame = step.reply
        rounds += 1
        assert rounds < 2_000
    return have, need, rounds


def ids(records: set[bytes]) -> set[bytes]:
    return {one[8:] for one in records}


times = st.integers(0, 5) | st.integers(0, 2**53) | st.just(2**64 - 2)
record_sets = st.sets(
    st.builds(
        lambda time, tail, fill: time.to_bytes(8, "big") + bytes([fill]) * (32 - len(tail)) + tail,
        times,
        st.binary(max_size=3),
        st.integers(0, 2),
    ),
    max_size=150,
)


@given(record_sets, record_sets, record_sets, st.sampled_from([0, LEAST_LIMIT]))
def test_both_sides_differences_are_found(common, ours, theirs, limit):
    ours, theirs = common | ours, common | theirs
    have, need, _ = reconcile(Records.of(ours), Records.of(theirs), limit)
    # An id that both have, at different times, may be told as well; it is no event then.
    assert ids(ours) - ids(theirs) <= have <= ids(ours - theirs)
    assert ids(theirs) - ids(ours) <= need <= ids(theirs - ours)


@pytest.mark.parametrize("limit", [0, LEAST_LIMIT, 20_000])
def test_large_sets_that_share_seconds(limit):
    common = {made(n, 1_700_000_000 + n // 300) for n in range(9_000)}
    ours, theirs = common | {made(n) for n in range(-5, 0)}, common | {made(-n) for n in (9, 10)}
    theirs.update(made(20_000 + n, 1_700_000_010) for n in range(700))
    have, need, rounds = reconcile(Records.of(ours), Records.of(theirs), limit)
    assert (have, need) == (ids(ours - theirs), ids(theirs - ours))
    assert rounds >= 2


def test_equal_sets_take_one_answer_of_one_byte():
    records = Records.of(made(n) for n in range(1_000))
    frame = Initiator(records).start()
    assert len(frame) < 16 * 25
    assert Responder(records).answer(frame) == b"\x61"
    assert Initiator(records).take(b"\x61") == Step(None)


def test_empty_sides():
    one = Records.of([made(1)])
    assert reconcile(EMPTY, one) == (set(), {made(1)[8:]}, 1)
    assert reconcile(one, EMPTY) == ({made(1)[8:]}, set(), 1)
    assert reconcile(EMPTY, EMPTY) == (set(), set(), 1)
    assert Initiator(EMPTY).start() == FULL_RANGE_NO_IDS


def test_frames_of_the_specification():
    """Built by hand from the appendix of NIP-77."""
    low, high = b"\x00" * 32, b"\xff" * 32
    two = Records.of([(5).to_bytes(8, "big") + low, (5).to_bytes(8, "big") + high])
    frame = b"\x61" + b"\x00\x00" + b"\x02\x02" + low + high
    assert Initiator(two).start() == frame
    # Ids are summed as little-endian numbers modulo 2**256; the count follows as a varint.
    total = (int.from_bytes(high, "little")).to_bytes(32, "little")
    assert two.fingerprint(0, 2) == hashlib.sha256(total + b"\x02").digest()[:16]
    wraps = Records.of([(1).to_bytes(8, "big") + high, (2).to_bytes(8, "big") + high])
    total = ((2 * int.from_bytes(high, "little")) % 2**256).to_bytes(32, "little")
    assert wraps.fingerprint(0, 2) == hashlib.sha256(total + b"\x02").digest()[:16]
    # Below second 5 with the shortest id that comes after `low`: skip, then a fingerprint.
    asked = b"\x61" + b"\x06\x01\x01" + b"\x00" + b"\x00\x00\x01" + two.fingerprint(1, 2)
    assert Responder(two).answer(asked) == b"\x61"
    other = b"\x61" + b"\x06\x01\x01" + b"\x00" + b"\x00\x00\x01" + bytes(16)
    told = b"\x61" + b"\x06\x01\x01" + b"\x00" + b"\x00\x00" + b"\x02\x01" + high
    assert Responder(two).answer(other) == told


def test_a_later_version_is_answered_with_ours():
    responder = Responder(Records.of([made(1)]))
    assert responder.answer(bytes.fromhex("62aabbccddeeff")) == b"\x61"
    assert responder.answer(FULL_RANGE_NO_IDS) == FULL_RANGE_NO_IDS[:-1] + b"\x01" + made(1)[8:]
    with pytest.raises(InvalidFrame):
        Initiator(EMPTY).take(b"\x62")


@pytest.mark.parametrize(
    "frame",
    [
        "",
        "5f",
        "70",
        "61ff",
        "6100",
        "610000",
        "610003",
        "61000003",
        "610000" + "01" + "00" * 15,
        "610000" + "0202" + "00" * 32,
        "610000" + "02" + "ff" * 10 + "7f",
        "610021" + "00" * 34,
        "6106000005" + "ff" * 10 + "000000",
        "6106010200" + "01010100",
    ],
)
def test_malformed_frames_are_refused(frame):
    records = Records.of(made(n) for n in range(3))
    for side in (Initiator(records).take, Responder(records).answer):
        with pytest.raises(InvalidFrame):
            side(bytes.fromhex(frame))


@given(st.binary(max_size=200).map(lambda tail: b"\x61" + tail) | st.binary(max_size=20))
def test_garbage_is_answered_or_refused(frame):
    records = Records.of(made(n, n) for n in range(100))
    for side in (Initiator(records).take, Responder(records, LEAST_LIMIT).answer):
        try:
            side(frame)
        except InvalidFrame:
            continue


def test_a_limit_below_the_least_is_refused():
    with pytest.raises(ValueError, match="4096"):
        Responder(EMPTY, LEAST_LIMIT - 1)


def test_what_does_not_fit_is_in_the_last_fingerprint():
    """The responder must not call equal what it could not tell about."""
    theirs = Records.of(made(n, n) for n in range(4_000))
    ranges = b"\x28\x00\x01" + bytes(16)  # each of 39 seconds, and with a fingerprint of no set
    answer = Responder(theirs, LEAST_LIMIT).answer(b"\x61" + ranges * 90)
    assert LEAST_LIMIT - 600 < len(answer) <= LEAST_LIMIT
    reader, before, bound = FrameReader(answer[1:]), b"", b""
    while reader.more:
        before, bound = bound, reader.bound()
        assert reader.mode() is Mode.FINGERPRINT
        told = reader.take(16)
    assert bound == INFINITY
    assert 0 < theirs.lower_bound(before) < 90 * 39
    assert told == theirs.fingerprint(theirs.lower_bound(before), len(theirs))


@given(record_sets, st.integers(0, 150), st.integers(0, 150))
def test_fingerprints_of_ranges(records, start, end):
    made_of = Records.of(records)
    start, end = sorted((min(start, len(records)), min(end, len(records))))
    members = sorted(records)[start:end]
    total = sum(int.from_bytes(one[8:], "little") for one in members) % 2**256
    count = len(members)
    varint = bytes([count]) if count < 128 else bytes([count >> 7 | 128, count & 127])
    digest = hashlib.sha256(total.to_bytes(32, "little") + varint).digest()
    assert made_of.fingerprint(start, end) == digest[:16]


@given(st.lists(record_sets, max_size=5), st.lists(record_sets, max_size=2))
def test_sets_are_made_of_overlapping_runs(runs, without):
    def packed(sets: list[set[bytes]]) -> list[bytes]:
        return [b"".join(sorted(one)) for one in sets]

    records = finish(assemble(packed(runs), packed(without)))
    wanted = sorted(set().union(*runs) - set().union(*without))
    assert records.packed == b"".join(wanted)
    assert len(records) == len(wanted)
    for place, one in enumerate(wanted):
        assert records.key(place) == one
        assert records.lower_bound(one) == place
        assert records.lower_bound(one[:-1]) <= place


def test_a_short_run_and_a_long_one():
    large = sorted(made(n, n // 7) for n in range(3_000))
    small = sorted([*large[10:20], made(-1, 0), made(-2, 200), made(-3, 2**40)])
    records = finish(assemble([b"".join(small), b"".join(large)]))
    assert records.packed == b"".join(sorted({*large, *small}))
    assert len(records.packed) % RECORD_BYTES == 0
