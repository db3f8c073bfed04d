"""Other people's software on the bench: Delta Chat and Matrix."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from lab.outcome import Outcome
from lab.report import load
from lab.services import catalogue
from lab.services.homeserver import Homeserver, configuration
from lab.services.mail import ACCOUNTS
from lab.systems import PEOPLE, System, SystemFailed, deltachat, matrix
from lab.systems.catalogue import SYSTEMS
from lab.systems.deltachat import DeltaChat, login, provider
from lab.systems.matrix import Matrix

from lab import enter

MODULES = {"deltachat": deltachat, "matrix": matrix}
FOREIGN: Sequence[System] = (DeltaChat(), Matrix())


class Empty:
    """A bench on which nothing can be started."""

    relays: Sequence[str] = ()

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    async def run(self, host: str, argv: Sequence[str], **streams: Any) -> Any:
        raise AssertionError(argv)


@pytest.mark.parametrize("system", FOREIGN, ids=lambda system: system.name)
def test_each_is_on_the_command_line_under_its_name(system: System) -> None:
    assert isinstance(SYSTEMS[system.name](), type(system))


@pytest.mark.parametrize("name", MODULES)
async def test_without_its_libraries_it_says_what_is_missing(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MODULES[name], "find_spec", lambda _: None)
    system = SYSTEMS[name]()
    with pytest.raises(SystemFailed, match="extra `lab`"):
        await system.setup(Empty(tmp_path))
    await system.close()


def test_everybody_signs_in_to_their_own_provider() -> None:
    servers = {name: login(ACCOUNTS[name], provider(ACCOUNTS[name])) for name in PEOPLE}
    assert {name: one["imapServer"] for name, one in servers.items()} == {
        "ana": "mail.inside.example",
        "boris": "mail.inside.example",
        "clara": "mail.abroad.example",
    }
    for name, one in servers.items():
        assert one["smtpServer"] == one["imapServer"]
        assert one["addr"] == one["imapUser"] == one["smtpUser"] == ACCOUNTS[name].address
        assert one["imapSecurity"] == one["smtpSecurity"] == "ssl"


def test_the_homeserver_asks_nobody_and_listens_behind_its_web_server(tmp_path: Path) -> None:
    settings = json.loads(json.dumps(configuration(Homeserver(), tmp_path)))
    assert settings["trusted_key_servers"] == settings["federation_domain_whitelist"] == []
    assert settings["report_stats"] is False
    assert [one["bind_addresses"] for one in settings["listeners"]] == [["127.0.0.1"]]
    for name in ("pid_file", "signing_key_path", "media_store_path", "log_config"):
        assert Path(settings[name]).is_relative_to(tmp_path)


def test_the_homeservers_secrets_are_new_each_time(tmp_path: Path) -> None:
    one, other = (configuration(Homeserver(), tmp_path) for _ in range(2))
    for name in ("registration_shared_secret", "macaroon_secret_key", "form_secret"):
        assert len(one[name]) == 64
        assert one[name] != other[name]


def test_a_matrix_name_belongs_to_the_homeserver() -> None:
    server = Homeserver()
    assert server.user("ana") == "@ana:mail.abroad.example"
    assert server.url == "https://mail.abroad.example"


# The real software in real namespaces.


def measured(system: str, profile: str) -> Outcome:
    """A short run; skipped where it cannot be made."""
    reason = enter.obstacle()
    if reason is None and (packages := catalogue.missing()):
        reason = f"These Debian packages are not installed: {', '.join(packages)}."
    if reason is None and not all(map(find_spec, MODULES[system].LIBRARIES)):
        reason = "The libraries of the extra `lab` are not installed."
    if reason is not None:
        pytest.skip(reason)
    command = ("run", profile, "--system", system, "--short", "--seed", "7", "--json")
    done = subprocess.run(
        [sys.executable, "-m", "lab", *command],
        cwd=enter.ROOT,
        env=enter.environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode in {0, 1}, done.stderr
    (outcome,) = load(done.stdout)
    assert outcome.problem is None, done.stderr
    return outcome


@pytest.mark.full
@pytest.mark.parametrize("name", MODULES)
def test_all_arrives_where_nothing_is_blocked(name: str) -> None:
    outcome = measured(name, "none")
    assert outcome.all_delivered
    assert outcome.picture == "delivered"
    assert outcome.seen.packets > 0


@pytest.mark.full
def test_mail_inside_the_country_needs_no_border() -> None:
    assert measured("deltachat", "shutdown").all_delivered


@pytest.mark.full
def test_a_homeserver_abroad_is_lost_with_the_border() -> None:
    outcome = measured("matrix", "shutdown")
    assert outcome.measured.first_after is None
    assert outcome.measured.delivered < outcome.measured.sent
    assert (outcome.measured.twice, outcome.measured.strange) == (0, 0)


@pytest.mark.full
def test_the_homeserver_is_on_the_list() -> None:
    outcome = measured("matrix", "ip-block")
    assert not outcome.all_delivered
    assert outcome.measured.first_after is None
