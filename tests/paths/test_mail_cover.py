"""What mails of ours look like, and what is read out of anybody's."""

from __future__ import annotations

import base64
import email
import email.policy
import io
import random
import re
import time
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volok.paths.drop import drop_name
from volok.paths.mail_account import (
    InvalidMailAddress,
    InvalidMailServer,
    parse_address,
    parse_server,
    usual_account,
)
from volok.paths.mail_cover import MOST_BEFORE, compose, token_of, uncover
from volok.paths.mail_reading import encoded_length, opened, read_bounce, read_sender
from volok.paths.mail_structure import (
    Attachment,
    InvalidAnswer,
    Report,
    classify,
    read_answers,
)

NAME = drop_name(bytes(range(16)))
NOW = 1_795_000_000.0
HEADERS = ["Message-ID", "Date", "MIME-Version", "To", "From", "Subject", "Content-Type"]


def letter(data: bytes, seed: int, domain: str = "post.example"):
    """One that the standard library has read."""
    made = compose(
        f"ana@{domain}", "bo@abroad.example", NAME, data, NOW, random.Random(seed).randbytes
    )
    return email.message_from_bytes(made.data, policy=email.policy.default)


@given(st.binary(max_size=3000), st.integers(0, 10_000), st.sampled_from(["a.ru", "b.de", "c.org"]))
def test_what_is_sent_is_what_comes_out(data: bytes, seed: int, domain: str) -> None:
    mail = letter(data, seed, domain)
    assert not mail.defects
    text, attachment = mail.iter_parts()
    assert text.get_content().strip()
    content = attachment.get_content()
    assert uncover(content) == data
    head = content[: len(data) // 2 + MOST_BEFORE]
    assert data.startswith(uncover(head)[: len(data) // 2])


def test_mails_look_ordinary() -> None:
    subjects, names, kinds = set(), set(), set()
    for seed in range(150):
        mail = letter(b"\x99" * 5000, seed, random.Random(seed).choice(["a.ru", "b.de", "c.org"]))
        assert list(mail.keys()) == HEADERS
        assert mail["From"] == f"ana@{mail['From'].addresses[0].domain}"
        assert mail["Message-ID"].endswith(f"@{mail['From'].addresses[0].domain}>")
        assert mail["Date"].datetime.timestamp() == NOW
        raw = mail.as_bytes()
        assert not re.search(rb"volok|python|=====|localhost", raw, re.IGNORECASE)
        assert max(map(len, raw.splitlines())) <= 120
        _, attachment = mail.iter_parts()
        assert attachment.get_content_disposition() == "attachment"
        name = attachment.get_filename()
        subjects.add(mail["Subject"])
        names.add(name)
        kinds.add((name.rpartition(".")[2], attachment.get_content_type()))
    assert len(subjects) > 20
    assert len(names) > 70
    assert len(kinds) >= 5


def test_an_archive_looks_like_any_with_a_password() -> None:
    archives = 0
    for seed in range(40):
        data = random.Random(seed).randbytes(5000)
        _, attachment = letter(data, seed).iter_parts()
        if not attachment.get_filename().endswith(".zip"):
            assert uncover(attachment.get_content()) == attachment.get_content() == data
            continue
        archives += 1
        with zipfile.ZipFile(io.BytesIO(attachment.get_content())) as archive:
            (entry,) = archive.infolist()
            assert entry.flag_bits & 1
            assert entry.compress_type == 99
            assert entry.compress_size == 5000
            assert 0.95 < entry.file_size / 5000 < 1.2
            assert entry.date_time < time.gmtime(NOW)
            assert entry.extra == b"\x01\x99\x07\x00\x02\x00AE\x03\x08\x00"
            with pytest.raises((RuntimeError, NotImplementedError)):
                archive.open(entry)
    assert archives > 20


def test_a_message_id_is_made_of_the_files_name() -> None:
    pattern = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
    tokens = {token_of(drop_name(random.Random(seed).randbytes(16))) for seed in range(1000)}
    assert len(tokens) == 1000
    assert all(re.fullmatch(pattern, token) for token in tokens)


@given(st.binary(max_size=300))
def test_no_attachment_is_trouble(data: bytes) -> None:
    assert isinstance(uncover(data), bytes)
    assert isinstance(uncover(b"PK\x03\x04" + data), bytes)
    assert isinstance(opened(data), bytes)


def test_so_much_base64_surely_holds_so_many_bytes() -> None:
    for line in (48, 54, 57):
        for size in (1, 100, 1168, 5000):
            data = random.Random(size).randbytes(3 * size + 500)

            text = b"\r\n".join(
                base64.b64encode(data[at : at + line]) for at in range(0, len(data), line)
            )
            assert len(opened(text[: encoded_length(size)])) >= size


STRUCTURE = (
    b'1 (UID 7 BODYSTRUCTURE (("text" "plain" ("charset" "UTF-8") NIL NIL "7bit" 12 1 NIL NIL NIL '
    b'NIL)("application" "zip" ("name" "a.zip") NIL NIL "base64" 6840 NIL ("attachment" ("filename"'
    b' "a \\"x\\".zip")) NIL NIL) "mixed" ("boundary" "b") NIL NIL NIL))'
)


def test_structures_are_read() -> None:
    (items,) = read_answers([STRUCTURE])
    assert items[b"UID"] == b"7"
    assert classify(items[b"BODYSTRUCTURE"]) == Attachment("2", 6840)
    with_literal = [
        (STRUCTURE.partition(b'"a.zip"')[0] + b"{5}", b"a.zip"),
        STRUCTURE.partition(b'"a.zip"')[2],
    ]
    (items,) = read_answers(with_literal)
    assert classify(items[b"BODYSTRUCTURE"]) == Attachment("2", 6840)


def test_reports_are_known_by_their_structure() -> None:
    answer = (
        b'1 (UID 7 BODYSTRUCTURE (("text" "plain" NIL NIL NIL "7bit" 1 1)("message" '
        b'"delivery-status" NIL NIL NIL "7bit" 300)("message" "rfc822" NIL NIL NIL "7bit" 900 '
        b'(NIL NIL) ("text" "plain" NIL NIL NIL "7bit" 1 1) 9) "report"))'
    )
    (items,) = read_answers([answer])
    assert classify(items[b"BODYSTRUCTURE"]) == Report("2", "3")


@pytest.mark.parametrize(
    "structure",
    [
        b"NIL",
        b"()",
        b'("text" "plain" NIL NIL NIL "7bit" 12 1)',
        b'("application" "pdf" NIL NIL NIL "quoted-printable" 12)',
        b'("application" "pdf" NIL NIL NIL "base64" 99999999999)',
        b'("application" "pdf" NIL NIL NIL "base64" NIL)',
        b'(("text" "plain") "mixed")',
    ],
)
def test_the_persons_own_mails_are_nothing_to_us(structure: bytes) -> None:
    (items,) = read_answers([b"1 (UID 7 BODYSTRUCTURE " + structure + b")"])
    assert classify(items[b"BODYSTRUCTURE"]) is None


PIECES = st.lists(
    st.sampled_from(
        [
            b"(",
            b")",
            b'"',
            b"NIL",
            b"UID 7",
            b"\\",
            b"{3}",
            b"[",
            b"]",
            b" ",
            b"BODY[2]<0>",
            b"\xff",
        ]
    )
    | st.binary(max_size=5)
).map(b"".join)


@given(st.lists(PIECES | st.tuples(PIECES, st.binary(max_size=20))))
def test_answers_are_read_or_refused(answer) -> None:
    try:
        for items in read_answers(answer):
            for value in items.values():
                classify(value)
    except InvalidAnswer:
        pass


def test_bombs_are_refused() -> None:
    with pytest.raises(InvalidAnswer):
        read_answers([b"1 " + b"(" * 100_000])
    with pytest.raises(InvalidAnswer):
        read_answers([b"1 (" + b"x " * 300_000 + b")"])
    began = time.monotonic()
    read_answers([b'"' + b"\\a" * 400_000 + b'"'])
    wide = b"1 (UID 1 BODYSTRUCTURE (" + b'("a" "b" NIL NIL NIL "7bit" 1)' * 10_000 + b' "mixed"))'
    (items,) = read_answers([wide])
    assert classify(items[b"BODYSTRUCTURE"]) is None
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    ("header", "address"),
    [
        (b"From: ana@Post.Example\r\n\r\n", "ana@post.example"),
        (b"From: Ana Example <ana@post.example>\r\n", "ana@post.example"),
        (b'FROM: "<x@y.example>, evil" <ana@post.example>', "ana@post.example"),
        (b"From: =?UTF-8?B?QW5h?=\r\n <ana@post.example> (hm)\r\n", "ana@post.example"),
        (b"From: a@b.example, c@d.example\r\n", None),
        (b"From: <ana@post.example\r\nBcc: x@y.example>\r\n", None),
        (b"From: ana@localhost\r\n", None),
        (b"To: ana@post.example\r\n", None),
        (b"", None),
    ],
)
def test_senders(header: bytes, address: str | None) -> None:
    assert read_sender(header) == address


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_nothing_in_a_mail_is_trouble(one: bytes, two: bytes) -> None:
    found = read_sender(b"From: " + one)
    assert found is None or parse_address(found) == found
    bounce = read_bounce(one, two)
    assert bounce is None or bounce.reason


def test_bounces() -> None:
    original = f"From: ana@post.example\r\nMessage-ID: <{token_of(NAME)}@post.example>\r\n\r\nx"
    full = b"Reporting-MTA: dns; x\r\n\r\nFinal-Recipient: rfc822; b@c\r\nAction: failed\r\n"
    bounce = read_bounce(original.encode(), full + b"Status: 5.2.2\r\n")
    assert bounce is not None
    assert (bounce.token, bounce.reason) == (token_of(NAME), "The other mailbox is full.")
    unknown = read_bounce(original.encode(), full + b"Status: 5.9.9\r\n")
    assert unknown is not None
    assert unknown.reason == "The other provider refuses this mail."
    assert read_bounce(original.encode(), b"Action: delayed\r\nStatus: 4.2.2\r\n") is None
    assert read_bounce(b"Message-ID: <x@y>\r\n\r\n", full) is None
    body = original.replace("Message-ID", "X-Note").replace("\r\n\r\nx", "\r\n\r\n") + original
    assert read_bounce(body.encode(), full) is None


@pytest.mark.parametrize(
    "text",
    ["", "ana", "ana@", "@post.example", "a b@post.example", "ana@post", "ana@-x.example",
     "ana@post.example\r\nBcc: x@y.example", "<ana@post.example>", ".a@post.example",
     "a..b@post.example", "ä@post.example", "a@" + "x" * 300 + ".example"],
)  # fmt: skip
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(InvalidMailAddress):
        parse_address(text)


@pytest.mark.parametrize(
    "text", ["", "a b", "host:", "host:0", "host:99999", "host:x", "h/x", "[::1"]
)
def test_what_is_no_server(text: str) -> None:
    with pytest.raises(InvalidMailServer):
        parse_server(text, 993)


def test_servers_have_usual_names() -> None:
    account = usual_account("ana@Post.example", "", "secret", "", "mail.post.example:587")
    assert (account.user, account.domain) == ("ana@post.example", "post.example")
    assert (str(account.imap), str(account.smtp)) == (
        "imap.post.example:993",
        "mail.post.example:587",
    )
    assert account.imap.tls_at_once
    assert not account.smtp.tls_at_once
    assert "secret" not in repr(account)
