"""The kinds of ways that can be added on the page for paths, one row each. Pure.

To offer another kind, add a row here and a case in `volok.app.ways.Ways.add`. Texts are English and
are translated where they are shown.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


def _(text: str) -> str:
    """Marks a text for the catalogues."""
    return text


@dataclass(frozen=True, slots=True)
class Field:
    """Something to fill in."""

    name: str
    label: str
    type: Literal["text", "password", "checkbox", "lines"] = "text"
    example: str = ""
    required: bool = True
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Offer:
    """A kind of way."""

    kind: str
    icon: str
    label: str
    about: str
    fields: tuple[Field, ...] = ()


_ONLY = Field("only", _("Reach my relays in no other way"), "checkbox", required=False)
_USER = Field("user", _("User name"))
_PASSWORD = Field("password", _("Password"), "password")

OFFERS: tuple[Offer, ...] = (
    Offer(
        "folder",
        "carry",
        _("A folder or a USB stick"),
        _("Where a contact can look as well: a shared folder, a stick that goes to and fro."),
        (Field("where", _("Folder on this computer"), example="/media/stick"),),
    ),
    Offer(
        "webdav",
        "upload",
        _("A cloud folder (WebDAV)"),
        _("A folder in an account that a contact uses as well."),
        (Field("where", _("Address"), example="https://cloud.example/shared"), _USER, _PASSWORD),
    ),
    Offer(
        "s3",
        "backup",
        _("A bucket (S3)"),
        _("Storage that is rented by the gigabyte."),
        (
            Field("endpoint", _("Address of the service"), example="https://s3.example"),
            Field("where", _("Bucket and folder in it"), example="letters/friends"),
            Field("user", _("Access key")),
            Field("password", _("Secret key"), "password"),
        ),
    ),
    Offer(
        "sftp",
        "upload",
        _("A folder on a server (SFTP)"),
        _("A folder in an account on a server that a contact uses as well."),
        (
            Field("where", _("Address"), example="sftp://ana@host.example/shared"),
            _PASSWORD,
            Field(
                "fingerprint",
                _("Fingerprint of the server's key"),
                example="SHA256:…",
                required=False,
                hint=_("Leave it empty to be shown the one that the server has now."),
            ),
        ),
    ),
    Offer(
        "mail",
        "invite",
        _("An e-mail account"),
        _("Messages travel as attachments of ordinary mail between accounts."),
        (
            Field("where", _("Your mail address"), example="ana@mail.example"),
            Field(
                "password",
                _("Password"),
                "password",
                hint=_("Many providers want an app password."),
            ),
            Field(
                "contacts",
                _("Contacts and their mail addresses, one in a line"),
                "lines",
                required=False,
                hint=_("Boris = boris@post.example"),
            ),
            Field(
                "imap",
                _("IMAP server"),
                example="imap.mail.example:993",
                required=False,
                hint=_("Empty: imap. and the domain of your address."),
            ),
            Field(
                "smtp",
                _("Server for sending"),
                example="smtp.mail.example:465",
                required=False,
                hint=_("Empty: smtp. and the domain of your address."),
            ),
        ),
    ),
    Offer(
        "tor",
        "shield",
        _("Tor"),
        _("Hides from your provider which relays you use, and from the relays where you are."),
        (
            Field(
                "bridges",
                _("Bridges, one in a line"),
                "lines",
                required=False,
                hint=_("Only where Tor itself is blocked."),
            ),
            _ONLY,
        ),
    ),
    Offer(
        "proxy",
        "relay",
        _("A proxy"),
        _("SOCKS5 or HTTP CONNECT, run by somebody you trust."),
        (Field("where", _("Address"), example="socks5://127.0.0.1:1080"), _ONLY),
    ),
    Offer(
        "lan",
        "person",
        _("The local network"),
        _("Contacts who are in the same network get messages directly, without the internet."),
        (
            Field(
                "carry",
                _("Also carry sealed messages for others"),
                "checkbox",
                required=False,
            ),
        ),
    ),
)
"""In the order in which they are shown; those that the node does not have are left out."""
