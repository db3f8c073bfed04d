"""`volok relay` with TLS, and the address it has for people."""

from __future__ import annotations

import ssl
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from tests.app.conftest import Process
from typer.testing import CliRunner

from volok.app.cli import app
from volok.model.urls import normalise_relay_url
from volok.relay.errors import RelayError


def relay(*arguments: str) -> str:
    """What a command of the relay prints; its errors are raised."""
    result = CliRunner().invoke(app, ["relay", *arguments], catch_exceptions=True)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.output


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
