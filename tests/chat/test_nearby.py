"""By what two people know each other nearby, and by what nobody else does."""

from __future__ import annotations

import base64

from tests.chat.world import Person, World

from volok.chat.invite_codec import bundle_hash, locator_secret, open_bundle, parse_link
from volok.chat.nearby import Acquaintance, acquaintances, invite_content, link_secret


async def known_to(person: Person, world: World) -> list[Acquaintance]:
    now = world.clock()
    return await person.vault.read(lambda tx: acquaintances(tx, now))


async def shared(one: Person, other: Person, world: World) -> list[Acquaintance]:
    """What the first one knows of what both know."""
    theirs = {each.secret for each in await known_to(other, world)}
    return [each for each in await known_to(one, world) if each.secret in theirs]


async def test_contacts_share_one_secret_with_each_other_and_none_with_others(world: World) -> None:
    ana, bo, eve = [await world.person(name) for name in ("Ana", "Bo", "Eve")]
    await world.meet(ana, bo)
    await world.meet(ana, eve)
    for one, other in ((ana, bo), (bo, ana), (ana, eve), (eve, ana)):
        (ours,) = await shared(one, other, world)
        assert ours.contact == await one.to(other.name)
        assert ours.invite is None
        assert len(ours.secret) == 32
    assert await shared(bo, eve, world) == []


async def test_the_link_of_an_invite_proves_itself_and_its_bundle_opens(world: World) -> None:
    ana = await world.person("Ana")
    invite = await ana.chat.invite()
    link = parse_link(invite.link)
    held = link_secret(locator_secret(link.secret))
    (offered,) = [each for each in await known_to(ana, world) if each.secret == held]
    assert (offered.invite, offered.contact) == (invite.id, None)
    content = await ana.vault.read(lambda tx: invite_content(tx, world.crypto, invite.id))
    assert content is not None
    assert link.secret not in base64.b64decode(content)
    bundle = open_bundle(world.crypto, link.secret, base64.b64decode(content))
    assert bundle_hash(bundle) == link.hash
    assert await ana.vault.read(lambda tx: invite_content(tx, world.crypto, "none")) is None


async def test_at_every_step_of_getting_to_know_each_other_both_share_a_secret(
    world: World,
) -> None:
    ana, bo = await world.person("Ana"), await world.person("Bo")
    invite = await ana.chat.invite()
    contact = await bo.chat.accept_file(await ana.chat.invite_file(invite.id))
    (hers,), (his,) = await shared(ana, bo, world), await shared(bo, ana, world)
    assert hers.contact is None
    assert his.contact == contact.id
    await world.step()  # his hello reaches her
    await ana.chat.settle()
    assert [each.contact for each in await shared(ana, bo, world)] == [await ana.to("Bo")]
    await world.run()
    (hers,), (his,) = await shared(ana, bo, world), await shared(bo, ana, world)
    assert (hers.contact, his.contact) == (await ana.to("Bo"), contact.id)
    assert len(await known_to(ana, world)) == len(await known_to(bo, world)) == 1


async def test_an_invite_for_several_people_gives_nobody_away(world: World) -> None:
    ana, bo = await world.person("Ana"), await world.person("Bo")
    invite = await ana.chat.invite(multiple=True)
    assert await known_to(ana, world) == []
    await bo.chat.accept_file(await ana.chat.invite_file(invite.id))
    assert await known_to(bo, world) == []


async def test_revoked_and_expired_invites_and_blocked_people_are_not_known(world: World) -> None:
    ana, bo = await world.person("Ana"), await world.person("Bo")
    await world.meet(ana, bo)
    invite = await ana.chat.invite(days=1)
    assert len(await known_to(ana, world)) == 3
    world.clock.time += 86_401
    assert len(await known_to(ana, world)) == 1
    await ana.chat.revoke((await ana.chat.invite()).id)
    await ana.chat.revoke(invite.id)
    assert len(await known_to(ana, world)) == 1
    await ana.chat.block(await ana.to("Bo"), True)
    assert await known_to(ana, world) == []
