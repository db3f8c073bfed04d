"""Reports on blobs (BUD-09): counted, bounded, without who made them."""

from __future__ import annotations

from volok.relay.reports import MAX_BLOBS, MAX_REPORTERS, Reports

NAME, OTHER = "ab" * 32, "cd" * 32


def report(person, *tags):
    return person.event(1984, "look", [["x", *tag] for tag in tags])


def test_what_an_operator_sees(people):
    reports = Reports(bytes)
    reports.add(report(people[0], (NAME, "spam")), NAME)
    reports.add(report(people[0], (NAME, "malware")), NAME)
    reports.add(report(people[1], (NAME, "<script>"), (OTHER,)), NAME)
    reports.add(report(people[1], (NAME, "<script>"), (OTHER,)), OTHER)
    assert reports.listed() == [
        {"sha256": NAME, "reason": "malware, other, spam", "reporters": 2},
        {"sha256": OTHER, "reason": "other", "reporters": 1},
    ]
    for person in people:
        assert person.pubkey not in repr(reports)
    reports.settle(NAME)
    reports.settle("00" * 32)
    assert [one["sha256"] for one in reports.listed()] == [OTHER]


def test_they_are_bounded(people):
    reports = Reports(bytes)
    for number in range(MAX_BLOBS + 5):
        reports.add(report(people[0], (f"{number:064x}", "spam")), f"{number:064x}")
    listed = reports.listed()
    assert len(listed) == MAX_BLOBS
    assert listed[0]["sha256"] == f"{5:064x}"
    keys = [type(people[0])(bytes([1, number]) * 16) for number in range(MAX_REPORTERS + 5)]
    for key in keys:
        reports.add(report(key, (NAME, "spam")), NAME)
    assert reports.listed()[-1]["reporters"] == MAX_REPORTERS
