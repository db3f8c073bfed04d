"""A mailbox over IMAP (RFC 3501), by the standard library; every call blocks.

1. TLS is made before anything is said, or right after STARTTLS; a server that offers neither, or
   greets us as logged in already, gets nothing.
2. What is only looked at stays as it is: EXAMINE and BODY.PEEK change no mark. Only mails named by
   their UIDs are deleted, and no others are expunged.
3. A server may send anything: each answer has a bound.
"""

from __future__ import annotations

import contextlib
import imaplib
import re
import socket
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from volok.paths.drop import DropConfused, DropError, DropRefused
from volok.paths.mail_account import MailAccount
from volok.paths.mail_structure import Answer, InvalidAnswer, Node, read_answers

T = TypeVar("T")

LOGIN_REFUSED = (
    "The mail provider refuses the name or the password. Many want a password made for one program "
    "alone: look for “app password” in the settings of the account, and use that one."
)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_SMALL = 4 << 20
"""Bytes of an answer that carries no contents, at most."""
_STATUS = re.compile(rb"\b(MESSAGES|UIDNEXT|UIDVALIDITY) (\d{1,10})\b", re.IGNORECASE)
_FOLDER = re.compile(
    rb'\((?P<flags>[^)]*)\) (?:"(?:[^"\\]|\\.)*"|NIL) (?P<name>"(?:[^"\\]|\\.)*"|\S+)'
)
_STORAGE = re.compile(rb"\bSTORAGE (\d{1,15}) (\d{1,15})\b", re.IGNORECASE)
_INBOX = b"INBOX"
_USUAL = {b"junk": (b"junk", b"spam"), b"sent": (b"sent", b"sent items", b"sent messages")}
"""What folders are called where the server does not tell what they are for (RFC 6154)."""


class ConnectionGone(DropError):
    """The mail server closed the connection."""


class Unreadable(DropConfused):
    """What the mail server says of a mail makes no sense."""


@dataclass(frozen=True, slots=True)
class FolderState:
    """What changes when something comes or goes."""

    messages: int
    next_uid: int
    validity: int
    """Another one means that all UIDs are others."""


class _Wire(imaplib.IMAP4):
    """imaplib over a socket that is connected already, with answers that have an end."""

    def __init__(self, connection: socket.socket, account: MailAccount, tls: ssl.SSLContext):
        self._connection = connection
        self._context = tls
        self._at_once = account.imap.tls_at_once
        self.allowed = _SMALL
        super().__init__(account.imap.host, account.imap.port, connection.gettimeout())

    def open(self, host: str = "", port: int = 143, timeout: float | None = None) -> None:
        self.host, self.port = host, port
        self._use(self._secured() if self._at_once else self._connection)

    def secure(self) -> None:
        """STARTTLS (RFC 3501, section 6.2.1). Raises imaplib.IMAP4.error, OSError."""
        if self.state != "NONAUTH" or "STARTTLS" not in self.capabilities:
            raise DropError("The mail server offers no encrypted connection, so nothing is said.")
        if self.xatom("STARTTLS")[0] != "OK":
            raise DropError("The mail server offers no encrypted connection, so nothing is said.")
        # What came before TLS was made is forgotten: anybody may have said it.
        self._use(self._secured())
        self.untagged_responses.clear()

    def read(self, size: int) -> bytes:
        self._spend(size)
        return self._stream.read(size)

    def readline(self) -> bytes:
        line = self._stream.readline(min(self.allowed, 1_000_000) + 1)
        self._spend(len(line))
        return line

    def send(self, data: Any) -> None:
        self.sock.sendall(data)

    def shutdown(self) -> None:
        with contextlib.suppress(OSError):
            self._stream.close()
        self.sock.close()

    def _spend(self, size: int) -> None:
        self.allowed -= size
        if self.allowed < 0:
            raise self.abort("An answer without end.")

    def _secured(self) -> ssl.SSLSocket:
        return self._context.wrap_socket(self._connection, server_hostname=self.host)

    def _use(self, connection: socket.socket) -> None:
        self.sock = connection
        self._stream = connection.makefile("rb")


