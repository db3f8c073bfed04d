"""What docs/operators.md has a volunteer type, and the files in deploy/."""

from __future__ import annotations

import re
import shutil
import ssl
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from tests.app.conftest import Process

from volok.relay.config import read_config
from volok.relay.serve_settings import ServeSettings
from volok.relay.settings import RelaySettings

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "deploy"
GUIDE = (ROOT / "docs/operators.md").read_text(encoding="utf-8")
ANALYZE = shutil.which("systemd-analyze")


def commands(heading: str) -> list[str]:
    """The lines of the sh blocks below a heading."""
    section = GUIDE.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    blocks = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


def moved(text: str, place: Path) -> str:
    """The same with every folder of the system inside `place`."""
    return re.sub(r"(?<![\w.])/(opt|etc|srv|var)\b", rf"{place}/\1", text)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A small system: its folders, and a website."""
    for name in ("opt", "etc/systemd/system", "srv/website", "var/lib"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "srv/website/index.html").write_text("<p>Bakery</p>")
    return tmp_path


def configured(place: Path, **changes: str) -> Path:
    """The configuration of the guide, moved; ports of no importance."""
    text = moved((DEPLOY / "relay.toml").read_text(), place)
    for name, value in changes.items():
        text, count = re.subn(rf"(?m)^{name} = .*$", f"{name} = {value}", text)
        assert count == 1, name
    path = place / "etc/volok-relay.toml"
    path.write_text(text)
    return path


def test_the_configuration_is_one() -> None:
    config = read_config(DEPLOY / "relay.toml")
    serve, relay = ServeSettings(**config.serve), RelaySettings(**config.relay)
    assert serve.tls
    assert relay.events_per_second > 0
    assert relay.min_pow_difficulty == 0  # nodes do no work


def test_the_guide_leads_to_a_relay(place: Path) -> None:
    typed = commands("Ten minutes to a relay")
    config = configured(place, port="0", host='"127.0.0.1"', metrics_port="0")
    (start,) = re.findall(r"(?m)^ExecStart=(.*)$", (DEPLOY / "volok-relay.service").read_text())
    assert f"cp deploy/relay.toml {start.split()[3]}" in typed
    words = moved(start, place).split()
    assert words[:2] == [f"{place}/opt/volok/bin/volok", "relay"]
    assert words[3] == str(config)
    process = Process((*words[1:], "--json")).start()
    try:
        port = process.first["port"]
        anybody = ssl.create_default_context()
        anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE
        with urllib.request.urlopen(f"https://127.0.0.1:{port}/", context=anybody) as page:
            assert page.read() == b"<p>Bakery</p>"
        (link,) = [line for line in typed if " relay link " in line]
        arguments = moved(link, place).split()[1:]
        shown = subprocess.run(
            [sys.executable, "-m", "volok", *arguments], check=True, stdout=subprocess.PIPE
        ).stdout.decode()
        assert shown.startswith(f"wss://203.0.113.11:{port}/")
    finally:
        process.stop()


def test_files_that_the_guide_copies_exist() -> None:
    copied = re.findall(r"(?m)^cp (\S+) ", GUIDE)
    assert {Path(name).name for name in copied} == {path.name for path in DEPLOY.iterdir()}
    assert all((ROOT / name).is_file() for name in copied)


def test_nothing_that_is_printed_reaches_the_journal() -> None:
    unit = (DEPLOY / "volok-relay.service").read_text()
    assert re.search(r"(?m)^StandardOutput=null$", unit)  # it holds the secret path


@pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not installed")
def test_the_units_are_sound_and_hardened(tmp_path: Path) -> None:
    for unit in DEPLOY.glob("volok-relay.*e*"):
        text = unit.read_text().replace("/opt/volok/bin/volok", "/bin/true")
        (tmp_path / unit.name).write_text(text)
    units = sorted(map(str, tmp_path.iterdir()))
    assert [Path(unit).name for unit in units] == ["volok-relay.service", "volok-relay.socket"]
    verified = subprocess.run(
        [str(ANALYZE), "verify", "--man=no", *units],
        check=False,
        capture_output=True,
        text=True,
    )
    assert (verified.returncode, verified.stderr) == (0, "")
    judged = subprocess.run(
        [str(ANALYZE), "security", "--offline=true", "--no-pager", "--threshold=20", units[0]],
        check=False,
        capture_output=True,
        text=True,
    )
    assert judged.returncode == 0, judged.stdout[-200:]


@pytest.mark.full
@pytest.mark.timeout(900)
def test_the_commands_of_the_guide_install_it(place: Path) -> None:
    for line in commands("Ten minutes to a relay"):
        if line.startswith(("apt-get", "systemctl")) or " relay link " in line:
            continue
        subprocess.run(["/bin/sh", "-ec", moved(line, place)], check=True, cwd=ROOT)
    installed = place / "opt/volok/bin/volok"
    settings = subprocess.run([installed, "relay", "config"], check=True, stdout=subprocess.PIPE)
    assert b"[serve]" in settings.stdout
    assert (place / "etc/systemd/system/volok-relay.service").is_file()
