"""Conversations by mail and by SFTP alone, over real servers, and what can go wrong with them."""

from __future__ import annotations

import asyncio
import imaplib
import json
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from pathlib import Path

import pytest
from tests.end_to_end.nodes import Person
from tests.paths.drop_servers import PASSWORD, USER, sftp_server
from tests.paths.mail_servers import REASON, Providers, providers

from volok.app.courier import Courier
from volok.app.drop_places import add_drop, host_key_of
from volok.app.drop_records import InvalidDrop, NoSuchDrop, mail_record
from volok.app.drops import Drops, mail_drops
from volok.app.mail_addresses import MailAddresses, setting_of
from volok.chat.records import set_setting
from volok.chat.views import FileKind, FileState, Outgoing
from volok.native import NativeCrypto
from volok.paths.drop import DropCapabilities, DropError, DropRefused, FileInfo
from volok.paths.folder import FolderDrop
from volok.paths.mail import MailSettings

PICTURE = random.Random(5).randbytes(300_000)
OLD = Path(__file__).parents[1] / "old_states" / "drops_v1"
needs_servers = pytest.mark.skipif(REASON is not None, reason=str(REASON))


@pytest.fixture(scope="module")
def running() -> Iterator[Providers]:
    """Two providers for the module."""
    with providers() as made:
        yield made


@pytest.fixture
def servers(running: Providers, monkeypatch: pytest.MonkeyPatch) -> Providers:
    """The providers with empty mailboxes; their certificates are trusted."""
    monkeypatch.setenv("SSL_CERT_FILE", str(running.authority))
    running.empty()
    return running


@pytest.fixture
async def people(tmp_path: Path) -> AsyncIterator[list[Person]]:
    """Ana and Clara, without relays; their nodes do nothing by themselves, and mail at once."""
    made = []
    for name in ("Ana", "Clara"):
        person = Person(tmp_path, name)
        person.background = False
        await person.come_back()
        await person.node.create(name, [], None)
        quick(person)
        made.append(person)
    yield made
    for person in made:
        await person.leave()


def quick(person: Person) -> None:
    """Let a person's mails follow each other without a gap."""
    parts = person.node._open()
    person.node._drops = Drops(
        parts,
        NativeCrypto(),
        person.clock,
        parts.paths.calls,
        mail_drops(),
        MailSettings(gap=0.0),
    )


async def add_mail(servers: Providers, person: Person, **contacts: str) -> str:
    """Use a person's account; the contacts are named by their names."""
    account = servers.account(person.name.lower())
    record = mail_record(
        account.address, "", account.password, str(account.imap), str(account.smtp)
    )
    added = await person.node.drops.add(record, check=False)
    for name, address in contacts.items():
        await person.node.drops.write_to(added, await person.to(name), address)
    return added


async def until(
    people: Sequence[Person], true: Callable[[], Awaitable[object]], troubled: bool = False
) -> None:
    """Let everybody look by turns until something holds."""
    async with asyncio.timeout(40):
        while not await true():
            for person in people:
                problems = (await person.node.sync_round()).problems
                assert troubled or not problems, problems
            await asyncio.sleep(0.02)


async def meet_by_mail(servers: Providers, people: Sequence[Person]) -> None:
    """Ana's invite is handed over; everything else goes by mail. Only Clara knows an address."""
    ana, clara = people
    invite = await ana.chat.invite()
    await clara.chat.accept_file(await ana.chat.invite_file(invite.id))
    await add_mail(servers, ana)
    await add_mail(servers, clara, Ana="ana@inside.example")
    await until(people, ana.chat.contacts)


async def view_of(person: Person):
    """The only drop of somebody."""
    (view,) = await person.node.drops.list()
    return view


@needs_servers
async def test_a_whole_conversation_by_mail(people: list[Person], servers: Providers) -> None:
    ana, clara = people
    await meet_by_mail(servers, people)
    await ana.say("Clara", "Is the bridge open?")

    async def there() -> bool:
        return await clara.texts("Ana") == ["Is the bridge open?"]

    await until(people, there)
    await clara.chat.seen(await clara.to("Ana"))
    picture = Outgoing("map.jpg", "image/jpeg", PICTURE, FileKind.FILE)
    await clara.chat.send(await clara.to("Ana"), "No. Take the portage:", [picture])

    async def whole() -> bool:
        files = [file for message in await ana.talk("Clara") for file in message.files]
        return [file.state for file in files] == [FileState.READY]

    async def settled() -> bool:
        states = {m.state.value for m in await ana.talk("Clara") if m.mine}
        theirs = {m.state.value for m in await clara.talk("Ana") if m.mine}
        return states == {"read"} and theirs == {"delivered"}

    await until(people, whole)
    await until(people, settled)
    # Whoever writes to us is answered where they wrote from.
    assert list((await view_of(ana)).contacts.values()) == ["clara@abroad.example"]

    async def clean() -> bool:
        return not servers.mails("ana") + servers.mails("clara")

    await until(people, clean)
    for person in people:
        assert (await view_of(person)).problem is None


