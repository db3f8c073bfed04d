"""What a person sees of the paths of a node, and what they added."""

from __future__ import annotations

from dataclasses import dataclass

from volok.app.errors import AppError


class PathUnknown(AppError):
    """There is no such path. `volok path list` names those that you have."""


class PathExists(AppError):
    """You have this path already."""


class TooManyPaths(AppError):
    """You have as many paths as there may be. Remove one that you do not use."""


@dataclass(frozen=True, slots=True)
class ConfiguredPath:
    """A path that a person added: a proxy, or Tor."""

    name: str
    """What the person calls it; `proxy`, `proxy-2` and so on, or `tor`, when they gave no name."""
    url: str
    """Of the proxy, with its login; of Tor see `volok.app.path_records.tor_url`."""
    relays: tuple[str, ...] = ()
    """Relays (normalised URLs) that it is for; empty: all."""
    only: bool = False
    """Whether those relays are never reached in another way."""
    bridges: tuple[str, ...] = ()
    """Of Tor: the bridges by which it joins its network; empty: without."""

    @property
    def is_tor(self) -> bool:
        """Whether this is Tor, and not a proxy."""
        return self.url.startswith("tor:")


@dataclass(frozen=True, slots=True)
class PathView:
    """One path, for a person."""

    name: str
    about: str
    """In a few words what it is, without secrets."""
    observer_learns: str
    relays: tuple[str, ...]
    only: bool
    removable: bool


@dataclass(frozen=True, slots=True)
class PathTrial:
    """How one path did with one relay, just now."""

    name: str
    relay: str
    seconds: float | None
    """For the handshake; None: it did not get through."""
    problem: str
