"""Two people talk: what is written on one side is read on the other."""

import random

import pytest
from tests.chat.world import World

from volok.chat.views import (
    ChatError,
    ContactState,
    FileKind,
    FileState,
    MessageState,
    Outgoing,
)


async def test_link_and_text_both_ways(world: World) -> None:
    ana, bo = await world.person("Ana"), await world.person("Bo")
    await world.meet(ana, bo)
    await bo.chat.send(await bo.to("Ana"), "Hello")
    await ana.chat.send(await ana.to("Bo"), "Привет")
    await world.run()
    assert await ana.texts("Bo") == ["Привет", "Hello"]
    assert await bo.texts("Ana") == ["Hello", "Привет"]
    (contact,) = await bo.chat.contacts()
    assert contact.state is ContactState.ACTIVE
    numbers = {
        (await ana.chat.safety_number(await ana.to("Bo"))).digits,
        (await bo.chat.safety_number(contact.id)).digits,
    }
    assert len(numbers) == 1
    assert len(numbers.pop()) == 60


async def test_link_is_short(world: World) -> None:
    ana = await world.person("Ana", relays=("wss://" + "r" * 60 + ".example", "wss://b.example"))
    link = (await ana.chat.invite()).link
    assert len(link) <= 200


async def test_text_sent_before_the_answer_arrives(world: World) -> None:
    ana, bo = await world.person("Ana"), await world.person("Bo")
    invite = await ana.chat.invite()
    await world.step()
    contact = await bo.chat.accept(invite.link)
    assert contact.state is ContactState.WAITING
    for n in range(3):
        await bo.chat.send(contact.id, f"early {n}")
    await world.run()
    assert await ana.texts("Bo") == ["early 0", "early 1", "early 2"]


async def test_states_come_true_one_after_the_other(world: World) -> None:
    ana, bo = await world.person("Ana"), await world.person("Bo")
    await world.meet(ana, bo)
    message = await ana.chat.send(await ana.to("Bo"), "one")
    assert message.state is MessageState.QUEUED
    await ana.chat.settle()
    events = await world.collect(ana)
    await ana.chat.settle()
    assert (await ana.chat.message(message.id)).state is MessageState.RELAYED
    world.publish(events)
    await world.run()
    assert (await ana.chat.message(message.id)).state is MessageState.DELIVERED
    assert (await bo.chat.find("Ana")).unread == 1
    await bo.chat.seen(await bo.to("Ana"))
    await world.run()
    assert (await ana.chat.message(message.id)).state is MessageState.READ
    assert (await bo.chat.find("Ana")).unread == 0
    assert await ana.chat.waiting() == 0


async def test_reply_reaction_edit_delete(world: World) -> None:
    ana, bo = await world.person("Ana"), await world.person("Bo")
    await world.meet(ana, bo)
    first = await ana.chat.send(await ana.to("Bo"), "first draft")
    await world.run()
    reply = await bo.chat.send(await bo.to("Ana"), "yes", reply_to=first.id)
    await bo.chat.react(first.id, "👍")
    await ana.chat.edit(first.id, "final")
    await world.run()
    theirs = await bo.chat.message(first.id)
    assert (theirs.text, theirs.edited) == ("final", True)
    (reaction,) = (await ana.chat.message(first.id)).reactions
    assert (reaction.emoji, reaction.mine) == ("👍", False)
    quote = (await ana.chat.message(reply.id)).quote
    assert quote is not None
    assert (quote.mine, quote.text) == (True, "final")
    assert [m.id for m in await bo.chat.search("fin")] == [first.id]
    with pytest.raises(ChatError):
        await bo.chat.edit(first.id, "not mine")
    await ana.chat.delete(first.id, for_everyone=True)
    await bo.chat.react(first.id, "")
    await world.run()
    gone = await bo.chat.message(first.id)
    assert (gone.text, gone.deleted) == ("", True)
    assert await bo.chat.search("fin") == []


