"""A folder at an SFTP server as a drop, by asyncssh.

1. Nothing of the person's own SSH set-up is read: no configuration, no agent, no keys in their
   home, no list of known hosts.
2. The server is known by its key, which the person saw before the first login. Another key gets no
   password and no name.
3. A file is written under a hidden name and then renamed in one step.
4. Files bear the beginning of the day as their time, so that it tells little.
"""

from __future__ import annotations

import asyncio
import stat
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import asyncssh

from volok.paths.drop import (
    MOST_LOOKED_AT,
    Drop,
    DropCapabilities,
    DropConfused,
    DropError,
    DropFull,
    DropGone,
    DropRefused,
    FileInfo,
    FileMissing,
    is_drop_name,
    newest,
)
from volok.paths.names import Dialled
from volok.paths.shape import Dial

OWNER_LEARNS = (
    "The owner of this server sees the account, your address, and when encrypted files come and "
    "go; not what is in them or whom they are for. Everybody who uses this folder with you uses it "
    "in their sight."
)
"""What the person is told before this is first used."""

_DAY = 86_400
_VERSION = "OpenSSH_9.2p1"
"""What we call ourselves: the most common client there is."""


class InvalidSftpPlace(ValueError):
    """This cannot be used to log in to an SFTP server."""


class OtherHostKey(DropError):
    """This server shows another key than the first time. Somebody may be in between, so nothing was
    said to it. If its owner changed the key, remove this place and add it again."""


@dataclass(frozen=True, slots=True)
class SftpPlace:
    """A folder at a server, and how to log in."""

    host: str
    port: int
    folder: str
    user: str
    password: str = field(repr=False)
    """Logs in, or opens the key; may be empty with a key."""
    key: str = field(repr=False)
    """A private key in the format of OpenSSH; empty for none."""
    host_key: str
    """The server's public key in the format of OpenSSH."""


@dataclass(frozen=True, slots=True)
class SftpSettings:
    """How an SFTP server is used as a drop. Times are in seconds."""

    period: float = 20.0
    """Between two looks into it."""
    patience: float = 30.0
    """For any call."""
    slowest: float = 8_000.0
    """Bytes in a second: a call that carries much may take longer, at this rate."""


def private_key(text: str, passphrase: str) -> asyncssh.SSHKey:
    """Read a private key. Raises InvalidSftpPlace."""
    try:
        return asyncssh.import_private_key(text, passphrase or None)
    except (asyncssh.KeyEncryptionError, asyncssh.KeyImportError, ValueError) as error:
        said = str(error).lower()
        if "bcrypt" in said:  # without which asyncssh opens no locked key of the newest format
            raise InvalidSftpPlace(
                "This key is locked, and opening it takes the Python package bcrypt. Install that, "
                "or use a key without a passphrase."
            ) from error
        if "passphrase" in said or "decrypt" in said:
            raise InvalidSftpPlace(
                "This key is locked. Give its passphrase with --password-file."
            ) from error
        raise InvalidSftpPlace("This file is no private key of OpenSSH.") from error


def fingerprint(host_key: str) -> str:
    """A public key as people compare it, SHA256:… . Raises InvalidSftpPlace."""
    try:
        return asyncssh.import_public_key(host_key).get_fingerprint()
    except (asyncssh.KeyImportError, ValueError) as error:
        raise InvalidSftpPlace("This is no public key of OpenSSH.") from error


async def ask_host_key(host: str, port: int, dial: Dial, patience: float = 30.0) -> str:
    """The public key that a server shows, in the format of OpenSSH. Nothing is said to it of
    anybody. Raises DropError."""
    async with _stated(patience):
        key = await asyncssh.get_server_host_key(
            sock=await dial(host, port), client_version=_VERSION, config=None
        )
    if key is None:
        raise DropConfused
    return key.export_public_key().decode("ascii").strip()


