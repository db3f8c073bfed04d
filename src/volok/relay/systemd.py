"""What systemd hands to a service and wants to hear from it (sd_listen_fds(3), sd_notify(3))."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import MutableMapping

from volok.relay.errors import RelayError

_FIRST = 3
_VARIABLES = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")


def inherited_listener(environment: MutableMapping[str, str], pid: int) -> socket.socket | None:
    """The listening socket that was passed to this process; None when there is none.

    Such a socket outlives the relay: who connects while one process follows another waits in its
    queue and is not refused. The variables are removed, so that no child takes them for its own.
    Raises RelayError when it is no listening TCP socket, or one of several.
    """
    passed, count, _ = (environment.pop(name, "") for name in _VARIABLES)
    if passed != str(pid) or not count:
        return None
    if count != "1":
        raise RelayError("The socket unit passes several sockets. A relay takes one.")
    try:
        listener = socket.socket(fileno=_FIRST)
        listening = listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as error:
        raise RelayError("What the socket unit passes is no socket.") from error
    if not listening or listener.family not in (socket.AF_INET, socket.AF_INET6):
        raise RelayError("The socket that the socket unit passes has to be a ListenStream= of TCP.")
    listener.setblocking(False)
    listener.set_inheritable(False)
    return listener


class Notifier:
    """Tells systemd the state of a service; says nothing when nobody listens."""

    def __init__(self, environment: MutableMapping[str, str]) -> None:
        """Takes NOTIFY_SOCKET out of the environment."""
        place = environment.pop("NOTIFY_SOCKET", "")
        self._place = f"\0{place[1:]}" if place.startswith("@") else place

    def ready(self) -> None:
        """The relay accepts connections."""
        self._tell("READY=1")

    def stopping(self) -> None:
        """The relay finishes what it began, and ends."""
        self._tell("STOPPING=1")

    def _tell(self, state: str) -> None:
        if self._place:
            # Whether anybody hears it changes nothing for the relay.
            with (
                contextlib.suppress(OSError),
                socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out,
            ):
                out.connect(self._place)
                out.send(state.encode())
