"""Files: cut into chunks, each encrypted under the file's own key and named by its hash.

A chunk's plaintext is at most 1 MiB and padded (Padmé: at most 12% more, so that sizes fall into
few classes); its nonce is its place, which is safe because a key serves one file. The manifest
(`FileContent`) travels inside the message.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator

from volok.chat.content import Chunk, FileContent
from volok.chat.payload import Body
from volok.chat.records import to_text
from volok.chat.views import Outgoing
from volok.model.crypto import Crypto, CryptoError
from volok.model.filenames import safe_name
from volok.model.stream import padded_length
from volok.store.blobs import BlobMissing, Blobs

CHUNK = 1 << 20
SMALLEST = 1024
"""Bytes to which the smallest chunk is padded."""

PIECE = 24 * 1024
"""Bytes of a blob that travel in one frame: with base64 and header they fit a 40-KiB bucket."""


class FileGone(Exception):
    """This file is not here any more."""


def _associated(place: int, count: int) -> bytes:
    return b"volok file 1" + place.to_bytes(4, "big") + count.to_bytes(4, "big")


def encrypt_chunk(crypto: Crypto, key: bytes, place: int, count: int, data: bytes) -> bytes:
    """Encrypt one chunk."""
    padded = data.ljust(padded_length(max(len(data), SMALLEST)), b"\0")
    return crypto.encrypt(key, place.to_bytes(12, "big"), padded, _associated(place, count))


async def store_file(crypto: Crypto, blobs: Blobs, file: Outgoing) -> FileContent:
    """Encrypt a file into blobs and return its manifest."""
    key = crypto.random(32)
    count = max(1, -(-len(file.data) // CHUNK))
    chunks = []
    for place in range(count):
        data = file.data[place * CHUNK : (place + 1) * CHUNK]
        sealed = encrypt_chunk(crypto, key, place, count, data)
        name, size = await blobs.put(sealed, hashlib.sha256(sealed).hexdigest())
        chunks.append(Chunk(name, size))
    return FileContent(
        kind=file.kind.value,
        name=safe_name(file.name),
        media_type=file.media_type[:128],
        size=len(file.data),
        key=key,
        chunks=tuple(chunks),
        width=file.width,
        height=file.height,
        duration=file.duration,
        thumbnail=file.thumbnail,
    )


def file_body(file: FileContent) -> Body:
    """The manifest as it stands in a message."""
    body: Body = {
        "kind": file.kind,
        "name": file.name,
        "mime": file.media_type,
        "size": file.size,
        "key": to_text(file.key),
        "chunks": [[chunk.name, chunk.size] for chunk in file.chunks],
    }
    optional = {"w": file.width, "h": file.height, "ms": file.duration}
    body.update({name: value for name, value in optional.items() if value is not None})
    if file.thumbnail is not None:
        body["thumb"] = to_text(file.thumbnail)
    return body


async def read_file(
    crypto: Crypto, blobs: Blobs, key: bytes, names: list[str], size: int
) -> AsyncIterator[bytes]:
    """Decrypt a file chunk by chunk. Raises FileGone."""
    left = size
    for place, name in enumerate(names):
        try:
            sealed = await blobs.get(name)
            nonce, associated = place.to_bytes(12, "big"), _associated(place, len(names))
            data = crypto.decrypt(key, nonce, sealed, associated)
        except (BlobMissing, CryptoError) as error:
            raise FileGone(FileGone.__doc__) from error
        yield data[: min(left, CHUNK)]
        left -= min(left, CHUNK)