class SftpDrop(Drop):
    """`Drop` over one folder, which must exist. The connection stays open between calls."""

    def __init__(
        self,
        place: SftpPlace,
        dial: Dial,
        now: Callable[[], float],
        settings: SftpSettings | None = None,
    ) -> None:
        """`dial` makes connections; `now` gives Unix seconds."""
        self._place = place
        self._dial = dial
        self._now = now
        self._settings = settings or SftpSettings()
        self._turn = asyncio.Lock()
        self._connection: asyncssh.SSHClientConnection | None = None
        self._client: asyncssh.SFTPClient | None = None

    @property
    def capabilities(self) -> DropCapabilities:
        return DropCapabilities(latency=self._settings.period, owner_learns=OWNER_LEARNS)

    async def list(self) -> Sequence[FileInfo]:
        files: list[FileInfo] = []
        async with self._call() as client:
            count = 0
            async for entry in client.scandir(self._place.folder or "."):
                count += 1
                if count > MOST_LOOKED_AT:
                    break
                name, facts = entry.filename, entry.attrs
                if isinstance(name, bytes):
                    name = name.decode("utf-8", "replace")
                if is_drop_name(name) and _is_file(facts) and facts.size is not None:
                    files.append(FileInfo(name, facts.size, facts.mtime))
        return newest(files)

    async def get(self, name: str, most: int) -> bytes:
        path = self._path(name)
        async with self._call(most) as client:
            if not _is_file(await client.lstat(path)):  # a link may lead anywhere
                raise FileMissing
            async with client.open(path, "rb") as file:
                data = await file.read(most)
        return data if isinstance(data, bytes) else data.encode()

    async def put(self, name: str, data: bytes) -> None:
        path, unfinished = self._path(name), self._path(f".{name}.part")
        day = int(self._now() // _DAY * _DAY)
        async with self._call(len(data)) as client:
            try:
                async with client.open(unfinished, "wb") as file:
                    await file.write(data)
                with suppress(asyncssh.SFTPError):  # not every server lets times be set
                    await client.utime(unfinished, (day, day))
                await self._rename(client, unfinished, path)
            except BaseException:
                with suppress(asyncssh.Error, OSError):
                    await client.remove(unfinished)
                raise

    async def delete(self, name: str) -> None:
        async with self._call() as client:
            for each in (name, f".{name}.part"):
                with suppress(asyncssh.SFTPNoSuchFile):
                    await client.remove(self._path(each))

    async def close(self) -> None:
        self._hang_up()

    @staticmethod
    async def _rename(client: asyncssh.SFTPClient, old: str, new: str) -> None:
        try:
            await client.posix_rename(old, new)
        except asyncssh.SFTPOpUnsupported:
            # The rename of the protocol itself overwrites nothing.
            with suppress(asyncssh.SFTPNoSuchFile):
                await client.remove(new)
            await client.rename(old, new)

    def _path(self, name: str) -> str:
        folder = self._place.folder
        return f"{folder.rstrip('/')}/{name}" if folder else name

    @asynccontextmanager
    async def _call(self, size: int = 0) -> AsyncGenerator[asyncssh.SFTPClient, None]:
        """The open connection, for one call that carries so many bytes. Raises DropError."""
        patience = self._settings.patience + size / self._settings.slowest
        async with self._turn:
            try:
                async with _stated(patience):
                    yield await self._connected()
            except (DropGone, DropFull, FileMissing):
                raise
            except BaseException:
                self._hang_up()
                raise

    async def _connected(self) -> asyncssh.SFTPClient:
        if self._client is None or self._connection is None or self._connection.is_closed():
            place = self._place
            host_key = asyncssh.import_public_key(place.host_key)
            keys = [private_key(place.key, place.password)] if place.key else None
            sock = await self._dial(place.host, place.port)
            connection = self._connection = await asyncssh.connect(
                sock=sock,
                config=None,
                agent_path=None,
                known_hosts=([host_key], [], []),
                server_host_key_algs=_algorithms(host_key),
                username=place.user,
                password=None if place.key else place.password,
                client_keys=keys,
                client_version=_VERSION,
                gss_host=None,
                preferred_auth="publickey" if place.key else "password,keyboard-interactive",
            )
            if isinstance(sock, Dialled):
                sock.proved()
            self._client = await connection.start_sftp_client()
        return self._client

    def _hang_up(self) -> None:
        connection, self._connection, self._client = self._connection, None, None
        if connection is not None:
            connection.abort()


def _algorithms(key: asyncssh.SSHKey) -> list[str]:
    """The signature algorithms by which a server proves a key of this kind."""
    names = [name.decode("ascii") for name in key.sig_algorithms]
    return [name for name in names if name != "ssh-rsa" and "@" not in name]  # SHA-1; oddities


def _is_file(facts: asyncssh.SFTPAttrs) -> bool:
    if facts.permissions is not None:
        return stat.S_ISREG(facts.permissions) or not stat.S_IFMT(facts.permissions)
    return facts.type == asyncssh.FILEXFER_TYPE_REGULAR


@asynccontextmanager
async def _stated(patience: float) -> AsyncGenerator[None, None]:
    """What is done inside raises nothing but DropError, and ends within so many seconds."""
    try:
        async with asyncio.timeout(patience):
            yield
    except TimeoutError as error:
        raise DropError("The server does not answer in time.") from error
    except asyncssh.HostKeyNotVerifiable as error:
        raise OtherHostKey from error
    except asyncssh.KeyExchangeFailed as error:
        # It has no key of the kind that was pinned, or no method in common with us.
        raise OtherHostKey from error
    except asyncssh.PermissionDenied as error:
        raise DropRefused(
            "The server refuses the user name, the password or the key. Check all of them."
        ) from error
    except (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath) as error:
        raise FileMissing("The folder or file is not there. Check the address.") from error
    except asyncssh.SFTPPermissionDenied as error:
        raise DropRefused("You may not read or write in this folder.") from error
    except (asyncssh.SFTPNoSpaceOnFilesystem, asyncssh.SFTPQuotaExceeded) as error:
        raise DropFull from error
    except (asyncssh.SFTPConnectionLost, asyncssh.SFTPNoConnection) as error:
        raise DropError("The server closed the connection.") from error
    except asyncssh.SFTPError as error:
        raise DropError("The server refuses to do this; its disk may be full.") from error
    except (asyncssh.Error, ValueError, LookupError) as error:  # packets that make no sense too
        raise DropConfused("What answers there is not an SFTP server, or it is broken.") from error
    except OSError as error:
        raise DropError("The server cannot be reached.") from error
