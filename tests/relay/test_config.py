"""The configuration file: what it says, what it refuses, and that the default one is complete."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volok.relay.config import default_config, parse_config, read_config
from volok.relay.described import described
from volok.relay.errors import RelayError
from volok.relay.serve_settings import ServeSettings
from volok.relay.settings import RelaySettings


def test_the_default_file_changes_nothing_and_names_everything() -> None:
    text = default_config()
    silent = parse_config(text)
    assert (silent.serve, silent.relay) == ({}, {})
    spoken = parse_config(re.sub(r"(?m)^#([a-z_0-9]+ = (?!  #))", r"\1", text))
    assert ServeSettings(**spoken.serve) == ServeSettings()
    assert RelaySettings(**spoken.relay) == RelaySettings()
    named = set(re.findall(r"(?m)^#([a-z_0-9]+) = ", text))
    own = {"secret_path", "forwarded_addresses"}
    fields = {
        one.name for kind in (ServeSettings, RelaySettings) for one in dataclasses.fields(kind)
    }
    assert fields - own <= named <= fields


@pytest.mark.parametrize("kind", [ServeSettings, RelaySettings])
def test_every_setting_says_what_it_means(kind: type) -> None:
    assert all(one.meaning.endswith((".", ".)")) for one in described(kind))


def test_values_of_every_type() -> None:
    config = parse_config(
        '[serve]\nport = 443\ndata = "/srv/relay"\ntls = true\ntransport = ["obfs4:1"]\n'
        '[relay]\nname = "Жар-птица"\nping_seconds = 5\ncreated_at_past = 60\n'
        'public_urls = ["wss://relay.example"]\n'
    )
    serve, relay = ServeSettings(**config.serve), RelaySettings(**config.relay)
    assert (serve.port, serve.data, serve.tls) == (443, Path("/srv/relay"), True)
    assert serve.transport == ("obfs4:1",)
    assert (relay.name, relay.ping_seconds, relay.created_at_past) == ("Жар-птица", 5.0, 60)
    assert relay.public_urls == ("wss://relay.example",)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[relay]\nmax_limits = 3", "Did you mean max_limit?"),
        ("[serve]\nhots = 'x'", "Did you mean host?"),
        ("[relais]\nname = 'x'", r"Did you mean \[relay\]?"),
        ("[relay]\nqqqq = 1", "unknown setting: qqqq in .relay.\\.$"),
        ("[relay]\nsecret_path = 'abcdefghijklmnop'", "unknown setting"),
        ("port = 1", "unknown setting"),
        ("relay = 1", "has to be a section"),
        ("[serve]\nport = 'x'", "a whole number"),
        ("[serve]\nport = true", "a whole number"),
        ("[serve]\ntls = 1", "true or false"),
        ("[serve]\ndata = 1", "the path of a file or folder"),
        ("[serve]\ntransport = 'obfs4'", "a list, each item a text"),
        ("[relay]\npublic_urls = [1]", "a list, each item a text"),
        ("[relay]\nping_seconds = 'x'", "a number"),
        ("[serve", "not TOML"),
    ],
)
def test_what_is_wrong_is_said(text: str, said: str) -> None:
    with pytest.raises(RelayError, match=said):
        parse_config(text)


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        config = parse_config(text)
    except RelayError:
        return
    assert not set(config.serve) - {one.name for one in dataclasses.fields(ServeSettings)}


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(RelayError, match="volok relay config"):
        read_config(tmp_path / "none.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(RelayError, match=r"bytes\.toml"):
        read_config(tmp_path / "bytes.toml")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"port": 70_000}, "between 0 and 65535"),
        ({"metrics_port": -1}, "between 0 and 65535"),
        ({"wait": -1.0}, "negative"),
        ({"cert": Path("x")}, "--key"),
        ({"behind_proxy": True, "tls": True}, "the proxy does"),
    ],
)
def test_settings_that_cannot_be(changes: dict[str, object], said: str) -> None:
    with pytest.raises(RelayError, match=said):
        ServeSettings(**changes)  # type: ignore[arg-type]