class Mailbox:
    """An account that is logged in. Every method raises DropError, and after ConnectionGone it
    is of no use any more."""

    def __init__(self, wire: _Wire) -> None:
        self._wire = wire
        self._selected: tuple[bytes, bool] | None = None
        self._abilities = self._ask_abilities()
        self.incoming, self.sent = self._folders()
        """Folders in which mail arrives, and the one with copies of what was sent, if any."""

    @classmethod
    def open(cls, connection: socket.socket, account: MailAccount, tls: ssl.SSLContext) -> Mailbox:
        """Log in over a connected socket with a timeout, which is closed when that fails. Raises
        DropRefused, DropError."""

        def work() -> Mailbox:
            wire = _Wire(connection, account, tls)
            try:
                if not account.imap.tls_at_once:
                    wire.secure()
                _log_in(wire, account)
                return cls(wire)
            except BaseException:
                wire.shutdown()
                raise

        try:
            return _stated(work)
        finally:
            # The wire has taken it over, unless there was no TLS.
            connection.close()

    def state(self, folder: bytes) -> FolderState:
        """How a folder stands; cheap."""
        found: dict[bytes, int] = {}
        if self._selected is not None:  # some servers tell of a selected folder as it was
            self._ask("NOOP", self._wire.noop)
        for line in self._ask("STATUS", lambda: self._wire.status(_text(folder), _ASKED)):
            if isinstance(line, bytes):
                found |= {name.upper(): int(value) for name, value in _STATUS.findall(line)}
        try:
            return FolderState(found[b"MESSAGES"], found[b"UIDNEXT"], found[b"UIDVALIDITY"])
        except KeyError as error:
            raise DropConfused from error

    def uids(self, folder: bytes, since: datetime) -> list[int]:
        """The mails that came on this day (UTC) or later, oldest first."""
        day = f"{since.day}-{_MONTHS[since.month - 1]}-{since.year}"
        return self._search(folder, "SINCE", day)

    def find(self, folder: bytes, message_id: str) -> list[int]:
        """The mails with this Message-ID."""
        return self._search(folder, "HEADER", "Message-ID", f'"{message_id}"')

    def structures(self, folder: bytes, uids: Sequence[int]) -> dict[int, Node]:
        """The BODYSTRUCTURE of each mail that is there."""
        found: dict[int, Node] = {}
        for items in self._fetch(folder, ",".join(map(str, uids)), "(UID BODYSTRUCTURE)"):
            uid = items.get(b"UID")
            if isinstance(uid, bytes) and uid.isdigit() and len(uid) <= 10:
                found[int(uid)] = items.get(b"BODYSTRUCTURE")
        return found

    def part(self, folder: bytes, uid: int, section: str, most: int) -> bytes | None:
        """The first `most` bytes of a part as it was sent; None when the mail is gone."""
        for items in self._fetch(folder, str(uid), f"(UID BODY.PEEK[{section}]<0.{most}>)", most):
            for name, value in items.items():
                if name.startswith(b"BODY[") and items.get(b"UID") == b"%d" % uid:
                    return value[:most] if isinstance(value, bytes) else b""
        return None

    def remove(self, folder: bytes, validity: int, uids: Sequence[int]) -> None:
        """Delete these mails, and no others; those that are gone are fine."""
        if not uids or self.state(folder).validity != validity:
            return
        self._select(folder, readonly=False)
        these = ",".join(map(str, uids))
        self._ask("STORE", lambda: self._wire.uid("STORE", these, "+FLAGS.SILENT", r"(\Deleted)"))
        if "UIDPLUS" in self._abilities:  # RFC 4315
            self._ask("EXPUNGE", lambda: self._wire.uid("EXPUNGE", these))
        elif set(self._search(folder, "DELETED")) <= set(uids):
            self._ask("EXPUNGE", self._wire.expunge)

    def fullness(self) -> float | None:
        """Which share of the space is used (RFC 9208); None where the server does not tell."""
        if "QUOTA" not in self._abilities:
            return None
        with contextlib.suppress(DropConfused):
            roots = self._ask("GETQUOTAROOT", lambda: self._wire.getquotaroot("INBOX"))
            for line in _flat(roots):
                if found := _STORAGE.search(line):
                    return int(found[1]) / max(1, int(found[2]))
        return None

    def _folders(self) -> tuple[tuple[bytes, ...], bytes | None]:
        by_use: dict[bytes, bytes] = {}
        by_name: dict[bytes, bytes] = {}
        for line in self._ask("LIST", self._wire.list):
            found = _FOLDER.fullmatch(line.strip()) if isinstance(line, bytes) else None
            if found is None:
                continue
            plain = found["name"].strip(b'"').lower()
            by_name[plain] = found["name"]
            for use in _USUAL:
                if b"\\" + use in found["flags"].lower().split():
                    by_use[use] = found["name"]
        for use, names in _USUAL.items():
            for name in names:
                if name in by_name:
                    by_use.setdefault(use, by_name[name])
        junk = by_use.get(b"junk")
        return (_INBOX, junk) if junk else (_INBOX,), by_use.get(b"sent")

    def _search(self, folder: bytes, *criteria: str) -> list[int]:
        if criteria != ("DELETED",):
            self._select(folder, readonly=True)
        answer = self._ask("SEARCH", lambda: self._wire.uid("SEARCH", *criteria))
        words = b" ".join(line for line in answer if isinstance(line, bytes)).split()
        return sorted(int(word) for word in words if word.isdigit() and len(word) <= 10)

    def _fetch(
        self, folder: bytes, uids: str, items: str, most: int = 0
    ) -> list[dict[bytes, Node]]:
        self._select(folder, readonly=True)
        answer = self._ask("FETCH", lambda: self._wire.uid("FETCH", uids, items), most)
        try:
            return read_answers(answer)
        except InvalidAnswer as error:
            raise Unreadable from error

    def _select(self, folder: bytes, *, readonly: bool) -> None:
        if self._selected != (folder, readonly):
            self._selected = None
            self._ask("SELECT", lambda: self._wire.select(_text(folder), readonly))
            self._selected = folder, readonly

    def _ask_abilities(self) -> set[str]:
        words = _flat(self._ask("CAPABILITY", self._wire.capability))
        return set(b" ".join(words).decode("ascii", "replace").upper().split())

    def _ask(
        self, what: str, command: Callable[[], tuple[str, Sequence[Any]]], most: int = 0
    ) -> Sequence[Answer | None]:
        """Make one command, whose answer has no more than `most` bytes of contents."""

        def work() -> Sequence[Answer | None]:
            self._wire.allowed = _SMALL + most
            status, answer = command()
            if status != "OK":
                raise DropError(f"The mail server refuses to answer ({what}).")
            return answer

        return _stated(work)