@needs_servers
async def test_what_cannot_be_delivered_is_said_and_not_lost(
    people: list[Person], servers: Providers
) -> None:
    ana, clara = people
    await meet_by_mail(servers, people)
    await until(people, lambda: knows(ana))
    with servers.imap("clara") as box:
        box.append("INBOX", "", imaplib.Time2Internaldate(time.time()), bytes(1_045_000))
        await ana.say("Clara", "important")

        async def problem() -> bool:
            return (await view_of(ana)).problem is not None

        await until([ana], problem, troubled=True)
        said = str((await view_of(ana)).problem)
        assert said.startswith("What was sent to Clara came back. The other mailbox is full.")
        assert (await ana.node.sync_round()).problems == {"mail://ana@inside.example": said}
        assert servers.mails("ana") == []
        box.select("INBOX")
        box.uid("STORE", "1:*", "+FLAGS.SILENT", r"(\Deleted)")
        box.expunge()
    # Hours later, after a restart, it is sent again.
    await ana.leave()
    begin = time.time()
    ana.clock = lambda: time.time() + 7 * 3600
    await ana.come_back()
    quick(ana)

    async def there() -> bool:
        return "important" in await clara.texts("Ana")

    await until(people, there, troubled=True)
    assert await clara.texts("Ana") == ["important"]
    assert time.time() - begin < 40


async def knows(person: Person) -> bool:
    """Whether somebody's account knows whom to write to."""
    return bool((await view_of(person)).contacts)


@needs_servers
async def test_a_wrong_address_holds_up_nobody_else(
    people: list[Person], servers: Providers, tmp_path: Path
) -> None:
    ana, clara = people
    await meet_by_mail(servers, people)
    await until(people, lambda: knows(ana))
    dora = Person(tmp_path, "Dora")
    dora.background = False
    await dora.come_back()
    await dora.node.create("Dora", [], None)
    try:
        invite = await dora.chat.invite()
        await ana.chat.accept_file(await dora.chat.invite_file(invite.id))
        drop = await view_of(ana)
        await ana.node.drops.write_to(drop.id, await ana.to("Dora"), "dora@inside.example")
        await ana.say("Dora", "never arrives")
        await ana.say("Clara", "arrives")

        async def there() -> bool:
            return await clara.texts("Ana") == ["arrives"]

        await until(people, there, troubled=True)
        assert "What was sent to Dora came back." in str((await view_of(ana)).problem)
    finally:
        await dora.leave()


@needs_servers
async def test_accounts_that_cannot_be_used_are_not_added(
    people: list[Person], servers: Providers
) -> None:
    drops = people[0].node.drops
    at = servers.hosts["inside.example"].address
    there = {"imap": at, "smtp": at}
    for where, password, more, error in (
        ("mail://ana@inside.example", "wrong", there, DropRefused),
        ("mail://ana@inside.example", "x", {"imap": "127.0.0.1:1", "smtp": at}, DropError),
        ("mail://ana@inside.example", "", there, InvalidDrop),
        ("mail://ana", "x", there, InvalidDrop),
        ("mail://ana@inside.example", "x", {"imap": "a b"}, InvalidDrop),
        ("mail://ana@inside.example", "x", {"contacts": {"i": "nobody"}}, InvalidDrop),
    ):
        with pytest.raises(error):
            await add_drop(drops, where, "", password, "", more)
    assert await drops.records() == []
    with pytest.raises(NoSuchDrop):
        await drops.write_to("no drop", "contact", "a@b.example")


@needs_servers
async def test_an_account_is_tried_with_a_mail_to_oneself(
    people: list[Person], servers: Providers
) -> None:
    ana = people[0]
    drop = await add_mail(servers, ana)
    assert await ana.node.drops.test(drop) < 20
    assert servers.mails("ana") == []
    with pytest.raises(InvalidDrop, match="in use already"):
        await add_mail(servers, ana)
    view = await view_of(ana)
    assert (view.kind, view.place) == ("mail", "mail://ana@inside.example")
    assert "both addresses" in view.owner_learns
    assert servers.account("ana").password not in repr(await ana.node.drops.records())
    await ana.node.drops.remove(drop)
    assert await ana.node.drops.list() == []


