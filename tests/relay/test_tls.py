"""A certificate that changes while the relay serves it."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from volok.app.cli.relay_certificate import make_certificate
from volok.relay.errors import RelayError
from volok.relay.tls import Certificates, server_context


def write(folder: Path, name: str) -> tuple[Path, Path]:
    certificate, key = make_certificate(name, datetime.now(UTC))
    paths = folder / "cert.pem", folder / "key.pem"
    for path, data in zip(paths, (certificate, key), strict=True):
        path.write_bytes(data)
    return paths


@contextlib.asynccontextmanager
async def serving(context: ssl.SSLContext):
    async def echo(reader, writer):
        while data := await reader.read(100):
            writer.write(data)
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def connect(port: int):
    anybody = ssl.create_default_context()
    anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=anybody)
    return reader, writer, writer.get_extra_info("ssl_object").getpeercert(binary_form=True)


def der(path: Path) -> bytes:
    return ssl.PEM_cert_to_DER_cert(path.read_text())


async def test_new_connections_get_the_new_certificate_and_old_ones_live(tmp_path: Path) -> None:
    changes: list[float] = []
    certificates = Certificates(*write(tmp_path, "old.example"), lambda: changes.append(1))
    old = der(tmp_path / "cert.pem")
    async with serving(certificates.context) as port:
        reader, writer, shown = await connect(port)
        assert shown == old
        assert not certificates.reload_if_changed()
        watching = asyncio.create_task(certificates.watch(0.01))
        write(tmp_path, "new.example")
        async with asyncio.timeout(10):
            while not changes:
                await asyncio.sleep(0.01)
        _, other, shown = await connect(port)
        assert shown == der(tmp_path / "cert.pem") != old
        writer.write(b"still here")
        assert await reader.read(100) == b"still here"
        watching.cancel()
        writer.close()
        other.close()


async def test_files_that_are_no_good_change_nothing(tmp_path: Path) -> None:
    certificate, key = write(tmp_path, "good.example")
    certificates = Certificates(certificate, key)
    good, good_key = der(certificate), key.read_bytes()
    async with serving(certificates.context) as port:
        other, other_key = make_certificate("other.example", datetime.now(UTC))
        certificate.write_bytes(other)  # the key that belongs to it comes a little later
        assert not certificates.reload_if_changed()
        _, writer, shown = await connect(port)
        assert shown == good
        writer.close()
        for broken in (b"", b"no PEM", good_key):
            key.write_bytes(broken)
            assert not certificates.reload()
        key.unlink()
        assert not certificates.reload()
        key.write_bytes(other_key)
        assert certificates.reload_if_changed()
        _, writer, shown = await connect(port)
        assert shown == der(certificate)
        writer.close()


def test_a_key_under_a_passphrase_is_refused_at_once(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization as s

    certificate, key = write(tmp_path, "x.example")
    loaded = s.load_pem_private_key(key.read_bytes(), None)
    key.write_bytes(
        loaded.private_bytes(
            s.Encoding.PEM, s.PrivateFormat.PKCS8, s.BestAvailableEncryption(b"secret")
        )
    )
    began = time.monotonic()
    with pytest.raises(RelayError, match="without a passphrase"):
        server_context(certificate, key)
    assert time.monotonic() - began < 5
