"""Which errors are stated to the person, and the sentence that each of them becomes."""

from __future__ import annotations

import errno
from pathlib import Path

from volok.chat.invite_codec import InvalidInvite
from volok.chat.views import ChatError
from volok.model.urls import InvalidUrl
from volok.paths.live import PathError
from volok.paths.proxy_address import InvalidProxy
from volok.paths.tor_bridge import InvalidBridge
from volok.relay.errors import RelayError
from volok.store.blobs import BlobError
from volok.store.store import StoreError
from volok.store.vault import VaultError
from volok.sync.bundle import BundleError


class AppError(Exception):
    """Something that the person asked for cannot be done; the text says why and what to do."""


class NodeLost(AppError):
    """The running node stopped before it answered. Look at `volok status` and try again."""


class NotSetUp(AppError):
    """There is no Volok in this folder yet. Set one up with `volok init --name NAME`."""


class AlreadySetUp(AppError):
    """This folder already holds a Volok. Choose another one with --home; nothing was changed."""


class NotRunning(AppError):
    """No node is up for this home. Start it with `volok up`."""


STATED: tuple[type[Exception], ...] = (
    AppError,
    BlobError,
    BundleError,
    ChatError,
    InvalidBridge,
    InvalidInvite,
    InvalidProxy,
    InvalidUrl,
    OSError,
    PathError,
    RelayError,
    StoreError,
    VaultError,
)
"""Errors that are part of the contract with the person; anything else is a fault of ours."""

_SYSTEM = {
    errno.ENOENT: "is not there. Check the name; it may have been moved or deleted.",
    errno.EACCES: "may not be used by you. Check its permissions.",
    errno.EPERM: "may not be used by you. Check its permissions.",
    errno.EEXIST: "exists already, and nothing is overwritten. Choose another name.",
    errno.EISDIR: "is a folder, not a file.",
    errno.ENOTDIR: "is not a folder.",
    errno.EROFS: "cannot be written: the disk is read-only.",
}


def sentence(error: BaseException) -> str:
    """The sentence for the person: the text of the error, else the docstring of its class.

    Of a system error it names the file alone, without its folder.
    """
    if isinstance(error, OSError):
        if error.errno == errno.ENOSPC:
            return "The disk is full. Free some space and try again; nothing was lost."
        if error.filename is not None and error.errno in _SYSTEM:
            return f"“{Path(str(error.filename)).name}” {_SYSTEM[error.errno]}"
        return f"The system refused: {error.strerror or 'no reason given'}."
    text = str(error).strip() or (type(error).__doc__ or "").strip()
    return " ".join(text.split()) or "Something went wrong."
