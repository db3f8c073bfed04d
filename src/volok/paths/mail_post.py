"""Handing mail to the provider: SMTP submission (RFC 6409) with TLS, by aiosmtplib."""

from __future__ import annotations

import asyncio
import ssl

import aiosmtplib

from volok.paths.drop import DropConfused, DropError, DropRefused, FileReturned
from volok.paths.mail_account import MailAccount
from volok.paths.mail_box import LOGIN_REFUSED
from volok.paths.names import Dialled
from volok.paths.shape import Dial

_OURSELVES = "[127.0.0.1]"
"""What we call ourselves in EHLO: the name of this computer is nobody's business."""
_GREETING = 500
_FULL = (452, 552)


async def post(
    account: MailAccount,
    recipient: str,
    letter: bytes,
    dial: Dial,
    tls: ssl.SSLContext,
    patience: float,
) -> None:
    """Submit one mail, within `patience` seconds.

    Raises FileReturned when it is refused for this recipient or for what it is, DropRefused for a
    wrong login, DropError.
    """
    try:
        async with asyncio.timeout(patience):
            await _submit(account, recipient, letter, dial, tls)
    except TimeoutError as error:
        raise DropError("The mail server does not answer in time.") from error
    except aiosmtplib.SMTPAuthenticationError as error:
        raise DropRefused(LOGIN_REFUSED) from error
    except aiosmtplib.SMTPRecipientsRefused as error:
        codes = {each.code for each in error.recipients}
        raise _refused(next(iter(codes), _GREETING), "this address") from error
    except (aiosmtplib.SMTPSenderRefused, aiosmtplib.SMTPDataError) as error:
        raise _refused(error.code, "a mail to this address") from error
    except aiosmtplib.SMTPNotSupported as error:
        raise DropError(
            "The mail server offers no encrypted connection or no login, so nothing is said."
        ) from error
    except aiosmtplib.SMTPException as error:
        if isinstance(error.__cause__, ssl.SSLCertVerificationError):
            raise _not_valid() from error
        if isinstance(error, aiosmtplib.SMTPResponseException) and error.code >= _GREETING:
            raise DropError("The provider refuses to take mail from here at the moment.") from error
        raise DropError("The mail server cannot be reached, or broke off.") from error
    except ssl.SSLCertVerificationError as error:
        raise _not_valid() from error
    except (OSError, ValueError) as error:
        raise DropError("The mail server cannot be reached, or broke off.") from error


async def _submit(
    account: MailAccount, recipient: str, letter: bytes, dial: Dial, tls: ssl.SSLContext
) -> None:
    connection = await dial(account.smtp.host, account.smtp.port)
    client = aiosmtplib.SMTP(
        hostname=account.smtp.host,
        username=account.user,
        password=account.password,
        local_hostname=_OURSELVES,
        use_tls=account.smtp.tls_at_once,
        start_tls=not account.smtp.tls_at_once,
        tls_context=tls,
        timeout=None,
        sock=connection,
    )
    try:
        await client.connect()
        if isinstance(connection, Dialled):
            connection.proved()
        await client.sendmail(account.address, recipient, letter)
        await client.quit()
    except UnicodeError as error:
        raise DropConfused from error
    finally:
        client.close()  # with the socket, which belongs to its transport


def _refused(code: int, what: str) -> DropError:
    if code in _FULL:
        return FileReturned("The mailbox is full, or the mail too large. It is sent again later.")
    if code < _GREETING:
        return DropError("The mail server puts us off. It is tried again.")
    return FileReturned(f"The provider does not take {what} ({code}). Check the address.")


def _not_valid() -> DropError:
    return DropError(
        "The certificate of this mail server is not valid. Somebody may be in between, so nothing "
        "was said to it."
    )
