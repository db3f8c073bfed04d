from __future__ import annotations

import subprocess
import sys

import pytest
import typer.main
from typer.testing import CliRunner

from volok.app.cli import app
from volok.app.cli.lazy import COMMANDS, LazyCommand

CONTRACT = {
    "init": {"--name", "--relay", "--no-passphrase", "--passphrase-file"},
    "up": {"--port", "--no-browser"},
    "relay": {"--host", "--port", "--data", "--config", "--metrics-port", "--plugin", "--encrypt"},
    "invite": {"--file", "--qr", "--json"},
    "accept": {"--json"},
    "contacts": {"--json"},
    "send": {"--file", "--json"},
    "read": {"--json", "--follow"},
    "sync": {"--json"},
    "export": {"--for"},
    "import": set(),
    "backup": set(),
    "restore": set(),
    "status": {"--json"},
    "lock": set(),
    "panic": set(),
    "demo": {"--once"},
}


def real(name: str):
    return LazyCommand(name, *COMMANDS[name]).load()


@pytest.mark.parametrize("name", CONTRACT)
def test_the_names_of_the_contract_are_there(name: str):
    options = {option for parameter in real(name).params for option in parameter.opts}
    assert options >= CONTRACT[name]


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_teaches_by_examples(name: str):
    result = CliRunner().invoke(app, [name, "--help"])
    assert result.exit_code == 0
    assert "Examples" in result.output
    assert f"volok {name}" in " ".join(result.output.split()) or name == "restore"


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_says_what_the_command_says(name: str):
    _, _, summary = COMMANDS[name]
    assert real(name).help.splitlines()[0] == summary


def test_the_list_of_commands_loads_none_of_them():
    code = (
        "import sys; from volok.app.cli import app; from typer.testing import CliRunner\n"
        "assert CliRunner().invoke(app, ['--help']).exit_code == 0\n"
        "heavy = {'volok.app.node', 'volok.native', 'httpx', 'starlette'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_version():
    result = CliRunner().invoke(app, ["--version"])
    assert result.output.startswith("volok ")


def test_typer_sees_all_commands():
    assert set(typer.main.get_group(app).commands) == set(COMMANDS)
