"""The commands of a running node, asked over its control channel (see `volok.app.control`)."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any, cast

import httpx

from volok.app.errors import AppError, NodeLost
from volok.app.home import RPC_PATH, RunInfo
from volok.app.shapes import Json


class Remote:
    """`CommandSet` of the node that is up for a home. Errors arrive as AppError, NodeLost."""

    carries = True

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def status(self) -> Json:
        """See `CommandSet.status`."""
        return await self._one("status")

    async def contacts(self) -> list[Json]:
        """See `CommandSet.contacts`."""
        return cast(list[Json], await self._one("contacts"))

    async def invite(self, days: int, multiple: bool, file: str | None) -> Json:
        """See `CommandSet.invite`."""
        return await self._one("invite", days=days, multiple=multiple, file=file)

    async def accept(self, link: str) -> Json:
        """See `CommandSet.accept`."""
        return await self._one("accept", link=link)

    async def accept_file(self, path: str) -> Json:
        """See `CommandSet.accept_file`."""
        return await self._one("accept_file", path=path)

    async def send(self, contact: str, text: str, files: list[str]) -> Json:
        """See `CommandSet.send`."""
        return await self._one("send", contact=contact, text=text, files=files)

    def read(
        self, contact: str, last: int | None, follow: bool, save: str | None
    ) -> AsyncIterator[Json]:
        """See `CommandSet.read`."""
        return self._stream("read", contact=contact, last=last, follow=follow, save=save)

    def incoming(self) -> AsyncIterator[Json]:
        """See `CommandSet.incoming`."""
        return self._stream("incoming")

    async def sync(self) -> Json:
        """See `CommandSet.sync`."""
        return await self._one("sync")

    async def export(self, path: str, contact: str | None) -> Json:
        """See `CommandSet.export`."""
        return await self._one("export", path=path, contact=contact)

    async def take_in(self, path: str) -> Json:
        """See `CommandSet.take_in`."""
        return await self._one("take_in", path=path)

    async def backup(self, path: str) -> Json:
        """See `CommandSet.backup`."""
        return await self._one("backup", path=path)

    async def lock(self) -> Json:
        """See `CommandSet.lock`."""
        return await self._one("lock")

    async def unlock(self, passphrase: str | None) -> Json:
        """See `CommandSet.unlock`."""
        return await self._one("unlock", passphrase=passphrase)

    async def panic(self) -> Json:
        """See `CommandSet.panic`."""
        return await self._one("panic")

    async def paths(self) -> list[Json]:
        """See `CommandSet.paths`."""
        return cast(list[Json], await self._one("paths"))

    async def drops(self) -> list[Json]:
        """See `CommandSet.drops`."""
        return cast(list[Json], await self._one("drops"))

    async def drop_add(
        self, where: str, user: str, password: str, endpoint: str, more: Json | None = None
    ) -> Json:
        """See `CommandSet.drop_add`."""
        return await self._one(
            "drop_add", where=where, user=user, password=password, endpoint=endpoint, more=more
        )

    async def drop_host_key(self, where: str) -> Json:
        """See `CommandSet.drop_host_key`."""
        return await self._one("drop_host_key", where=where)

    async def drop_remove(self, drop: str) -> Json:
        """See `CommandSet.drop_remove`."""
        return await self._one("drop_remove", drop=drop)

    async def drop_test(self, drop: str) -> Json:
        """See `CommandSet.drop_test`."""
        return await self._one("drop_test", drop=drop)

    async def path_add(
        self, url: str, name: str, relays: list[str], only: bool, bridges: Sequence[str] = ()
    ) -> Json:
        """See `CommandSet.path_add`."""
        return await self._one(
            "path_add", url=url, name=name, relays=relays, only=only, bridges=list(bridges)
        )

    async def path_remove(self, name: str) -> Json:
        """See `CommandSet.path_remove`."""
        return await self._one("path_remove", name=name)

    async def path_test(self, name: str | None, relay: str | None) -> list[Json]:
        """See `CommandSet.path_test`."""
        return cast(list[Json], await self._one("path_test", name=name, relay=relay))

    async def lan(self) -> Json:
        """See `CommandSet.lan`."""
        return await self._one("lan")

    async def lan_choose(self, on: bool, carry: bool) -> Json:
        """See `CommandSet.lan_choose`."""
        return await self._one("lan_choose", on=on, carry=carry)

    async def lan_test(self) -> Json:
        """See `CommandSet.lan_test`."""
        return await self._one("lan_test")

    async def hints(self) -> Json:
        """See `CommandSet.hints`."""
        return await self._one("hints")

    async def hint_share(self, place: str, contacts: list[str]) -> Json:
        """See `CommandSet.hint_share`."""
        return await self._one("hint_share", place=place, contacts=contacts)

    async def hint_unshare(self, place: str) -> Json:
        """See `CommandSet.hint_unshare`."""
        return await self._one("hint_unshare", place=place)

    async def hint_keep(self, relay: str) -> Json:
        """See `CommandSet.hint_keep`."""
        return await self._one("hint_keep", relay=relay)

    async def hint_remove(self, place: str) -> Json:
        """See `CommandSet.hint_remove`."""
        return await self._one("hint_remove", place=place)

    async def hints_switch(self, on: bool) -> Json:
        """See `CommandSet.hints_switch`."""
        return await self._one("hints_switch", on=on)

    def doctor(self, thorough: bool) -> AsyncIterator[Json]:
        """See `CommandSet.doctor`."""
        return self._stream("doctor", thorough=thorough)

    async def page(self) -> Json:
        """See `CommandSet.page`."""
        return await self._one("page")

    async def _one(self, command: str, **arguments: Any) -> Json:
        async with aclosing(self._stream(command, **arguments)) as answers:
            async for value in answers:
                return value
        raise NodeLost

    async def _stream(self, command: str, **arguments: Any) -> AsyncGenerator[Json, None]:
        body = {"command": command, "arguments": arguments}
        try:
            async with self._client.stream("POST", RPC_PATH, json=body) as response:
                async for line in response.aiter_lines():
                    frame = json.loads(line)
                    if "error" in frame:
                        raise AppError(frame["error"])
                    if "value" not in frame:
                        return
                    yield frame["value"]
        except (httpx.HTTPError, ValueError, TypeError) as error:
            raise NodeLost from error
        raise NodeLost


def client_for(run: RunInfo) -> httpx.AsyncClient:
    """An HTTP client for the control channel of a running node."""
    return httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{run.port}",
        headers={"Authorization": f"Bearer {run.token}"},
        timeout=httpx.Timeout(None, connect=5.0),
        trust_env=False,
    )


async def is_answering(client: httpx.AsyncClient, wait: float) -> bool:
    """Whether the node that left `run.json` is there and knows our token."""
    try:
        response = await client.get(RPC_PATH, timeout=wait)
    except httpx.HTTPError:
        return False
    return response.status_code == httpx.codes.NO_CONTENT
