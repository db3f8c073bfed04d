"""Folders by SFTP, at a real server in this process."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import replace
from pathlib import Path

import asyncssh
import pytest
from tests.paths.drop_servers import PASSWORD, USER, SftpService, sftp_server

from volok.paths.drop import (
    DropConfused,
    DropError,
    DropGone,
    DropRefused,
    FileMissing,
    drop_name,
)
from volok.paths.names import Names
from volok.paths.sftp import (
    InvalidSftpPlace,
    OtherHostKey,
    SftpDrop,
    SftpPlace,
    SftpSettings,
    ask_host_key,
    fingerprint,
    private_key,
)

NAME = drop_name(bytes(range(16)))
DIAL = Names().dial


def place(server: SftpService, **changed: str) -> SftpPlace:
    """The folder `shared`, by the password."""
    known = SftpPlace("127.0.0.1", server.port, "/shared", USER, PASSWORD, "", server.host_key)
    return replace(known, **changed)


def drop(at: SftpPlace, **settings: float) -> SftpDrop:
    """A drop there."""
    return SftpDrop(at, DIAL, time.time, SftpSettings(**settings))


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """What the server has."""
    folder = tmp_path / "shared"
    folder.mkdir()
    return folder


async def test_a_key_lets_in_too(shared: Path) -> None:
    async with sftp_server(shared.parent) as server:
        one = drop(place(server, password="", key=server.user_key))
        await one.put(NAME, b"by key")
        assert (shared / NAME).read_bytes() == b"by key"
        assert await one.get(NAME, 100) == b"by key"
        await one.close()


async def test_a_locked_key_is_opened_by_its_passphrase(shared: Path) -> None:
    async with sftp_server(shared.parent) as server:
        key = asyncssh.import_private_key(server.user_key)
        locked = key.export_private_key("pkcs8-pem", passphrase="open it").decode()
        one = drop(place(server, password="open it", key=locked))
        assert await one.list() == []
        await one.close()
        with pytest.raises(InvalidSftpPlace, match="locked"):
            private_key(locked, "")
        with pytest.raises(InvalidSftpPlace, match="no private key"):
            private_key("hello", "")


@pytest.mark.parametrize("algorithm", ["ssh-ed25519", "ecdsa-sha2-nistp256", "ssh-rsa"])
async def test_the_key_of_a_server_is_seen_before_anything_is_said(
    shared: Path, algorithm: str
) -> None:
    async with sftp_server(shared.parent, algorithm) as server:
        shown = await ask_host_key("127.0.0.1", server.port, DIAL)
        assert shown.split()[:2] == server.host_key.split()[:2]
        assert fingerprint(shown).startswith("SHA256:")
        assert server.seen == []
        one = drop(place(server, host_key=shown))
        assert await one.list() == []
        await one.close()
        assert server.seen == ["SSH-2.0-OpenSSH_9.2p1", USER]


@pytest.mark.parametrize("algorithm", ["ssh-ed25519", "ssh-rsa"])
async def test_another_key_gets_no_password(shared: Path, algorithm: str) -> None:
    other = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode()
    async with sftp_server(shared.parent, algorithm) as server:
        one = drop(place(server, host_key=other))
        with pytest.raises(OtherHostKey):
            await one.list()
        await one.close()
        assert server.seen == []


async def test_nothing_of_the_persons_own_set_up_is_read(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home" / ".ssh"
    home.mkdir(parents=True)
    async with sftp_server(shared.parent) as server:
        (home / "id_ed25519").write_text(server.user_key)
        (home / "config").write_text("Host *\n  User somebody\n")
        monkeypatch.setenv("HOME", str(home.parent))
        one = drop(place(server, password="wrong"))
        with pytest.raises(DropRefused, match="refuses the user name"):
            await one.list()
        await one.close()
        assert set(server.seen[1::2]) == {USER}


async def test_a_folder_that_is_not_there(shared: Path) -> None:
    async with sftp_server(shared.parent) as server:
        one = drop(place(server, folder="/nowhere"))
        with pytest.raises(DropError, match="not there"):
            await one.list()
        with pytest.raises(DropError, match="not there"):
            await one.put(NAME, b"x")
        await one.close()


async def test_what_is_no_file_of_ours_is_left_alone(shared: Path) -> None:
    async with sftp_server(shared.parent) as server:
        (shared / "notes.txt").write_text("hello")
        (shared / drop_name(b"\1" * 16)).mkdir()
        (shared / drop_name(b"\2" * 16)).symlink_to("/etc/passwd")
        one = drop(place(server))
        assert await one.list() == []
        with pytest.raises(FileMissing):
            await one.get(drop_name(b"\2" * 16), 100)
        await one.put(NAME, b"x" * 100_000)
        assert not [path for path in shared.iterdir() if path.name.startswith(".")]
        assert (shared / NAME).stat().st_mtime % 86_400 == 0
        await one.close()


async def test_the_connection_is_kept_and_made_anew_when_it_broke(shared: Path) -> None:
    async with sftp_server(shared.parent) as server:
        one = drop(place(server))
        await one.put(NAME, b"x")
        assert len(await one.list()) == 1
        assert server.seen.count(USER) == 1
        assert one._connection is not None
        one._connection.abort()
        await one._connection.wait_closed()
        assert len(await one.list()) == 1
        assert server.seen.count(USER) == 2
        await one.close()


async def test_a_server_that_cannot_be_written_to(shared: Path) -> None:
    if os.geteuid() == 0:
        # Root may write anywhere: a folder in place of the file does as well.
        (shared / NAME).mkdir()
        (shared / NAME / "full").touch()
    else:
        shared.chmod(0o500)
    async with sftp_server(shared.parent) as server:
        one = drop(place(server))
        with pytest.raises(DropError):
            await one.put(NAME, b"x")
        await one.close()
    assert not [path for path in shared.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 400 Bad\r\n\r\n", b"SSH-2.0-x\r\n" + bytes(5000)])
async def test_what_is_no_sftp_server_is_given_up(said: bytes) -> None:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(said)
        if said:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        key = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode()
        port = server.sockets[0].getsockname()[1]
        one = drop(SftpPlace("127.0.0.1", port, "/", USER, PASSWORD, "", key), patience=0.5)
        with pytest.raises(DropError) as caught:
            await one.list()
        assert str(caught.value) or isinstance(caught.value, DropConfused | DropGone)
        await one.close()
        with pytest.raises(DropError):
            await ask_host_key("127.0.0.1", port, DIAL, 0.5)
