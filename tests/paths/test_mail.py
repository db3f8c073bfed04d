"""Mail accounts as drops, at real providers (Postfix and Dovecot) and at servers that misbehave."""

from __future__ import annotations

import asyncio
import contextlib
import email.message
import imaplib
import itertools
import os
import random
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar

import aiosmtplib
import pytest
from lab.authority import Authority
from tests.paths.mail_servers import PASSWORD, REASON, Providers, free_address, providers

from volok.paths.drop import (
    DropError,
    DropRefused,
    FileInfo,
    FileMissing,
    FileReturned,
    drop_name,
)
from volok.paths.mail import MailDrop, MailSettings
from volok.paths.mail_account import MailAccount, MailServer
from volok.paths.names import Names

T = TypeVar("T")

pytestmark = pytest.mark.skipif(REASON is not None, reason=str(REASON))

DATA = random.Random(3).randbytes(120_000)
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def servers() -> Iterator[Providers]:
    """Two providers for the module."""
    with providers() as running:
        yield running


class Somebody:
    """A person's drop, and what it learned."""

    def __init__(self, account: MailAccount, tls: ssl.SSLContext | None, **settings: float) -> None:
        self.learned: list[tuple[str, str]] = []
        self.addresses = {
            "ana": "ana@inside.example",
            "boris": "boris@inside.example",
            "clara": "clara@abroad.example",
            "nobody": "nobody@inside.example",
        }
        self.drop = MailDrop(
            account,
            Names().dial,
            self.addresses,
            time.time,
            os.urandom,
            self._learn,
            MailSettings(tls=tls, **settings),  # type: ignore[arg-type]
        )

    async def _learn(self, contact: str, address: str) -> None:
        self.learned.append((contact, address))

    async def listed(self, count: int) -> list[FileInfo]:
        """The files, once there are so many."""
        found = await eventually(self.drop.list, lambda files: len(files) == count)
        return list(found)


async def eventually(ask: Callable[[], Awaitable[T]], true: Callable[[T], bool]) -> T:
    """Ask a server again and again until it says what is expected."""
    async with asyncio.timeout(20):
        while not true(answer := await ask()):
            await asyncio.sleep(0.02)
    return answer


@pytest.fixture
async def people(servers: Providers) -> AsyncIterator[Callable[..., Somebody]]:
    """Makes people; their mailboxes are empty at first."""
    servers.empty()
    made: list[Somebody] = []

    def make(person: str, **changed: str) -> Somebody:
        made.append(Somebody(servers.account(person, **changed), servers.tls))
        return made[-1]

    yield make
    for each in made:
        await each.drop.close()


async def write(servers: Providers, sender: str, to: str, mail: email.message.Message) -> None:
    """Somebody writes an ordinary mail."""
    account = servers.account(sender)
    mail["From"], mail["To"] = account.address, to
    await aiosmtplib.send(
        mail,
        hostname=account.smtp.host,
        port=465,
        use_tls=True,
        tls_context=servers.tls,
        username=account.user,
        password=account.password,
    )


def letter(content: bytes = b"%PDF-1.7 " + bytes(5000)) -> email.message.EmailMessage:
    """A mail of an ordinary kind, with an attachment."""
    mail = email.message.EmailMessage()
    mail["Subject"], mail["Message-ID"] = "Invoice", f"<{next(_numbers)}@x.example>"
    mail.set_content("See attached.")
    mail.add_attachment(content, maintype="application", subtype="pdf", filename="invoice.pdf")
    return mail


def name() -> str:
    """The name of a file."""
    return drop_name(os.urandom(16))


