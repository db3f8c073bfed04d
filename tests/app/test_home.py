from __future__ import annotations

import stat
from pathlib import Path

import pytest

from volok.app.home import Home, HomeUnusable, RunInfo, default_home
from volok.store.vault import VaultTooNew


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_fresh_home_is_private_and_empty(tmp_path: Path) -> None:
    home = Home(tmp_path / "deep" / "home")
    home.prepare()
    home.prepare()
    assert mode(home.root) == 0o700
    assert not home.is_set_up()
    assert not home.is_destroyed()


def test_a_folder_of_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(HomeUnusable):
        Home(tmp_path).prepare()
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["thesis.txt"]


def test_a_newer_layout_is_refused(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.prepare()
    home.version.write_text('{"version": 99}')
    with pytest.raises(VaultTooNew):
        home.prepare()


def test_a_vault_without_its_key_counts_as_destroyed(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.vault.write_bytes(b"")
    assert home.is_destroyed()
    home.keyslot.write_bytes(b"")
    assert not home.is_destroyed()


def test_run_information_comes_back_and_is_private(tmp_path: Path) -> None:
    home = Home(tmp_path)
    info = RunInfo(port=1234, token="secret", pid=7)
    home.write_run(info)
    assert home.read_run() == info
    assert mode(home.run) == 0o600
    home.clear_run()
    home.clear_run()
    assert home.read_run() is None


@pytest.mark.parametrize("content", [b"", b"[]", b'{"port": "x"}', b"\xff", b"null"])
def test_damaged_run_information_is_none(tmp_path: Path, content: bytes) -> None:
    home = Home(tmp_path)
    home.run.write_bytes(content)
    assert home.read_run() is None


def test_where_the_home_is_by_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_home({"VOLOK_HOME": "/x/y"}) == Path("/x/y")
    assert default_home({"XDG_DATA_HOME": "/data"}) == Path("/data/volok")
    expected = tmp_path / ".local" / "share" / "volok"
    assert default_home({}) == expected
    assert default_home({"XDG_DATA_HOME": "relative"}) == expected
