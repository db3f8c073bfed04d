"""Commands that are loaded when they are run, so that `--help` and completion stay quick."""

from __future__ import annotations

import importlib
from typing import Any

import typer.main
from typer.core import TyperCommand, TyperGroup

# name -> (panel, module of volok.app.cli, first line of its help)
COMMANDS: dict[str, tuple[str, str, str]] = {
    "init": ("Start", "setup", "Set up Volok in a home folder."),
    "up": ("Start", "up", "Start your node and open its page in the browser."),
    "demo": ("Start", "demo", "Watch two people talk, on this computer alone."),
    "invite": ("People", "people", "Make an invite for somebody you want to talk to."),
    "accept": ("People", "people", "Accept an invite: a link, or a file."),
    "contacts": ("People", "people", "List the people you talk to."),
    "send": ("Messages", "messages", "Send a message, files, or both."),
    "read": ("Messages", "messages", "Read a conversation, oldest message first."),
    "sync": ("Messages", "messages", "Carry everything in both directions once, then exit."),
    "export": ("Without a network", "carry", "Write what waits into a file to be carried by hand."),
    "import": ("Without a network", "carry", "Take in a file that somebody carried to you."),
    "status": ("Safety", "safety", "Say how you are connected and what waits."),
    "doctor": ("Safety", "doctor", "Say what is blocked here and how, and what is open."),
    "path": ("Safety", "path", "List, add, remove and test the ways to your relays."),
    "hint": ("Safety", "hint", "Tell contacts of relays, and see what they told you."),
    "backup": ("Safety", "safety", "Write an encrypted backup of everything."),
    "restore": ("Safety", "safety", "Restore a backup into an empty home folder."),
    "lock": ("Safety", "safety", "Lock the running node."),
    "unlock": ("Safety", "safety", "Unlock the running node."),
    "panic": ("Safety", "safety", "Destroy the key of the vault at once, then everything else."),
    "relay": ("For operators", "relay", "Run a relay, or look after what one holds."),
}


class LazyCommand(TyperCommand):
    """Stands for a command in lists; loads its module when it is run."""

    def __init__(self, name: str, panel: str, module: str, summary: str) -> None:
        super().__init__(name=name, help=summary, callback=None, rich_help_panel=panel)
        self._module = module

    def load(self) -> Any:
        """The real command."""
        module = importlib.import_module(f"volok.app.cli.{self._module}")
        return typer.main.get_group(module.app).commands[str(self.name)]

    def make_context(self, info_name: Any, args: Any, parent: Any = None, **extra: Any) -> Any:
        """Parse the arguments as the real command does; its context then runs the real one."""
        return self.load().make_context(info_name, args, parent=parent, **extra)


class LazyGroup(TyperGroup):
    """The command `volok` itself."""

    def __init__(self, **attributes: Any) -> None:
        attributes["commands"] = {
            name: LazyCommand(name, *entry) for name, entry in COMMANDS.items()
        }
        super().__init__(**attributes)
