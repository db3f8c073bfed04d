"""Real servers for the tests of drops on loopback: WebDAV (wsgidav), S3 (moto), SFTP (asyncssh)."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncssh
import boto3
from cheroot.wsgi import Server
from wsgidav.wsgidav_app import WsgiDAVApp

USER, PASSWORD = "ana", "pässword"
BUCKET = "drop-of-friends"


@contextmanager
def webdav_server(folder: Path) -> Iterator[str]:
    """Serves a folder; gives its address."""
    app = WsgiDAVApp(
        {
            "provider_mapping": {"/": str(folder)},
            "simple_dc": {"user_mapping": {"*": {USER: {"password": PASSWORD}}}},
            "http_authenticator": {
                "accept_basic": True,
                "accept_digest": False,
                "default_to_digest": False,
            },
            "verbose": 0,
            "logging": {"enable": False},
            "lock_storage": True,
            "property_manager": None,
        }
    )
    server = Server(("127.0.0.1", 0), app)
    server.prepare()
    thread = threading.Thread(target=server.serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.bind_addr[1]}"
    finally:
        server.stop()
        thread.join(5)


@dataclass(frozen=True)
class S3Service:
    """A service that checks signatures, with one bucket and one account."""

    endpoint: str
    key: str
    secret: str
    client: object
    """boto3, by the account."""


@contextmanager
def s3_service() -> Iterator[S3Service]:
    """Runs moto's server in a process of its own."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [Path(sys.executable).with_name("moto_server"), "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        # Four calls set the account up; from then on every signature is checked.
        env={**os.environ, "INITIAL_NO_AUTH_ACTION_COUNT": "4"},
    )
    try:
        _wait(port)
        endpoint = f"http://127.0.0.1:{port}"

        def client(service: str, key: str = "first", secret: str = "first"):
            return boto3.client(
                service,
                endpoint_url=endpoint,
                region_name="us-east-1",
                aws_access_key_id=key,
                aws_secret_access_key=secret,
            )

        iam = client("iam")
        iam.create_user(UserName=USER)
        made = iam.create_access_key(UserName=USER)["AccessKey"]
        policy = (
            '{"Version":"2012-10-17","Statement":'
            '[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}'
        )
        iam.put_user_policy(UserName=USER, PolicyName="drop", PolicyDocument=policy)
        client("s3").create_bucket(Bucket=BUCKET)
        key, secret = made["AccessKeyId"], made["SecretAccessKey"]
        yield S3Service(endpoint, key, secret, client("s3", key, secret))
    finally:
        process.terminate()
        process.wait(10)


@dataclass(frozen=True)
class SftpService:
    """A server that serves one folder to one account."""

    port: int
    host_key: str
    """In the format of OpenSSH."""
    user_key: str
    """A private key that it lets in, besides the password."""
    seen: list[str]
    """What clients called themselves, and the users that asked to be let in."""

    @property
    def url(self) -> str:
        """The address of the folder `shared` in what it serves."""
        return f"sftp://{USER}@127.0.0.1:{self.port}/shared"


@asynccontextmanager
async def sftp_server(folder: Path, algorithm: str = "ssh-ed25519") -> AsyncIterator[SftpService]:
    """Serves a folder, in this process."""
    host, user = (asyncssh.generate_private_key(each) for each in (algorithm, "ssh-ed25519"))
    allowed = asyncssh.import_authorized_keys(user.export_public_key().decode())
    seen: list[str] = []

    class Account(asyncssh.SSHServer):
        def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
            self._connection = conn

        def begin_auth(self, username: str) -> bool:
            seen.append(str(self._connection.get_extra_info("client_version")))
            seen.append(username)
            self._connection.set_authorized_keys(allowed)
            return True

        def password_auth_supported(self) -> bool:
            return True

        def validate_password(self, username: str, password: str) -> bool:
            return (username, password) == (USER, PASSWORD)

    server = await asyncssh.create_server(
        Account,
        "127.0.0.1",
        0,
        server_host_keys=[host],
        sftp_factory=lambda channel: asyncssh.SFTPServer(channel, chroot=str(folder).encode()),
    )
    try:
        yield SftpService(
            server.get_port(),
            host.export_public_key().decode().strip(),
            user.export_private_key().decode(),
            seen,
        )
    finally:
        server.close()
        await server.wait_closed()


@contextmanager
def sftp_in_a_thread(folder: Path) -> Iterator[SftpService]:
    """The same for tests that have no event loop."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    server = sftp_server(folder)

    def run(work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result(10)

    try:
        yield run(server.__aenter__())
        run(server.__aexit__(None, None, None))
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)


def _wait(port: int) -> None:
    end = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)
