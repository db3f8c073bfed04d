"""The ways out of an open node, as the pages and the doctor see them: paths, the local network and
drops in one list. What is done is done by each of them; this only gives them one face.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Generator, Mapping, Sequence
from contextlib import contextmanager

from volok.app.doctor import Doctor
from volok.app.drop_places import add_drop, host_key_of, owner_learns
from volok.app.drops import Drops
from volok.app.errors import STATED, sentence
from volok.app.lan import ABOUT, NAME, OBSERVER_LEARNS, Lan, LanChoice
from volok.app.paths import NodePaths
from volok.app.shapes import Json
from volok.app.web.interface import NodeError
from volok.app.web.paths_interface import WayRow, WayTrial
from volok.app.wiring import Parts
from volok.paths import proxy, tor
from volok.paths.doctor_report import Examination, Progress
from volok.store.vault import VaultError

_SAMPLES = {
    "folder": "/",
    "webdav": "webdavs://host/",
    "s3": "s3://bucket/",
    "sftp": "sftp://host/",
    "mail": "mail://host/",
}
"""An address of each kind of drop, by which its owner's view is asked for."""
_ALWAYS = ("folder", "webdav", "s3")


class Ways:
    """Satisfies `volok.app.web.paths_interface.WebWays`."""

    def __init__(
        self, parts: Parts, drops: Drops, lan: Lan, doctor: Doctor, changed: Callable[[], None]
    ) -> None:
        """`changed` is called after every change."""
        self._parts = parts
        self._drops = drops
        self._lan = lan
        self._doctor = doctor
        self._changed = changed

    async def rows(self) -> Sequence[WayRow]:
        """See `WebWays.rows`."""
        paths = self._paths
        used = {name for names in paths.many.in_use.values() for name in names}
        rows = [
            WayRow(
                f"path:{view.name}",
                "added" if view.removable else "straight",
                view.name,
                view.about,
                view.observer_learns,
                used=view.name in used,
                relays=view.relays,
                only=view.only,
                removable=view.removable,
            )
            for view in paths.views()
        ]
        near = await self._lan.view()
        if near.on:
            used_now, problem = near.contacts > 0, near.problem
            rows.append(
                WayRow(
                    f"{NAME}:",
                    "added",
                    NAME,
                    ABOUT,
                    OBSERVER_LEARNS,
                    used_now,
                    problem,
                    removable=True,
                )
            )
        for drop in await self._drops.list():
            rows.append(
                WayRow(
                    f"drop:{drop.id}",
                    "drop",
                    drop.place,
                    "",
                    drop.owner_learns,
                    problem=drop.problem,
                    files=drop.files,
                    bytes=drop.bytes,
                    removable=True,
                )
            )
        return rows

    def kinds(self) -> Mapping[str, str | None]:
        """See `WebWays.kinds`."""
        drops = {kind: owner_learns(where) for kind, where in _SAMPLES.items()}
        known = {kind: text for kind, text in drops.items() if text or kind in _ALWAYS}
        paths = {
            "proxy": proxy.OBSERVER_LEARNS,
            "tor": tor.CAPABILITIES.observer_learns,
            NAME: OBSERVER_LEARNS,
        }
        return known | paths

    async def add(self, kind: str, fields: Mapping[str, str]) -> None:
        """See `WebWays.add`."""

        def field(name: str) -> str:
            return fields.get(name, "").strip()

        only = bool(field("only"))
        with _told():
            match kind:
                case "proxy":
                    await self._paths.add(field("where"), only=only)
                case "tor":
                    bridges = [line for line in field("bridges").splitlines() if line.strip()]
                    await self._paths.add("tor", only=only, bridges=bridges)
                case "lan":
                    await self._lan.choose(LanChoice(True, bool(field("carry"))))
                case _:
                    where = _where(kind, field("where"))
                    more = await self._more(kind, where, field)
                    login = field("user"), field("password"), field("endpoint")
                    await add_drop(self._drops, where, *login, more)
        self._changed()

    async def _more(self, kind: str, where: str, field: Callable[[str], str]) -> Json:
        """What some kinds need besides. Raises NodeError, and what is stated."""
        if kind == "mail":
            contacts: dict[str, str] = {}
            for line in filter(str.strip, field("contacts").splitlines()):
                name, mark, address = line.rpartition("=")
                if not mark:
                    raise NodeError("Each line has a contact's name, = and their mail address.")
                contacts[(await self._parts.chat.find(name.strip())).id] = address.strip()
            return {"imap": field("imap"), "smtp": field("smtp"), "contacts": contacts}
        if kind == "sftp":
            shown = await host_key_of(self._drops, where)
            if field("fingerprint") != shown["fingerprint"]:
                raise NodeError(
                    f"The server shows the key {shown['fingerprint']}. Compare it with what its "
                    "owner says, fill it in, and add again."
                )
            return {"host_key": shown["host_key"]}
        return {}

    async def remove(self, id: str) -> None:
        """See `WebWays.remove`."""
        group, _, name = id.partition(":")
        with _told():
            if group == NAME:
                await self._lan.choose(LanChoice())
            elif group == "drop":
                await self._drops.remove(name)
            else:
                await self._paths.remove(name)
        self._changed()

    async def test(self, id: str) -> WayTrial:
        """See `WebWays.test`."""
        group, _, name = id.partition(":")
        try:
            if group == "drop":
                return WayTrial(await self._drops.test(name))
            if group == NAME:
                return WayTrial(0.0, (await self._lan.test()).problem or "")
            trials = await self._paths.test(await self._parts.chat.relays(), name)
        except VaultError:
            raise
        except STATED as error:
            return WayTrial(None, sentence(error))
        best = min(
            (trial for trial in trials if trial.seconds is not None),
            key=lambda trial: trial.seconds or 0.0,
            default=None,
        )
        if best is not None:
            return WayTrial(best.seconds)
        return WayTrial(None, trials[0].problem if trials else "There is no relay to try it with.")

    def examine(self, thorough: bool) -> AsyncIterator[Progress | Examination]:
        """See `WebWays.examine`."""
        return self._doctor.examine(thorough)

    @property
    def _paths(self) -> NodePaths:
        return self._parts.paths


def _where(kind: str, given: str) -> str:
    """The address by which the command line names such a place. Raises NodeError."""
    if kind == "folder":
        if "://" in given:
            raise NodeError("This is not the name of a folder on this computer.")
        return given
    if kind not in _SAMPLES:
        raise NodeError("There is no such kind of way.")
    scheme, mark, rest = given.partition("://")
    if kind == "webdav":
        schemes = {"https": "webdavs", "http": "webdav", "webdavs": "webdavs", "webdav": "webdav"}
        if not mark or scheme.lower() not in schemes:
            raise NodeError("The address begins with https://.")
        return f"{schemes[scheme.lower()]}://{rest}"
    return given if mark else f"{kind}://{given}"


@contextmanager
def _told() -> Generator[None, None, None]:
    """What the pages know how to tell: every stated error becomes a NodeError."""
    try:
        yield
    except (NodeError, VaultError):
        raise
    except STATED as error:
        raise NodeError(sentence(error)) from error