@pytest.mark.parametrize("takes_blobs", [True, False])
async def test_picture(world: World, takes_blobs: bool) -> None:
    world.takes_blobs = takes_blobs
    world.max_content = None if takes_blobs else 4096
    ana, bo = await world.person("Ana"), await world.person("Bo")
    await world.meet(ana, bo)
    data = random.Random(1).randbytes(300_000)
    picture = Outgoing("../holiday.png", "image/png", data, FileKind.PICTURE, 640, 480)
    sent = await ana.chat.send(await ana.to("Bo"), "look", files=[picture])
    await world.run()
    (message,) = await bo.talk("Ana")
    (view,) = message.files
    assert view.state is FileState.READY
    assert (view.name, view.width, view.kind) == (
        "_holiday.png",
        640,
        FileKind.PICTURE,
    )
    _, pieces = await bo.chat.file(view.id)
    assert b"".join([piece async for piece in pieces]) == data
    assert (await ana.chat.message(sent.id)).files[0].progress == 1.0


async def test_view_once(world: World) -> None:
    ana, bo = await world.person("Ana"), await world.person("Bo")
    await world.meet(ana, bo)
    picture = Outgoing("a.png", "image/png", b"secret picture", FileKind.PICTURE)
    await ana.chat.send(await ana.to("Bo"), "", files=[picture], view_once=True)
    await world.run()
    (message,) = await bo.talk("Ana")
    with pytest.raises(ChatError):
        await bo.chat.file(message.files[0].id)
    _, data = await bo.chat.open_once(message.files[0].id)
    assert data == b"secret picture"
    with pytest.raises(ChatError):
        await bo.chat.open_once(message.files[0].id)
    assert await bo.blobs.names() == []


async def test_disappearing(world: World) -> None:
    ana, bo = await world.person("Ana"), await world.person("Bo")
    await world.meet(ana, bo)
    await ana.chat.set_timer(await ana.to("Bo"), 60)
    await ana.chat.send(await ana.to("Bo"), "soon gone")
    await world.run()
    await bo.chat.seen(await bo.to("Ana"))
    assert await bo.texts("Ana") == ["soon gone"]
    assert (await bo.chat.find("Ana")).timer == 60
    world.clock.time += 61
    for person in (ana, bo):
        await person.chat.settle()
        assert await person.texts("Bo" if person is ana else "Ana") == []


async def test_random_order_and_replay(world: World) -> None:
    ana, bo = await world.person("Ana"), await world.person("Bo")
    await world.meet(ana, bo)
    count = 500
    for n in range(count):
        await ana.chat.send(await ana.to("Bo"), f"m{n}")
    await ana.chat.settle()
    await world.step(shuffle=random.Random(7))
    await world.run(shuffle=random.Random(8))
    assert await bo.texts("Ana") == [f"m{n}" for n in range(count)]
    everything = list(world.seen)
    random.Random(9).shuffle(everything)
    await world.give(bo, everything)
    await world.give(ana, everything)
    await world.run()
    assert await bo.texts("Ana") == [f"m{n}" for n in range(count)]
    assert (await bo.chat.find("Ana")).state is ContactState.ACTIVE


async def test_small_relay(world: World) -> None:
    world.max_content = 4096
    ana, bo = await world.person("Ana"), await world.person("Bo")
    await world.meet(ana, bo)
    text = "длинный текст " * 1000
    await ana.chat.send(await ana.to("Bo"), text)
    await world.run()
    assert await bo.texts("Ana") == [text]


async def test_single_use_invite_used_twice_warns_both(world: World) -> None:
    ana, bo, eve = [await world.person(name) for name in ("Ana", "Bo", "Eve")]
    invite = await ana.chat.invite()
    await world.step()
    await bo.chat.accept(invite.link)
    await world.run()
    held = await eve.chat.accept(invite.link)
    assert held.state is ContactState.WAITING
    await world.run()
    assert [c.name for c in await ana.chat.contacts()] == ["Bo"]
    for person, who in ((ana, "Bo"), (bo, "Ana")):
        contact = await person.chat.find(who)
        notices = [m.notice for m in await person.chat.messages(contact.id)]
        assert notices.count("invite-used-twice") == 1


async def test_both_uses_of_an_invite_in_one_batch(world: World) -> None:
    ana, bo, eve = [await world.person(name) for name in ("Ana", "Bo", "Eve")]
    invite = await ana.chat.invite()
    await world.step()
    for person in (bo, eve):
        await person.chat.accept(invite.link)
    await world.run()
    (contact,) = await ana.chat.contacts()
    notices = [m.notice for m in await ana.chat.messages(contact.id)]
    assert notices.count("invite-used-twice") == 1


