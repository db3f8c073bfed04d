"""Reconciliation with one client (NIP-77): carries out `Reconcile` of `volok.relay.outputs`.

1. Who asks gets at what REQ would give: filters come narrowed by `Reader.permitted`, and what is
   left is read with its `Visibility`.
2. Client and relay take turns. A client that is silent for too long, sends out of turn or sends
   what is no frame is told so by NEG-ERR, and that reconciliation is over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from volok.model.filters import Filter
from volok.relay.access import Reader, Refusal
from volok.relay.metrics import Metrics
from volok.relay.outputs import Reconcile
from volok.relay.settings import RelaySettings
from volok.relay.snapshots import NoRoom, Snapshots, TooMany, in_slices
from volok.store.store import StoreError, Visibility
from volok.sync.messages import Prefix
from volok.sync.neg_messages import NegClose, NegError, NegMessage, NegOpen
from volok.sync.negentropy import Responder
from volok.sync.negentropy_codec import InvalidFrame

_OVER = "closed"
"""The word before the colon for what has ended (NIP-77)."""


@dataclass(slots=True)
class _Talk:
    """One reconciliation. `frames` holds the frame that is to be answered."""

    frames: asyncio.Queue[bytes] = field(default_factory=lambda: asyncio.Queue(1))
    task: asyncio.Task[None] | None = None


class Reconciler:
    """The reconciliations of one connection.

    `send` takes a text frame; `room` returns when more may be sent.
    """

    def __init__(
        self,
        snapshots: Snapshots,
        settings: RelaySettings,
        metrics: Metrics,
        send: Callable[[str], None],
        room: Callable[[], Awaitable[None]],
    ) -> None:
        self._snapshots = snapshots
        self._settings = settings
        self._metrics = metrics
        self._send = send
        self._room = room
        self._talks: dict[str, _Talk] = {}

    def take(self, asked: Reconcile, reader: Reader) -> None:
        """The client sent this; the answer follows by itself."""
        match asked.message:
            case NegOpen(subscription, _, frame):
                self._end(subscription)
                if len(self._talks) >= self._settings.max_reconciliations:
                    self._refuse(subscription, Prefix.RATE_LIMITED, "too many reconciliations")
                    return
                self._metrics.reconciliations += 1
                talk = self._talks[subscription] = _Talk()
                talk.frames.put_nowait(frame)
                work = self._serve(subscription, talk, asked.filters, reader.visibility)
                talk.task = asyncio.create_task(work)
                talk.task.add_done_callback(self._ended)
            case NegMessage(subscription, frame):
                known = self._talks.get(subscription)
                if known is None:
                    self._refuse(subscription, _OVER, "there is no such reconciliation here")
                elif known.frames.full():
                    self._end(subscription)
                    self._refuse(subscription, Prefix.INVALID, "wait for the answer first")
                else:
                    known.frames.put_nowait(frame)
            case NegClose(subscription):
                self._end(subscription)

    def close(self) -> None:
        """The connection is gone."""
        for subscription in list(self._talks):
            self._end(subscription)

    async def _serve(
        self, subscription: str, talk: _Talk, filters: tuple[Filter, ...], visible: Visibility
    ) -> None:
        problem: Refusal | None = None
        most: int | None = None
        over = f"{_OVER}: you took too long"
        try:
            async with self._snapshots.hold(filters, visible) as records:
                responder = Responder(records, self._settings.max_reconciliation_frame)
                while True:
                    async with asyncio.timeout(self._settings.reconciliation_seconds):
                        frame = await talk.frames.get()
                    answer = await in_slices(responder.answering(frame))
                    await self._room()
                    self._send(NegMessage(subscription, answer).to_text())
        except TooMany:
            most = self._settings.max_reconciled
            problem = Refusal(Prefix.BLOCKED, "too many events match, ask for a shorter time")
        except NoRoom:
            problem = Refusal(Prefix.RATE_LIMITED, "too many reconciliations here, try again later")
        except InvalidFrame as error:
            self._metrics.malformed += 1
            problem = Refusal(Prefix.INVALID, str(error))
        except StoreError:
            problem = Refusal(Prefix.ERROR, "the store could not be read")
        except TimeoutError:
            pass
        if self._talks.get(subscription) is talk:
            del self._talks[subscription]
            self._send(NegError(subscription, str(problem) if problem else over, most).to_text())

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            self._metrics.failures += 1

    def _end(self, subscription: str) -> None:
        talk = self._talks.pop(subscription, None)
        if talk is not None and talk.task is not None:
            talk.task.cancel()

    def _refuse(self, subscription: str, word: str, reason: str) -> None:
        self._send(NegError(subscription, f"{word}: {reason}").to_text())
