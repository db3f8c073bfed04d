from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import httpx
import pytest


def opened(url: str) -> httpx.Response:
    with httpx.Client(follow_redirects=True) as browser:
        return browser.get(url)


def test_a_link_opens_the_page_once(alice):
    node = alice.up()
    try:
        assert node.first["url"].startswith(f"http://127.0.0.1:{node.first['port']}/open?token=")
        assert opened(node.first["url"]).status_code == 200
        assert opened(node.first["url"]).status_code == 403
        again = alice.ok("up", "--no-browser", "--json").one
        assert again["port"] == node.first["port"]
        assert opened(again["url"]).status_code == 200
    finally:
        assert node.stop() == 0
    assert not (alice.root / "run.json").exists()


def test_a_new_home_begins_in_the_browser(new_home):
    home = new_home("fresh")
    node = home.up()
    try:
        assert 'name="name"' in opened(node.first["url"]).text
        assert home.ok("status", "--json").one["state"] == "new"
    finally:
        assert node.stop(signal.SIGINT) == 0


def test_a_protected_home_starts_locked_or_opens_by_the_file(new_home, tmp_path: Path):
    home = new_home("home")
    (tmp_path / "secret").write_text("secret")
    home.ok("init", "--name", "A", "--passphrase-file", tmp_path / "secret")
    node = home.up()
    assert home.ok("status", "--json").one["state"] == "locked"
    assert node.stop() == 0
    home.before = ("--passphrase-file", str(tmp_path / "secret"))
    node = home.up()
    assert home.ok("status", "--json").one["state"] == "open"
    assert node.stop() == 0


def test_a_node_that_was_killed_is_not_in_the_way(alice):
    node = alice.up()
    assert node.stop(signal.SIGKILL) == -signal.SIGKILL
    assert (alice.root / "run.json").exists()
    alice.ok("contacts")
    node = alice.up()
    assert alice.ok("status", "--json").one["running"] is True
    assert node.stop() == 0


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_an_idle_node_needs_little_memory(alice):
    node = alice.up()
    try:
        opened(node.first["url"])
        assert node.popen is not None
        status = Path(f"/proc/{node.popen.pid}/status").read_text()
        resident = int(status.split("VmRSS:")[1].split()[0]) * 1024
        assert resident < 120 * 1024 * 1024
    finally:
        node.stop()


def test_nothing_in_the_home_can_be_read_by_others(alice):
    node = alice.up()
    try:
        for folder, _, files in os.walk(alice.root):
            for name in files:
                path = Path(folder, name)
                assert path.stat().st_mode & 0o077 == 0 or alice.root.stat().st_mode & 0o077 == 0
        assert (alice.root / "run.json").stat().st_mode & 0o777 == 0o600
    finally:
        node.stop()
