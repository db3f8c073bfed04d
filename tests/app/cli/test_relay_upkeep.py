"""`volok relay config`, `import`, `export`, and a folder that is encrypted."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import time
from pathlib import Path

import apsw
import httpx
import pytest
import websockets
from tests.app.cli.relay_command import relay
from tests.app.conftest import Process
from tests.relay.conftest import Person
from typer.testing import CliRunner

from volok.app.cli import app
from volok.app.cli.relay_start import wishes
from volok.native import NativeCrypto
from volok.relay.config import RelayConfig, parse_config
from volok.relay.errors import RelayError
from volok.relay.folder import unlocked

PERSON = Person(b"\x07" * 32)
LONG_AGO = 1_700_000_000
PASSPHRASE = "сорок тысяч обезьян"


def lines(count: int) -> str:
    events = [PERSON.event(1, f"word-{number}", at=LONG_AGO) for number in range(count)]
    return "".join(event.to_json().decode() + "\n" for event in events)


def test_the_default_configuration_starts_a_relay(tmp_path: Path) -> None:
    file = tmp_path / "relay.toml"
    text = relay("config").replace("#port = 7777", "port = 0")
    file.write_text(text.replace('#data = "volok-relay"', f'data = "{tmp_path / "data"}"'))
    process = Process(("relay", "--config", str(file), "--json")).start()
    try:
        assert process.first["port"] not in (0, 7777)
        assert (tmp_path / "data/events.db").is_file()
    finally:
        process.stop()


def test_options_win_over_the_file_and_the_file_over_the_defaults() -> None:
    config = parse_config('[serve]\nport = 1\nhost = "::1"\n[relay]\nname = "x"\nmax_limit = 7\n')
    found = wishes(config, {"port": 2, "url": ("wss://relay.example",)})
    assert (found.serve.port, found.serve.host, found.serve.tls) == (2, "::1", False)
    assert (found.relay.name, found.relay.max_limit) == ("x", 7)
    assert found.relay.public_urls == ("wss://relay.example",)


def test_behind_a_proxy_only_its_names_are_answered() -> None:
    found = wishes(RelayConfig({}, {}), {"behind_proxy": True, "url": ("wss://relay.example/x",)})
    assert found.relay.hosts == ("relay.example",)
    assert found.relay.forwarded_addresses
    with pytest.raises(RelayError, match="--url"):
        wishes(RelayConfig({}, {}), {"behind_proxy": True})


def test_a_relay_behind_a_proxy(tmp_path: Path) -> None:
    url = ("--behind-proxy", "--url", "wss://relay.example")
    process = Process(("relay", "--port", "0", "--data", str(tmp_path), "--json", *url)).start()
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{process.first['port']}") as http:
            accept = {"Accept": "application/nostr+json"}
            known = http.get("/", headers={"Host": "relay.example", **accept})
            assert known.json()["name"]
            assert http.get("/", headers=accept).status_code == 403
    finally:
        process.stop()


def test_import_and_export_are_inverse(tmp_path: Path) -> None:
    data, file = str(tmp_path / "data"), tmp_path / "events.jsonl"
    text = lines(30)
    forged = json.dumps(json.loads(text.splitlines()[0]) | {"content": "forged"})
    file.write_text(text + "no JSON\n" + forged + "\n" + text.splitlines()[0] + "\n")
    report = json.loads(relay("import", str(file), "--data", data, "--json"))
    assert report == {
        "added": 30,
        "duplicate": 1,
        "superseded": 0,
        "deleted": 0,
        "expired": 0,
        "malformed": 1,
        "forged": 1,
        "not_kept": 0,
        "lines": 33,
    }
    assert relay("export", "--data", data) == text
    other = str(tmp_path / "other")
    assert "30 of 30" in relay("import", "--data", other, typed=text)
    assert relay("export", "--data", other) == text


def test_what_lies_in_a_folder(tmp_path: Path) -> None:
    data, text = str(tmp_path), lines(40)
    relay("import", "--data", data, typed=text)
    counts = json.loads(relay("stats", "--data", data, "--json"))
    assert (counts["events"], counts["regular"], counts["sealed"]) == (40, 40, 0)
    assert counts["oldest"] == counts["newest"] == LONG_AGO
    assert "from 2023-11-14 to 2023-11-14" in relay("stats", "--data", data)
    sound = json.loads(relay("verify", "--data", data, "--json"))
    assert sound == {"sound": True, "events": 40, "searched": 0, "problems": {}, "told": []}
    assert "all sound" in relay("verify", "--data", data)
    with apsw.Connection(str(tmp_path / "events.db")) as connection:
        connection.execute("DELETE FROM timeline WHERE number IN (3, 4)")
    connection.close()
    result = CliRunner().invoke(app, ["relay", "verify", "--data", data, "--json"])
    broken = json.loads(result.stdout)
    assert (result.exit_code, broken["sound"]) == (1, False)
    assert sum(broken["problems"].values()) >= 2
    assert PERSON.pubkey not in result.stdout


def test_the_file_is_made_small_and_loses_nothing(tmp_path: Path) -> None:
    data, text = str(tmp_path), lines(400)
    relay("import", "--data", data, typed=text)
    sizes = json.loads(relay("compact", "--data", data, "--json"))
    assert 0 < sizes["bytes_after"] <= sizes["bytes_before"]
    assert relay("export", "--data", data) == text
    assert json.loads(relay("verify", "--data", data, "--json"))["sound"]


def test_what_cannot_be_done_is_said(tmp_path: Path) -> None:
    for command in ("export", "stats", "verify", "compact"):
        with pytest.raises(RelayError, match="no relay's data"):
            relay(command, "--data", str(tmp_path))
    with pytest.raises(RelayError, match=r"none\.jsonl"):
        relay("import", str(tmp_path / "none.jsonl"), "--data", str(tmp_path))
    process = Process(("relay", "--port", "0", "--data", str(tmp_path / "data"), "--json")).start()
    try:
        for command in ("import", "compact"):
            with pytest.raises(RelayError, match="Stop it"):
                relay(command, "--data", str(tmp_path / "data"), typed=lines(1))
        for command in ("export", "stats", "verify"):
            relay(command, "--data", str(tmp_path / "data"))
    finally:
        process.stop()


async def _publish(url: str, text: str) -> None:
    async with websockets.connect(url) as client:
        await client.recv()
        await client.send(f'["EVENT",{text.strip()}]')
        assert json.loads(await client.recv())[2] is True


def test_an_encrypted_folder_says_nothing_and_opens_with_its_passphrase(tmp_path: Path) -> None:
    data, secret, text = tmp_path / "data", tmp_path / "passphrase", lines(1)
    secret.write_text(PASSPHRASE + "\n")
    before = ("--passphrase-file", str(secret))
    start = (*before, "relay", "--port", "0", "--data", str(data), "--json")
    process = Process((*start, "--encrypt")).start()
    try:
        asyncio.run(_publish(process.first["url"], text))
    finally:
        process.stop()
    found = b"".join(path.read_bytes() for path in data.rglob("*") if path.is_file())
    for hidden in ("word-0", PERSON.pubkey, PASSPHRASE):
        assert hidden.encode() not in found
    assert bytes.fromhex(PERSON.pubkey) not in found
    assert relay("export", "--data", str(data), before=before) == text
    secret.write_text("another\n")
    for arguments in (("export",), ("import",), ("--port", "0")):
        with pytest.raises(RelayError, match="passphrase is wrong"):
            relay(*arguments, "--data", str(data), typed="", before=before)
    secret.write_text(PASSPHRASE + "\n")
    process = Process(start).start()  # --encrypt is remembered by the folder
    process.stop()


def test_a_folder_with_data_is_not_encrypted_later(tmp_path: Path) -> None:
    relay("import", "--data", str(tmp_path), typed=lines(1))
    secret = tmp_path / "passphrase"
    secret.write_text("x")
    with pytest.raises(RelayError, match="empty folder"):
        relay(
            *("--encrypt", "--port", "0", "--data", str(tmp_path)),
            before=("--passphrase-file", str(secret)),
        )


async def _upload(url: str, data: bytes) -> int:
    name = hashlib.sha256(data).hexdigest()
    now = int(time.time())
    tags = [["t", "upload"], ["x", name], ["expiration", str(now + 600)]]
    token = base64.b64encode(PERSON.event(24242, "upload", tags, at=now).to_json()).decode()
    async with httpx.AsyncClient(base_url=url.replace("ws:", "http:")) as http:
        answer = await http.put(
            "/upload", content=data, headers={"Authorization": f"Nostr {token}"}
        )
        assert (await http.get(f"/{name}")).content == data
    return answer.status_code


def test_blobs_of_an_encrypted_folder_say_nothing(tmp_path: Path) -> None:
    data, secret, blob = tmp_path / "data", tmp_path / "passphrase", b"blob-of-somebody" * 9000
    secret.write_text(PASSPHRASE)
    start = ("--passphrase-file", str(secret), "relay", "--port", "0", "--data", str(data))
    process = Process((*start, "--encrypt", "--json")).start()
    try:
        assert asyncio.run(_upload(process.first["url"], blob)) in (200, 201)
    finally:
        process.stop()
    name = hashlib.sha256(blob).hexdigest()
    files = [path for path in data.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) > len(blob)
    assert not any(name in str(path) for path in files)
    found = b"".join(path.read_bytes() for path in files)
    for part in (b"blob-of-somebody", name.encode(), bytes.fromhex(name)):
        assert part not in found


def test_the_key_file_of_an_encrypted_folder_opens_for_ever() -> None:
    folder = Path(__file__).parents[2] / "old_states/relay_folder_v1"
    keys = unlocked(folder, NativeCrypto(), lambda new: PASSPHRASE)
    assert keys.store is not None
    assert keys.blobs is not None
    assert keys.store.hex() == "ea26d480304221a8b3fd9c3d8d6197a68b1c7c61b1d92b56969ab440e1e979a3"
    assert keys.blobs.hex() == "b707b5b2077a93a13b5594797dd94ebb144389cbda5a067afabcd8e1983193fe"