async def test_files_go_from_person_to_person(
    people: Callable[..., Somebody], servers: Providers
) -> None:
    ana = people("ana")
    abroad = servers.hosts["abroad.example"].address
    clara = people("clara", imap=f"{abroad}:143", smtp=f"{abroad}:587")  # by STARTTLS
    assert await ana.drop.list() == await clara.drop.list() == []
    await ana.drop.put_for("clara", name(), DATA)
    (file,) = await clara.listed(1)
    assert len(DATA) <= file.size < len(DATA) * 1.1
    assert await clara.drop.get(file.name, 1168) == DATA[:1168]
    assert await clara.drop.get(file.name, file.size) == DATA
    await clara.drop.came_from(file.name, "ana")
    assert clara.learned == [("ana", "ana@inside.example")]
    await clara.drop.delete(file.name)
    assert await clara.drop.list() == []
    assert servers.mails("clara") == []
    with pytest.raises(FileMissing):
        await clara.drop.get(file.name, 10)
    await clara.drop.put_for("ana", name(), b"small")
    (file,) = await ana.listed(1)
    assert await ana.drop.get(file.name, 100) == b"small"
    assert not ana.drop.reaches("nobody else")
    assert ana.drop.capabilities.addressed


async def test_what_the_provider_sees_names_no_program_and_no_computer(
    people: Callable[..., Somebody], servers: Providers
) -> None:
    ana, boris = people("ana"), people("boris")
    await ana.drop.put_for("boris", name(), DATA)
    await boris.listed(1)
    (mail,) = servers.mails("boris")
    text = mail.read_text().lower()
    assert "received: from [127.0.0.1] (unknown" in text
    for telltale in ("volok", "python", "user-agent", "x-mailer", os.uname().nodename + "."):
        assert telltale not in text


async def test_ordinary_mail_is_never_touched(
    people: Callable[..., Somebody], servers: Providers
) -> None:
    boris = people("boris")
    with servers.imap("boris") as box:
        box.append("INBOX", "", imaplib.Time2Internaldate(time.time()), letter().as_bytes())
        box.append(
            "INBOX", r"(\Deleted)", imaplib.Time2Internaldate(time.time()), b"Subject: x\n\n"
        )
    await write(servers, "ana", "boris@inside.example", letter())
    files = await boris.listed(2)
    for file in files:
        assert (await boris.drop.get(file.name, 100)).startswith(b"%PDF")
    await people("ana").drop.put_for("boris", name(), DATA)
    for file in await boris.listed(3):
        if await boris.drop.get(file.name, len(DATA) + 1) == DATA:
            await boris.drop.delete(file.name)
    assert len(await boris.drop.list()) == 2
    with servers.imap("boris") as box:
        box.select("INBOX", readonly=True)
        assert box.search(None, "UNSEEN")[1] == [b"1 2 3"]
        assert box.search(None, "DELETED")[1] == [b"2"]


async def test_what_the_provider_took_for_junk_is_found_too(
    people: Callable[..., Somebody], servers: Providers
) -> None:
    boris = people("boris")
    await people("ana").drop.put_for("boris", name(), DATA)
    await boris.listed(1)
    with servers.imap("boris") as box:
        box.create("Junk")
        box.select("INBOX")
        box.copy("1", "Junk")
        box.append("Junk", "", imaplib.Time2Internaldate(time.time()), letter().as_bytes())
    later = people("boris")
    ours = [
        file
        for file in await later.drop.list()
        if await later.drop.get(file.name, len(DATA) + 1) == DATA
    ]
    assert len(ours) == 2
    for file in ours:
        await later.drop.delete(file.name)
    assert servers.mails("boris") == []
    assert len(servers.mails("boris", ".Junk")) == 1
    with servers.imap("boris") as box:
        box.delete("Junk")