async def test_seen_up_to_a_message(world: World) -> None:
    ana, bo = await world.person("Ana"), await world.person("Bo")
    await world.meet(ana, bo)
    for n in range(3):
        await ana.chat.send(await ana.to("Bo"), f"m{n}")
    await world.run()
    second = (await bo.talk("Ana"))[1]
    await bo.chat.seen(second.contact, second.order)
    assert (await bo.chat.find("Ana")).unread == 1


async def test_invite_for_several(world: World) -> None:
    ana, bo, cy = [await world.person(name) for name in ("Ana", "Bo", "Cy")]
    invite = await ana.chat.invite(multiple=True)
    await world.step()
    await bo.chat.accept(invite.link)
    await cy.chat.accept(invite.link)
    await world.run()
    assert {c.name for c in await ana.chat.contacts()} == {"Bo", "Cy"}
    await ana.chat.revoke(invite.id)
    await world.run()
    dan = await world.person("Dan")
    with pytest.raises(ChatError):
        await dan.chat.accept(invite.link)


async def test_bad_invites(world: World) -> None:
    ana, bo = await world.person("Ana"), await world.person("Bo")
    invite = await ana.chat.invite()
    await world.step()
    with pytest.raises(ChatError, match="copy all of it"):
        await bo.chat.accept(invite.link[:40])
    altered = invite.link.replace(invite.link[20], "A" if invite.link[20] != "A" else "B", 1)
    with pytest.raises(ChatError):
        await bo.chat.accept(altered)
    with pytest.raises(ChatError, match="your own"):
        await ana.chat.accept(invite.link)
    world.clock.time += 8 * 86_400
    with pytest.raises(ChatError, match="expired"):
        await bo.chat.accept(invite.link)
    assert await bo.chat.contacts() == []


async def test_block(world: World) -> None:
    ana, bo = await world.person("Ana"), await world.person("Bo")
    await world.meet(ana, bo)
    await bo.chat.block(await bo.to("Ana"), True)
    await ana.chat.send(await ana.to("Bo"), "unwanted")
    await world.run()
    assert await bo.texts("Ana") == []
    with pytest.raises(ChatError, match="blocked"):
        await bo.chat.send(await bo.to("Ana"), "x")


async def test_forget_leaves_nothing(world: World) -> None:
    ana, bo = await world.person("Ana"), await world.person("Bo")
    await world.meet(ana, bo)
    await ana.chat.send(await ana.to("Bo"), "a secret word")
    await world.run()
    await ana.chat.forget(await ana.to("Bo"))
    assert await ana.chat.contacts() == []
    assert await ana.chat.search("secret") == []


async def test_unblocking_leads_back_to_where_it_stood(world: World) -> None:
    ana, bo = await world.person("Ana"), await world.person("Bo")
    invite = await ana.chat.invite()
    await world.step()
    contact = await bo.chat.accept(invite.link)
    await bo.chat.block(contact.id, True)
    await bo.chat.block(contact.id, False)
    assert (await bo.chat.contact(contact.id)).state is ContactState.WAITING
    await world.run()
    assert (await bo.chat.contact(contact.id)).state is ContactState.ACTIVE
    await bo.vault.transact(
        lambda tx: tx.execute("UPDATE contact SET pending_identity = x'01', state = 'key-changed'")
    )
    await bo.chat.block(contact.id, True)
    await bo.chat.block(contact.id, False)
    assert (await bo.chat.contact(contact.id)).state is ContactState.KEY_CHANGED


async def test_an_invite_of_long_ago_leaves_no_request_behind(world: World) -> None:
    ana, bo = await world.person("Ana"), await world.person("Bo")
    await world.meet(ana, bo)
    (inbox,) = [
        inbox
        for (inbox,) in await ana.vault.read(
            lambda tx: tx.execute("SELECT public FROM inbox WHERE invite IS NOT NULL")
        )
    ]
    await ana.vault.transact(
        lambda tx: tx.execute(
            "INSERT INTO spent (event, inbox, due_ms) VALUES ('e', ?, ?)", (inbox, 1 << 60)
        )
    )
    world.clock.time += 60 * 86_400
    await world.run()
    for table, column in (("inbox", "public"), ("sealing", "inbox"), ("spent", "inbox")):
        query = f"SELECT 1 FROM {table} WHERE {column} = ?"
        assert await ana.vault.read(lambda tx, q=query: tx.execute(q, (inbox,))) == []