_ASKED = "(MESSAGES UIDNEXT UIDVALIDITY)"


def _log_in(wire: _Wire, account: MailAccount) -> None:
    # After STARTTLS the server may offer other things than before.
    offered = b" ".join(_flat(wire.capability()[1])).upper().split()
    try:
        if b"AUTH=PLAIN" in offered:  # RFC 4616
            secret = f"\0{account.user}\0{account.password}".encode()
            wire.authenticate("PLAIN", lambda _: secret)
        else:
            _quoted(account.password)
            wire.login(_quoted(account.user), account.password)  # which quotes the second alone
    except (imaplib.IMAP4.abort, OSError):
        raise
    except (imaplib.IMAP4.error, UnicodeError) as error:
        raise DropRefused(LOGIN_REFUSED) from error


def _quoted(text: str) -> str:
    """A quoted string (RFC 3501, section 9). Raises UnicodeError for what cannot be in one."""
    text.encode("ascii")
    if any(ord(each) < 0x20 for each in text):
        raise UnicodeError("A control character.")
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _text(folder: bytes) -> str:
    """A folder's name as the server wrote it (modified UTF-7, RFC 3501, section 5.1.3)."""
    return folder.decode("ascii")


def _flat(answer: Any) -> list[bytes]:
    """All lines in an answer, however imaplib nested them."""
    if isinstance(answer, bytes):
        return [answer]
    if isinstance(answer, list | tuple):
        return [line for each in answer for line in _flat(each)]
    return []


def _stated(work: Callable[[], T]) -> T:
    """Do something with imaplib. Raises nothing but DropError."""
    try:
        return work()
    except DropError:
        raise
    except ssl.SSLCertVerificationError as error:
        raise DropError(
            "The certificate of this mail server is not valid. Somebody may be in between, so "
            "nothing was said to it."
        ) from error
    except ssl.SSLError as error:
        raise DropConfused(
            "What answers there does not speak TLS as a mail server does."
        ) from error
    except TimeoutError as error:
        raise DropError("The mail server does not answer in time.") from error
    except (imaplib.IMAP4.abort, OSError) as error:
        raise ConnectionGone from error
    except Exception as error:
        # imaplib trusts servers: what it raises for nonsense is of many kinds.
        raise DropConfused("What answers there is not a mail server, or is broken.") from error
