"""Fills the small disk at argv[1] with blobs and events; fails if anything acknowledged is lost."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from volok.store.blobs import BlobsFull
from volok.store.conformance_tools import NOW, contents, make_event
from volok.store.file_blobs import FileBlobs
from volok.store.sqlite_store import SqliteStore
from volok.store.store import StoreFull


async def main(disk: Path) -> None:
    store = await SqliteStore.open(disk / "store.db")
    blobs = FileBlobs(disk / "blobs")
    taken: set[str] = set()
    names: list[str] = []
    try:
        while True:
            event = make_event(content=f"{len(taken):5000}")
            await store.add([event], NOW)
            taken.add(event.id)
            names.append((await blobs.put(len(names).to_bytes(2, "big") * 10_000))[0])
    except StoreFull:
        print("store full")
    except BlobsFull:
        print("blobs full")
    assert len(names) > 10
    assert await contents(store) == taken
    assert await blobs.names() == sorted(names)
    for name in names[:10]:
        assert await blobs.delete(name)
    await store.add([make_event(content="after")], NOW)
    await store.close()
    store = await SqliteStore.open(disk / "store.db")
    assert taken < await contents(store)
    await store.close()
    print("nothing lost")


asyncio.run(main(Path(sys.argv[1])))