async def test_the_address_that_the_person_gave_counts(people: list[Person]) -> None:
    vault = people[0].node._open().vault
    addresses = MailAddresses("x")
    await vault.transact(lambda tx: addresses.learn(tx, "bo", "bo@first.example"))
    await vault.transact(lambda tx: addresses.learn(tx, "bo", "bo@second.example"))
    assert addresses.known == {"bo": "bo@second.example"}
    await vault.transact(lambda tx: addresses.give(tx, "bo", "bo@Given.example"))
    await vault.transact(lambda tx: addresses.learn(tx, "bo", "bo@third.example"))
    assert addresses.known == {"bo": "bo@given.example"}
    again = MailAddresses("x")
    await vault.read(again.load)
    assert again.known == {"bo": "bo@given.example"}
    for nonsense in ("[]", "{", '{"version": 99, "contacts": {"a": 1}}', '{"version": 1}',
                     '{"version": 1, "contacts": {"a": 1, "b": {"address": "x"}}}'):  # fmt: skip
        await vault.transact(lambda tx, text=nonsense: set_setting(tx, setting_of("y"), text))
        damaged = MailAddresses("y")
        await vault.read(damaged.load)
        assert damaged.known == {}


async def test_drops_of_version_1_load_for_ever(people: list[Person]) -> None:
    vault = people[0].node._open().vault
    for file in OLD.iterdir():
        await vault.transact(
            lambda tx, file=file: set_setting(tx, file.stem.replace("_", " "), file.read_text())
        )
    views = await people[0].node.drops.list()
    assert [view.kind for view in views] == ["folder", "webdav", "s3", "mail", "sftp"]
    assert views[3].contacts == {"c1": "bo@post.example", "c2": "clara@abroad.example"}
    stored = json.loads((OLD / "drops.json").read_text())
    assert [record.place for record in await people[0].node.drops.records()] == [
        each["place"] for each in stored
    ]


async def test_a_conversation_by_sftp(people: list[Person], tmp_path: Path) -> None:
    ana, clara = people
    (tmp_path / "sftp" / "shared").mkdir(parents=True)
    invite = await ana.chat.invite()
    await clara.chat.accept_file(await ana.chat.invite_file(invite.id))
    async with sftp_server(tmp_path / "sftp") as server:
        shown = await host_key_of(ana.node.drops, server.url)
        assert server.seen == []
        more = {"host_key": shown["host_key"]}
        await add_drop(ana.node.drops, server.url, "", PASSWORD, "", more)
        by_key = {**more, "key": server.user_key}
        await add_drop(clara.node.drops, server.url, "", "", "", by_key)
        await until(people, ana.chat.contacts)
        await ana.say("Clara", "one")
        await clara.say("Ana", "two")

        async def both() -> bool:
            texts = [sorted(await ana.texts("Clara")), sorted(await clara.texts("Ana"))]
            return texts == [["one", "two"]] * 2

        await until(people, both)
        view = await view_of(ana)
        assert view.place == f"sftp://{USER}@127.0.0.1:{server.port}/shared"
        assert PASSWORD not in repr(await ana.node.drops.records())
        for where, password, key in (
            (server.url, "", ""),
            (server.url, "", "no key"),
            ("sftp://127.0.0.1/x", "p", ""),
            ("sftp://u:p@127.0.0.1/x", "p", ""),
        ):
            with pytest.raises(InvalidDrop):
                await add_drop(ana.node.drops, where, "", password, "", {**more, "key": key})
        for person in people:
            await person.node.drops.remove((await view_of(person)).id)
        assert list((tmp_path / "sftp" / "shared").iterdir()) == []


async def test_mail_comes_after_other_places(people: list[Person], tmp_path: Path) -> None:
    """What another place carries is mailed only when no receipt came in a while."""
    ana, clara = people
    invite = await ana.chat.invite()
    await clara.chat.accept_file(await ana.chat.invite_file(invite.id))
    mailbox = Mailbox(tmp_path / "mail")
    parts, seen = clara.node._open(), [True]
    settings = mail_drops()
    now = [time.time()]
    courier = Courier(
        "x", mailbox, parts, NativeCrypto(), lambda: now[0], settings, lambda: seen[0]
    )
    assert (await courier.once()).left == 0
    due = await courier.due_in()
    assert due is not None
    assert 0 < due <= settings.head_start
    now[0] += settings.head_start + 1
    assert (await courier.once()).left == 1
    await clara.say("Ana", "one more")
    now[0] += settings.head_start + 1
    # Mails follow each other with a gap, and that is no reason to look in vain meanwhile.
    assert (await courier.once()).left == 0
    due = await courier.due_in()
    assert due is not None
    assert 0 < due <= mailbox.capabilities.gap
    now[0] += mailbox.capabilities.gap
    assert (await courier.once()).left == 1
    seen[0] = False
    await mailbox.close()


class Mailbox(FolderDrop):
    """A folder that behaves like mail: what is left is out of sight."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        super().__init__(folder, time.time)

    @property
    def capabilities(self) -> DropCapabilities:
        return DropCapabilities(60.0, "Nothing.", addressed=True, gap=100.0)

    async def list(self) -> Sequence[FileInfo]:
        return []


def test_mail_is_renewed_before_nobody_looks_at_it_any_more() -> None:
    assert mail_drops().renew_after < MailSettings().days * 86_400
