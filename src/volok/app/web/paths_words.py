"""Sentences about ways that come from elsewhere, so that the catalogues hold them. Pure.

Each stands word for word where it is made; `tests/app/web/test_paths.py` compares them.
"""

from __future__ import annotations


def _(text: str) -> str:
    """Marks a text for the catalogues."""
    return text


KNOWN: tuple[str, ...] = (
    _(
        "The owner of this server sees the account, your address, and when encrypted files "
        "come and go; not what is in them or whom they are for. Everybody who uses this "
        "folder with you uses it in their sight."
    ),
    _(
        "The owner of this service sees the account, your address, and when encrypted files"
        " come and go; not what is in them or whom they are for. Everybody who uses this "
        "bucket with you uses it in their sight."
    ),
    _(
        "Your mail provider, and that of the person you write to, see both addresses, and "
        "when mails with an encrypted file go between you and how large they are; not what "
        "is in them. Whoever runs or watches such a provider can tell that you two are in "
        "touch."
    ),
    _(
        "The proxy's owner sees your address, which relays you use, and when; the relays "
        "see the proxy's address."
    ),
    _(
        "Your provider sees that you use Tor; the relays see neither your address nor which"
        " connections are yours."
    ),
    _(
        "Whoever runs this network, or listens in it, can see that your computer offers and"
        " visits websites under random names, and when it exchanges how much with which "
        "other computer here; not who you are, and nothing of what is exchanged."
    ),
    _("the local network: contacts who are in it, too"),
    _(
        "Whoever can look into this folder sees that encrypted files lie there, how large "
        "they are and when they come and go."
    ),
    _("Your provider sees which relays you use, and they see your address."),
    _("straight to the relay"),
    _("straight, the greeting cut in two records"),
    _("straight, the greeting cut in two records and two packets"),
    _("straight, naming nobody, the greeting cut"),
    _("The folder is not there at the moment. Plug in the stick, or check the address."),
    _("The owner of this drop does not let you in. Check the user name, password and permissions."),
    _("There is no space left in this drop. Nothing was lost; what waits goes there later."),
    _("What answers at this address is not the kind of place that was named."),
    _("This drop cannot be used at the moment."),
    _("This is no place that can be used. Check the address."),
    _("This place is in use already."),
    _("By http everybody on the way could read the password. Use an address with https."),
    _("You have this path already."),
    _("This is not the address of a proxy: one reads socks5://HOST:PORT or http://HOST:PORT."),
    _("The relay cannot show that it is the one you mean: its certificate is not valid."),
    _("Nothing answers at this relay's address."),
    _("The relay does not answer in time."),
    _("What answers at this address does not behave like a relay."),
    _("The relay cannot be reached."),
    _("The connection stopped carrying anything."),
    _("Tor, the one that runs here or one of its own"),
    _("through the transport, to relays whose address names it"),
    _("No path that you have leads to this relay."),
    _("The proxy does not take us there."),
    _("It does not answer in time."),
    _("Something went wrong while it was tried."),
    _("There is no relay to try it with."),
    _("The address begins with https://."),
    _("The doctor could not finish. Try again."),
)
"""Known sentences; any other one is shown in English."""
