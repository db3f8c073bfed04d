"""Invites across vault, store and relays: made, ended, accepted by link or by file."""

from __future__ import annotations

from volok.chat import contacts, invites, people
from volok.chat.chores import delete_events
from volok.chat.hooks import Hands
from volok.chat.invite_codec import (
    InvalidInvite,
    bundle_hash,
    encode_file,
    locator_secret,
    open_bundle,
    parse_file,
    parse_link,
    seal_bundle,
)
from volok.chat.kit import Kit
from volok.chat.views import ChatError, InviteView
from volok.model.envelope import InvalidEnvelope, content_bytes, wrap
from volok.store.deliveries import ItemKind
from volok.store.vault_deliveries import queue


async def invite(kit: Kit, days: int, multiple: bool) -> InviteView:
    """Make an invite and leave its sealed bundle on our relays. Raises ChatError."""
    now = int(kit.now())
    if not 1 <= days <= 365:
        raise ChatError("An invite lasts between 1 and 365 days.")
    identifier = await kit.change(
        lambda hands: invites.create(hands.tx, hands.keys, now, days, multiple)
    )
    secret, bundle = await kit.vault.read(lambda tx: invites.secrets(tx, identifier))
    crypto = kit.keys.crypto
    locator = crypto.public_key(locator_secret(secret)).hex()
    event = wrap(crypto, locator, seal_bundle(crypto, secret, bundle), kit.now(), days + 2)
    await kit.store.add([event], now)

    def publish(hands: Hands) -> None:
        hands.tx.execute("UPDATE invite SET event = ? WHERE id = ?", (event.id, identifier))
        queue(hands.tx, ItemKind.EVENT, [event.id], contacts.own_relays(hands.tx))
        hands.effects.queued = hands.effects.scopes = True

    await kit.change(publish)
    return await kit.vault.read(lambda tx: invites.view(tx, identifier))


async def revoke(kit: Kit, identifier: str) -> None:
    """End an invite: its keys are forgotten, and its relays asked to delete its bundle."""
    event, secret = await kit.change(lambda hands: invites.revoke(hands.tx, identifier))
    if event is not None:
        await delete_events(kit, secret, [event])


async def invite_file(kit: Kit, identifier: str) -> bytes:
    """The invite as a self-contained file. Raises ChatError."""
    rows = await kit.vault.read(
        lambda tx: tx.execute("SELECT bundle FROM invite WHERE id = ?", (identifier,))
    )
    if not rows:
        raise ChatError("There is no such invite.")
    return encode_file(rows[0][0])


async def accept(kit: Kit, link: str) -> str:
    """Accept an invite by its link; returns the id of the new contact. Raises ChatError."""
    try:
        parsed = parse_link(link)
        for content in await kit.fetch_invite(parsed.relays, locator_secret(parsed.secret)):
            try:
                bundle = open_bundle(kit.keys.crypto, parsed.secret, content_bytes(content))
            except (InvalidInvite, InvalidEnvelope):
                continue
            if bundle_hash(bundle) == parsed.hash:
                return await _accept(kit, bundle)
    except InvalidInvite as error:
        raise ChatError(str(error)) from error
    raise ChatError(
        "This invite is not on its relays: it was used up, revoked, has expired, or is not "
        "there yet. Ask for a new one."
    )


async def accept_file(kit: Kit, data: bytes) -> str:
    """Accept a self-contained invite; returns the id of the new contact. Raises ChatError."""
    try:
        return await _accept(kit, parse_file(data))
    except InvalidInvite as error:
        raise ChatError(str(error)) from error


async def _accept(kit: Kit, bundle: bytes) -> str:
    now = int(kit.now())

    def work(hands: Hands) -> str:
        people.adopt_relays(hands, bundle)
        hands.effects.scopes = True
        return invites.accept(hands.tx, hands.keys, hands.settings, bundle, now)

    return await kit.change(work)
