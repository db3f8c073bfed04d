"""What the command line, the control channel and bots see: views as plain JSON-able objects.

Field names are part of the contract of `--json`; ids are hexadecimal, times Unix milliseconds.
"""

from __future__ import annotations

from typing import Any

from volok.app.path_views import PathView
from volok.chat.views import Contact, FileView, InviteView, Message

Json = dict[str, Any]
"""One JSON object."""


def file_shape(file: FileView) -> Json:
    """A file of a message."""
    return {
        "id": file.id,
        "name": file.name,
        "kind": file.kind.value,
        "media_type": file.media_type,
        "size": file.size,
        "state": file.state.value,
        "progress": round(file.progress, 3),
    }


def message_shape(message: Message, name: str) -> Json:
    """A message of the conversation with the contact called `name`."""
    return {
        "id": message.id,
        "contact": name,
        "contact_id": message.contact,
        "from": "me" if message.mine else name,
        "text": message.text,
        "sent_at": message.sent_at,
        "state": message.state.value,
        "files": [file_shape(file) for file in message.files],
        "reply_to": message.quote.id if message.quote else None,
        "reactions": [
            {"emoji": reaction.emoji, "from": "me" if reaction.mine else name}
            for reaction in message.reactions
        ],
        "edited": message.edited,
        "deleted": message.deleted,
        "view_once": message.view_once,
        "expires_at": message.expires_at,
        "notice": message.notice,
        "problem": message.problem,
    }


def contact_shape(contact: Contact) -> Json:
    """A contact."""
    return {
        "id": contact.id,
        "name": contact.name,
        "state": contact.state.value,
        "verified": contact.verified,
        "unread": contact.unread,
        "waiting": contact.waiting,
        "muted": contact.muted,
        "pinned": contact.pinned,
        "timer": contact.timer,
    }


def invite_shape(invite: InviteView) -> Json:
    """An invite of ours."""
    return {
        "link": invite.link,
        "id": invite.id,
        "expires_at": invite.expires_at,
        "multiple": invite.multiple,
    }


def path_shape(path: PathView, used: bool) -> Json:
    """A way to relays; `used`: whether it carries something now."""
    return {
        "name": path.name,
        "about": path.about,
        "observer_learns": path.observer_learns,
        "relays": list(path.relays),
        "only": path.only,
        "removable": path.removable,
        "used": used,
    }
