"""Real servers for the tests of drops: WebDAV (wsgidav) and S3 (moto), each on loopback."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

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
