"""Drops of open nodes: kept in the vault, served through trouble of every kind."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict
from pathlib import Path

import pytest
from tests.end_to_end.nodes import Person
from tests.paths.drop_servers import BUCKET, PASSWORD, USER, s3_service, webdav_server

from volok.app.courier import Courier
from volok.app.drop_records import InvalidDrop, NoSuchDrop, PasswordUnprotected
from volok.app.drops import Drops
from volok.chat.records import set_setting
from volok.chat.views import FileKind, Outgoing
from volok.native import NativeCrypto
from volok.paths.drop import (
    Drop,
    DropCapabilities,
    DropError,
    DropGone,
    DropRefused,
    FileInfo,
    drop_name,
)
from volok.paths.folder import FolderDrop
from volok.sync.bundle import SEALED_KEY_BYTES
from volok.sync.drops import DropSettings


@pytest.fixture
async def people(tmp_path: Path) -> AsyncIterator[list[Person]]:
    """Two people without relays, whose nodes do nothing by themselves; the second has answered the
    invite file of the first."""
    made = []
    for name in ("Ana", "Bo"):
        person = Person(tmp_path, name)
        person.background = False
        await person.come_back()
        await person.node.create(name, [], None)
        made.append(person)
    ana, bo = made
    invite = await ana.chat.invite()
    await bo.chat.accept_file(await ana.chat.invite_file(invite.id))
    yield made
    for person in made:
        await person.leave()


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """A folder that both can reach."""
    folder = tmp_path / "shared"
    folder.mkdir()
    return folder


async def share(people: Sequence[Person], folder: Path) -> None:
    """Let everybody use a folder."""
    for person in people:
        await person.node.drops.add_folder(folder)


async def exchange(people: Sequence[Person], rounds: int = 3) -> None:
    """Let everybody look by turns, and find no problem."""
    for _ in range(rounds):
        for person in people:
            summary = await person.node.sync_round()
            assert summary.problems == {}


async def converse(people: Sequence[Person]) -> None:
    """A conversation both ways arrives, and its states do."""
    ana, bo = people
    await exchange(people)
    await ana.say("Bo", "one")
    await bo.say("Ana", "two")
    await exchange(people)
    assert sorted(await bo.texts("Ana")) == ["one", "two"]
    assert sorted(await ana.texts("Bo")) == ["one", "two"]
    await bo.chat.seen(await bo.to("Ana"))
    await exchange(people, 2)
    (mine,) = [message for message in await ana.talk("Bo") if message.mine]
    assert mine.state.value == "read"


def courier(person: Person, drop: Drop, settings: DropSettings | None = None) -> Courier:
    """One over a drop of the test."""
    parts = person.node._open()
    return Courier("test", drop, parts, NativeCrypto(), time.time, settings or DropSettings())


class Trouble(Drop):
    """A folder in which chosen calls fail."""

    def __init__(self, folder: Path) -> None:
        self._real = FolderDrop(folder, time.time)
        self.fails: dict[str, int] = {}
        self.calls: list[str] = []

    @property
    def capabilities(self) -> DropCapabilities:
        return self._real.capabilities

    def _count(self, what: str) -> None:
        self.calls.append(what)
        left = self.fails.get(what)
        if left is not None:
            self.fails[what] = left - 1
            if left <= 0:
                raise DropGone

    async def list(self) -> Sequence[FileInfo]:
        self._count("list")
        return await self._real.list()

    async def get(self, name: str, most: int) -> bytes:
        self._count("get")
        return await self._real.get(name, most)

    async def put(self, name: str, data: bytes) -> None:
        self._count("put")
        await self._real.put(name, data)

    async def delete(self, name: str) -> None:
        self._count("delete")
        await self._real.delete(name)

    async def close(self) -> None:
        await self._real.close()


async def test_drops_are_kept_in_the_vault(people: list[Person], shared: Path) -> None:
    ana = people[0]
    drops = ana.node.drops
    folder = await drops.add_folder(shared)
    server = await drops.add_webdav("https://dav.example/x/", "ana", "very secret", check=False)
    bucket = await drops.add_s3("https://s3.example", "drop", "key", "most secret", check=False)
    with pytest.raises(InvalidDrop, match="in use already"):
        await drops.add_folder(shared)
    await ana.leave()
    home = ana.node.home.root
    everything = b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())
    for secret in (b"very secret", b"most secret", b"dav.example", bytes(shared)):
        assert secret not in everything
    await ana.come_back()
    views = {view.id: view for view in await ana.node.drops.list()}
    assert [view.kind for view in views.values()] == ["folder", "webdav", "s3"]
    assert views[server].place == "https://dav.example/x"
    assert views[bucket].place == "https://s3.example/drop"
    assert "secret" not in repr(views) + repr(await ana.node.drops.records())
    assert all(view.owner_learns.endswith(".") for view in views.values())
    await ana.node.drops.remove(server)
    assert {view.id for view in await ana.node.drops.list()} == {folder, bucket}
    for call in (ana.node.drops.remove, ana.node.drops.test):
        with pytest.raises(NoSuchDrop):
            await call(server)


async def test_drops_of_a_newer_version_are_passed_over(people: list[Person], shared: Path) -> None:
    ana = people[0]
    await ana.node.drops.add_folder(shared)
    records = await ana.node.drops.records()
    newer = [{**asdict(records[0]), "colour": "red"}, {"id": "x", "kind": "pigeon", "place": "y"}]
    vault = ana.node._open().vault
    await vault.transact(lambda tx: set_setting(tx, "drops", json.dumps(newer)))
    assert await ana.node.drops.records() == records
    assert (await ana.node.sync_round()).problems == {}


@pytest.mark.parametrize(
    "url",
    ["", "ftp://x", "https://", "https://a:b@host/", "https://host/?a", "https://h/ x", "h:1"],
)
async def test_what_is_no_address(people: list[Person], url: str) -> None:
    with pytest.raises(InvalidDrop):
        await people[0].node.drops.add_webdav(url, "u", "p", check=False)


async def test_passwords_do_not_go_out_unprotected(people: list[Person]) -> None:
    drops = people[0].node.drops
    with pytest.raises(PasswordUnprotected):
        await drops.add_webdav("http://dav.example/", "u", "p", check=False)
    await drops.add_webdav("http://dav.example/", "u", "p", check=False, insecure=True)


async def test_what_cannot_be_used_is_not_added(people: list[Person], tmp_path: Path) -> None:
    drops = people[0].node.drops
    (tmp_path / "file").touch()
    for wrong in (tmp_path / "missing", tmp_path / "file"):
        with pytest.raises(DropGone):
            await drops.add_folder(wrong)
    (tmp_path / "dav").mkdir()
    with webdav_server(tmp_path / "dav") as url, pytest.raises(DropRefused):
        await drops.add_webdav(url, USER, "wrong")
    with pytest.raises(DropError):
        await drops.add_webdav(url, USER, PASSWORD)
    assert await drops.records() == []


async def test_a_conversation_through_a_folder(people: list[Person], shared: Path) -> None:
    await share(people, shared)
    await converse(people)
    # In the end little is left: what only receipts wait in.
    assert len(list(shared.iterdir())) <= 4
    drops = people[0].node.drops
    (view,) = await drops.list()
    assert view.problem is None
    assert await drops.test(view.id) < 5
    for person in people:
        (view,) = await person.node.drops.list()
        await person.node.drops.remove(view.id)
    assert list(shared.iterdir()) == []


async def test_a_conversation_through_webdav(people: list[Person], shared: Path) -> None:
    with webdav_server(shared) as url:
        for person in people:
            await person.node.drops.add_webdav(url, USER, PASSWORD)
        await converse(people)


async def test_a_conversation_through_s3(people: list[Person]) -> None:
    with s3_service() as service:
        for person in people:
            await person.node.drops.add_s3(
                service.endpoint, BUCKET, service.key, service.secret, prefix="friends/"
            )
        await converse(people)


async def test_foreign_files_cost_little(people: list[Person], shared: Path) -> None:
    ana, bo = people
    await exchange([bo])
    for number in range(300):
        size = SEALED_KEY_BYTES + number
        (shared / drop_name(number.to_bytes(16, "big"))).write_bytes(bytes(size))
    (shared / "notes.txt").write_text("hello")
    (shared / drop_name(b"\7" * 16)).symlink_to("/dev/zero")
    with (shared / drop_name(b"\5" * 16)).open("wb") as file:
        file.truncate(1 << 40)
    await share(people, shared)
    await converse(people)
    drop = Trouble(shared)
    watched = courier(ana, drop, DropSettings(tries=200))
    first = await watched.once()
    assert first.unread >= 100
    while (await watched.once()).unread:
        pass
    drop.calls.clear()
    await watched.once()
    assert drop.calls.count("get") == 0
    again = courier(ana, drop)  # after a restart
    await again.once()
    assert drop.calls.count("get") == 0
    await drop.close()


async def test_half_a_file_is_read_when_it_is_whole(people: list[Person], shared: Path) -> None:
    ana, bo = people
    await share([bo], shared)
    await bo.node.sync_round()
    (file,) = shared.iterdir()
    whole = file.read_bytes()
    now = time.time()
    parts = ana.node._open()
    drop = FolderDrop(shared, lambda: now)
    reader = Courier("test", drop, parts, NativeCrypto(), lambda: now, DropSettings())
    for data in (b"", whole[:50], whole[:2000], whole[:-1], whole[:-50] + bytes(50)):
        file.write_bytes(data)
        assert (await reader.once()).taken == 0
        assert await ana.chat.contacts() == []
    # Written over in place, to the same length: noticed a while later.
    file.write_bytes(whole)
    assert (await reader.once()).taken == 0
    now += 60
    assert (await reader.once()).taken == 1
    assert [contact.name for contact in await ana.chat.contacts()] == ["Bo"]
    await drop.close()


async def test_a_stick_is_pulled_out_at_any_moment(people: list[Person], shared: Path) -> None:
    ana, bo = people
    drops = {person.name: Trouble(shared) for person in people}
    couriers = {person.name: courier(person, drops[person.name]) for person in people}

    async def settle() -> None:
        for _ in range(4):
            for each in couriers.values():
                await each.once()

    await settle()
    sent: list[str] = []
    for what in ("list", "get", "put", "delete"):
        for after in range(3):
            sent.append(f"{what} {after}")
            await ana.say("Bo", sent[-1])
            for drop in drops.values():
                drop.fails = {what: after}
            for each in couriers.values():
                for _ in range(2):
                    with contextlib.suppress(DropGone):
                        await each.once()
            for drop in drops.values():
                drop.fails = {}
            couriers = {p.name: courier(p, drops[p.name]) for p in people}  # all from the vault
            await settle()
            assert await bo.texts("Ana") == sent
    await ana.until_states("Bo", "delivered")
    assert not [path for path in shared.iterdir() if path.name.startswith(".")]
    for drop in drops.values():
        await drop.close()


async def test_what_comes_by_stick_is_read_though_nothing_can_be_written(
    people: list[Person], shared: Path
) -> None:
    ana, bo = people
    await share([bo], shared)
    await bo.node.sync_round()
    drop = Trouble(shared)
    reader = courier(ana, drop)
    drop.fails = {"put": 0}
    with pytest.raises(DropGone):
        await reader.once()
    assert [contact.name for contact in await ana.chat.contacts()] == ["Bo"]
    await drop.close()


async def test_a_file_with_many_parts(people: list[Person], shared: Path) -> None:
    await share(people, shared)
    await exchange(people)
    ana, bo = people
    data = NativeCrypto().random(3 << 20)
    for person in people:
        parts = person.node._open()
        person.node._drops = Drops(
            parts, NativeCrypto(), time.time, parts.paths.many, DropSettings(file_bytes=1 << 20)
        )
    await ana.chat.send(
        await ana.to("Bo"), "big", [Outgoing("a.bin", "application/x", data, FileKind.FILE)]
    )
    await ana.node.sync_round()
    assert len(list(shared.iterdir())) >= 4
    await exchange(people)
    (message,) = await bo.talk("Ana")
    _, pieces = await bo.chat.file(message.files[0].id)
    assert b"".join([piece async for piece in pieces]) == data


async def test_many_people_write_one_folder_at_once(tmp_path: Path, shared: Path) -> None:
    everybody = [await Person.with_relays(tmp_path, name) for name in ("Ana", "Bo", "Cy", "Di")]
    ana, *others = everybody
    try:
        for person in everybody:
            await person.node.drops.add_folder(shared, check=False)
        for other in others:
            invite = await ana.chat.invite()
            await other.chat.accept_file(await ana.chat.invite_file(invite.id))

        async def all_met() -> bool:
            return len(await ana.chat.contacts()) == len(others)

        await ana.until(all_met)
        for other in others:
            await ana.say(other.name, f"for {other.name}")
            await other.say("Ana", f"from {other.name}")
        await asyncio.gather(*(ana.until_states(other.name, "delivered") for other in others))
        for other in others:
            await other.until_states("Ana", "delivered")
            assert sorted(await other.texts("Ana")) == [f"for {other.name}", f"from {other.name}"]
    finally:
        for person in everybody:
            await person.leave()


async def test_drops_come_and_go_while_the_node_runs(people: list[Person], tmp_path: Path) -> None:
    ana, bo = people
    stick = tmp_path / "stick"
    stick.mkdir()
    for person in people:
        person.background = True
        await person.leave()
        await person.come_back()
        await person.node.drops.add_folder(stick)
    await ana.until(ana.chat.contacts)
    stick.rename(tmp_path / "away")
    await ana.say("Bo", "while it was away")

    async def problem() -> str | None:
        return (await ana.node.drops.list())[0].problem

    async with asyncio.timeout(20):
        while await problem() is None:
            await asyncio.sleep(0.05)
    assert "not there" in str(await problem())
    (tmp_path / "away").rename(stick)
    await bo.until_there("Ana", "while it was away")
    await ana.until_states("Bo", "delivered")
    (view,) = await ana.node.drops.list()
    await ana.node.drops.remove(view.id)
    assert await ana.node.drops.list() == []
