"""`volok relay` with TLS, and the address it has for people."""

from __future__ import annotations

import signal
import ssl
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.app.cli.relay_command import relay
from tests.app.conftest import Process

from volok.app.cli.relay_certificate import make_certificate
from volok.model.relay_link import split_fragment
from volok.model.urls import normalise_relay_url
from volok.relay.errors import RelayError


def test_the_address_of_a_relay_with_tls(tmp_path: Path) -> None:
    data, website = tmp_path / "data", tmp_path / "website"
    website.mkdir()
    (website / "index.html").write_text("<p>Bakery</p>")
    process = Process(
        ("relay", "--tls", "--port", "0", "--data", str(data), "--json", "--cover", str(website))
    ).start()
    try:
        url, port = process.first["url"], process.first["port"]
        assert normalise_relay_url(url) == url
        secret, _, pin = url.rpartition("/")[2].partition("#")
        assert (len(secret), len(pin)) == (22, 22)
        anybody = ssl.create_default_context()
        anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE
        with urllib.request.urlopen(f"https://127.0.0.1:{port}/", context=anybody) as page:
            assert page.read() == b"<p>Bakery</p>"
            assert page.headers["Server"] is None
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"https://127.0.0.1:{port}/{secret}x", context=anybody)
    finally:
        process.stop()
    assert relay("link", "--data", str(data)).strip() == url
    named = relay("link", "--data", str(data), "--host", "relay.example", "--port", "443")
    assert named.strip() == f"wss://relay.example/{secret}#{pin}"
    assert f'"url": "wss://relay.example:{port}/{secret}#{pin}&sni=cover.example"' in relay(
        "link", "--data", str(data), "--host", "relay.example", "--sni", "cover.example", "--json"
    )
    for name in ("secret-path", "tls-key.pem", "link.json"):
        assert (data / name).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("--cert", "x.pem"), "--key"),
        (("--cert", "x.pem", "--key", "y.pem"), "PEM"),
        (("--cover", "."), "--secret-path"),
        (("--secret-path", "short"), "16 to 64"),
        (("link",), "Start it once"),
        (("--transport", "obfs4"), "--tls"),
        (("--tls", "--transport", "not a name"), "NAME:PORT"),
        (("--tls", "--transport", "obfs4:70000"), "NAME:PORT"),
        (("--tls", "--port", "0", "--transport", "obfs4=/nonexistent"), "is not there"),
        (("--tls", "--port", "0", "--transport", "nothing"), "Say which program"),
        (("--tls", "--port", "0", "--transport", "obfs4=/bin/false"), "ended at once"),
        (("--tls", "--transport", "obfs4", "--transport-option", "x"), "NAME:KEY=VALUE"),
        (("--onion", "--tor-control", "127.0.0.1:1"), "control port"),
    ],
)
def test_wishes_that_cannot_be_granted(
    arguments: tuple[str, ...], word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RelayError, match=word):
        relay(*arguments)


def test_a_new_certificate_is_served_after_sighup_and_its_pin_is_in_the_link(
    tmp_path: Path,
) -> None:
    data, files = tmp_path / "data", (tmp_path / "cert.pem", tmp_path / "key.pem")

    def renew() -> bytes:
        certificate, key = make_certificate("relay.example", datetime.now(UTC))
        for path, content in zip(files, (certificate, key), strict=True):
            path.write_bytes(content)
        return ssl.PEM_cert_to_DER_cert(certificate.decode())

    first = renew()
    arguments = ("--cert", str(files[0]), "--key", str(files[1]), "--data", str(data))
    process = Process(("relay", "--port", "0", "--json", *arguments)).start()
    try:
        address = ("127.0.0.1", process.first["port"])
        assert served(address) == first
        before = relay("link", "--data", str(data))
        second = renew()
        assert process.popen is not None
        process.popen.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + 8  # the files are looked at after ten seconds anyway
        while served(address) != second:
            assert time.monotonic() < deadline
        after = relay("link", "--data", str(data))
        (place, old), (same, new) = (split_fragment(link.strip()) for link in (before, after))
        assert place == same
        assert old is not None
        assert new is not None
        assert (old.accepts(first), old.accepts(second)) == (True, False)
        assert (new.accepts(first), new.accepts(second)) == (False, True)
    finally:
        process.stop()


def served(address: tuple[str, int]) -> bytes:
    """The certificate that a relay shows."""
    return ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate(address))
