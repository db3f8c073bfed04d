"""`volok path add mail://…`, at real providers."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from tests.paths.mail_servers import PASSWORD, REASON, Providers, providers

pytestmark = pytest.mark.skipif(REASON is not None, reason=str(REASON))


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> Iterator[Providers]:
    """Two providers whose certificates are trusted."""
    with providers() as running:
        monkeypatch.setenv("SSL_CERT_FILE", str(running.authority))
        yield running


def test_a_conversation_by_mail_on_the_command_line(
    bob, new_home, servers: Providers, tmp_path
) -> None:
    clara = new_home("clara")
    clara.ok("init", "--name", "Clara", "--no-passphrase")
    secret, invite = tmp_path / "secret", tmp_path / "for-clara.volok"
    secret.write_text(PASSWORD)

    def add(home, address: str, *more: str):
        at = servers.hosts[address.partition("@")[2]].address
        login = ("--password-file", secret, "--imap", at, "--smtp", f"{at}:587")
        return home.ok("path", "add", f"mail://{address}", *login, *more, "--yes", "--json").one

    bob.ok("invite", "--file", invite)
    clara.ok("accept", invite)
    added = add(bob, "boris@inside.example")
    assert (added["kind"], added["place"]) == ("mail", "mail://boris@inside.example")
    assert (added["contacts"], added["problem"]) == ({}, None)
    add(clara, "clara@abroad.example", "--contact", "Bob=boris@Inside.example")
    assert "Bob is written to at boris@inside.example" in clara.ok("path", "list").out

    def until(home, *command: str, says: str) -> None:
        end = time.monotonic() + 30
        while says not in home.ok(*command).out:
            assert time.monotonic() < end, command
            for each in (bob, clara):
                assert each.ok("sync", "--json").one["problems"] == {}

    until(bob, "contacts", says="Clara")
    bob.ok("send", "Clara", "Is the bridge open?")
    until(clara, "read", "Bob", says="Is the bridge open?")
    # A wish of the person counts for more than where somebody wrote from, and asks nothing anew.
    noted = bob.ok("path", "add", "mail://boris@inside.example", "--contact", "Clara=c@x.example")
    assert "written to there" in noted.out
    assert "Clara is written to at c@x.example" in bob.ok("path", "list").out
    assert PASSWORD not in bob.ok("path", "list", "--json").out
    bob.ok("path", "remove", "mail://boris@inside.example")
    assert "mail://" not in bob.ok("path", "list").out