async def test_a_server_that_expunges_all_or_nothing(
    people: Callable[..., Somebody], servers: Providers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the person marked in their own mail program is not ours to expunge."""
    boris = people("boris")
    with servers.imap("boris") as box:
        box.append(
            "INBOX", r"(\Deleted)", imaplib.Time2Internaldate(time.time()), b"Subject: x\n\n"
        )
    await people("ana").drop.put_for("boris", name(), b"one")
    (file,) = await boris.listed(1)
    assert boris.drop._box is not None
    boris.drop._box._abilities.discard("UIDPLUS")
    await boris.drop.delete(file.name)
    with servers.imap("boris") as box:
        box.select("INBOX")
        assert box.search(None, "DELETED")[1] == [b"1 2"]
        box.store("1", "-FLAGS.SILENT", r"(\Deleted)")
    await people("ana").drop.put_for("boris", name(), b"two")
    for file in await boris.listed(2):
        await boris.drop.delete(file.name)
    assert len(servers.mails("boris")) == 1


async def test_copies_among_what_was_sent_are_removed(
    people: Callable[..., Somebody], servers: Providers
) -> None:
    """Some providers keep a copy of all that is sent."""
    ana, boris = people("ana"), people("boris")
    with servers.imap("ana") as box:
        box.append("Sent", r"(\Seen)", imaplib.Time2Internaldate(time.time()), letter().as_bytes())
        await ana.drop.put_for("boris", name(), DATA)
        await boris.listed(1)
        (mail,) = servers.mails("boris")
        box.append("Sent", r"(\Seen)", imaplib.Time2Internaldate(time.time()), mail.read_bytes())
    assert len(servers.mails("ana", ".Sent")) == 2
    await ana.drop.list()
    (left,) = servers.mails("ana", ".Sent")
    assert b"invoice.pdf" in left.read_bytes()


@pytest.mark.parametrize("port", ["", ":143"])
async def test_a_wrong_password(
    people: Callable[..., Somebody], servers: Providers, port: str
) -> None:
    address = servers.hosts["inside.example"].address
    ana = people("ana", password="wrong", imap=f"{address}{port}")
    with pytest.raises(DropRefused, match="app password"):
        await ana.drop.list()
    with pytest.raises(DropRefused, match="app password"):
        await ana.drop.put_for("boris", name(), b"x")


@pytest.mark.parametrize("starttls", [False, True])
async def test_a_certificate_that_is_not_valid(servers: Providers, starttls: bool) -> None:
    address = servers.hosts["inside.example"].address
    ports = {"imap": f"{address}:143", "smtp": f"{address}:587"} if starttls else {}
    ana = Somebody(servers.account("ana", **ports), ssl.create_default_context())
    for work in (ana.drop.list(), ana.drop.put_for("boris", name(), b"x")):
        with pytest.raises(DropError, match="certificate"):
            await work
    await ana.drop.close()


async def test_an_address_that_does_not_exist(people: Callable[..., Somebody]) -> None:
    with pytest.raises(FileReturned, match="Check the address"):
        await people("ana").drop.put_for("nobody", name(), b"x")


async def test_a_mailbox_that_is_full(people: Callable[..., Somebody], servers: Providers) -> None:
    ana, clara = people("ana"), people("clara")
    with servers.imap("clara") as box:
        box.append("INBOX", "", imaplib.Time2Internaldate(time.time()), bytes(1_020_000))
    mine = name()
    await ana.drop.put_for("clara", mine, DATA)

    async def look() -> dict[str, str]:
        await ana.drop.list()
        return dict(await ana.drop.returned([name(), mine]))

    returned = await eventually(look, bool)
    assert returned == {mine: "The other mailbox is full."}
    assert len(servers.mails("ana")) == 1
    await ana.drop.delete(mine)
    assert servers.mails("ana") == []
    assert await look() == {}
    assert await clara.drop.list() == []
    assert "almost full" in str(clara.drop.notice())
    servers.empty()
    await clara.drop.list()
    assert clara.drop.notice() is None
    assert ana.drop.notice() is None


async def test_reports_of_other_mails_are_left_alone(
    people: Callable[..., Somebody], servers: Providers
) -> None:
    with servers.imap("clara") as box:
        box.append("INBOX", "", imaplib.Time2Internaldate(time.time()), bytes(1_020_000))
    await write(servers, "ana", "clara@abroad.example", letter(bytes(100_000)))
    ana = people("ana")

    async def look() -> list[Path]:
        assert await ana.drop.list() == []
        assert await ana.drop.returned([name()]) == {}
        return servers.mails("ana")

    await eventually(look, bool)
    assert len(servers.mails("ana")) == 1


async def test_hostile_mails_spoil_no_other(
    people: Callable[..., Somebody], servers: Providers
) -> None:
    deep = b"".join(
        b'Content-Type: multipart/mixed; boundary="%d"\r\n\r\n--%d\r\n' % (n, n) for n in range(200)
    )
    wide = b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n' + 3000 * (
        b'--b\r\nContent-Type: application/x; name="(\\"{9}"\r\n'
        b"Content-Transfer-Encoding: base64\r\n\r\nAA\r\n"
    )
    crooked = (
        b'Content-Type: application/zip; name="a\r\n b{100}\r\n c"\r\n'
        b"Content-Transfer-Encoding: base64\r\nFrom: \xff\xfe<<>>\r\n\r\n!!!not base64!!!\r\n" * 500
    )
    with servers.imap("boris") as box:
        for mail in (
            deep,
            wide,
            crooked,
            b"",
            b"\r\n",
            letter(b"PK\x03\x04" + bytes(2000)).as_bytes(),
        ):
            box.append("INBOX", "", imaplib.Time2Internaldate(time.time()), b"X: y\r\n" + mail)
    await people("ana").drop.put_for("boris", name(), DATA)
    boris = people("boris")

    async def contents() -> list[bytes]:
        return [await boris.drop.get(file.name, file.size) for file in await boris.drop.list()]

    found = await eventually(contents, lambda all_of_them: DATA in all_of_them)
    assert len(found) <= 6


async def test_a_connection_that_broke_is_made_anew(people: Callable[..., Somebody]) -> None:
    ana = people("ana")
    await ana.drop.list()
    assert ana.drop._handle is not None
    ana.drop._handle.shutdown(2)
    assert await ana.drop.list() == []


async def test_few_mails_at_a_time(people: Callable[..., Somebody]) -> None:
    ana = people("ana")
    gaps = []
    for _ in range(4):
        gaps.append(ana.drop.capabilities.gap)
        await ana.drop.put_for("boris", name(), b"x")
    assert gaps == sorted(set(gaps))
    ana.drop._sent = [time.time()] * 500
    assert ana.drop.capabilities.gap == MailSettings().gap_most
    ana.drop._sent = [time.time() - 3700] * 500
    assert ana.drop.capabilities.gap == MailSettings().gap


async def test_an_idle_look_costs_little(
    people: Callable[..., Somebody], monkeypatch: pytest.MonkeyPatch
) -> None:
    ana = people("ana")
    await ana.drop.list()
    assert ana.drop._box is not None
    wire = ana.drop._box._wire
    carried = [0]
    send, readline = wire.send, wire.readline

    def counted_send(data: bytes) -> None:
        carried[0] += len(data)
        send(data)

    def counted_line() -> bytes:
        line = readline()
        carried[0] += len(line)
        return line

    monkeypatch.setattr(wire, "send", counted_send)
    monkeypatch.setattr(wire, "readline", counted_line)
    await ana.drop.list()
    assert carried[0] < 400


Line = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def misbehaving(folder: Path, answer: Line, tls: bool = True) -> AsyncIterator[Somebody]:
    """Somebody whose provider does as `answer` says, for IMAP and SMTP alike."""
    authority, address = Authority(folder), free_address()
    issued = authority.issue(["mail.x.example"], [address])
    server_side = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server_side.load_cert_chain(issued.certificate, issued.key)
    ports = (993, 465) if tls else (143, 587)
    running = [
        await asyncio.start_server(answer, address, port, ssl=server_side if tls else None)
        for port in ports
    ]
    imap_server, smtp_server = (MailServer(address, port) for port in ports)
    account = MailAccount("ana@x.example", "ana", PASSWORD, imap_server, smtp_server)
    client_side = ssl.create_default_context(cafile=str(authority.certificate))
    one = Somebody(account, client_side, patience=0.4)
    try:
        yield one
    finally:
        await one.drop.close()
        for server in running:
            server.close()


async def _silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()
    writer.close()


async def _drips(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while True:
            writer.write(b"*")
            await writer.drain()
            await asyncio.sleep(0.05)


async def _floods(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while True:
            writer.write(b"* OK " + b"x" * 60_000 + b"\r\n")
            await writer.drain()


def _says(text: bytes) -> Line:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(text)
        with contextlib.suppress(ConnectionError):
            await writer.drain()
        writer.close()

    return answer


@pytest.mark.parametrize(
    "answer",
    [
        _silent,
        _drips,
        _floods,
        _says(b""),
        _says(b"\x00\xff\xfe\r\n" * 100),
        _says(b"HTTP/1.1 200 OK\r\n\r\n<html>Welcome!</html>"),
        _says(b"* OK {999999999999}\r\n"),
        _says(b"* OK {" + b"9" * 5000 + b"}\r\n"),
        _says(b"* BYE go away\r\n"),
        _says(b"220 hello\r\n550 no\r\n"),
        _says(b"999999 x\r\n"),
    ],
)
async def test_servers_that_hang_or_lie(tmp_path: Path, answer: Line) -> None:
    async with misbehaving(tmp_path, answer) as ana, asyncio.timeout(10):
        for work in (ana.drop.list(), ana.drop.put_for("boris", name(), b"x")):
            with pytest.raises(DropError) as caught:
                await work
            assert str(caught.value) or (type(caught.value).__doc__ or "")


@pytest.mark.parametrize(
    "greeting",
    [b"* PREAUTH welcome\r\n", b"* OK\r\n", b"220 x ESMTP\r\n250 x\r\n250 x\r\n"],
)
async def test_without_tls_nothing_is_said(tmp_path: Path, greeting: bytes) -> None:
    heard = bytearray()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        while line := await reader.readline():
            heard.extend(line)
            tag = line.split()[0]
            writer.write(b"* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\n" + tag + b" OK done\r\n")
        writer.close()

    async with misbehaving(tmp_path, answer, tls=False) as ana, asyncio.timeout(10):
        for work in (ana.drop.list(), ana.drop.put_for("boris", name(), b"x")):
            with pytest.raises(DropError):
                await work
    for word in (b"LOGIN", b"AUTH", b"MAIL FROM", b"boris", PASSWORD.encode()):
        assert word not in bytes(heard).upper() + bytes(heard)


async def test_a_server_that_lies_after_the_login(tmp_path: Path) -> None:
    """It says of every mail that it is something else, and sends more than was asked for."""
    answers = iter([b"* 1 FETCH (UID 1 BODYSTRUCTURE ((((\r\n", b"* 1 FETCH (UID 1 BODY[1] {9"])

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"* OK\r\n")
        with contextlib.suppress(ConnectionError):
            while line := await reader.readline():
                tag, word = line.split()[0], line.split()[1].upper()
                if word == b"AUTHENTICATE":
                    writer.write(b"+ \r\n")
                    await reader.readline()
                said = {
                    b"CAPABILITY": b"* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\n",
                    b"LIST": b'* LIST () "/" INBOX\r\n* LIST (\\Junk) "/" {3}\r\nx\xff)\r\n',
                    b"STATUS": b"* STATUS INBOX (MESSAGES 1 UIDNEXT 2 UIDVALIDITY 1)\r\n",
                    b"UID": b"* SEARCH 1 99999999999999999999 x\r\n",
                }.get(word, b"")
                if b"FETCH" in line:
                    said = next(answers, b"")
                writer.write(said + tag + b" OK done\r\n")
        writer.close()

    async with misbehaving(tmp_path, answer) as ana, asyncio.timeout(10):
        with pytest.raises(DropError):
            await ana.drop.list()
        assert await ana.drop.list() == []
