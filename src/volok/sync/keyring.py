"""Showing a relay which keys we hold (NIP-42), several on one connection. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from volok.model.auth import auth_event
from volok.model.crypto import Signer
from volok.model.event import InvalidEvent
from volok.sync.dialogue import InboxKey, Moment, Send
from volok.sync.messages import Auth

MAX_CHALLENGE = 1024
"""Characters of a challenge that is still answered."""


@dataclass(frozen=True, slots=True)
class _Asked:
    public: str
    challenge: str
    ahead: int
    deadline: float


class Keyring:
    """The keys shown on one connection, and what the relay said to each."""

    def __init__(self, relay: str, signer: Signer, timeout: float) -> None:
        self._relay = relay
        self._signer = signer
        self._timeout = timeout
        self._asked: dict[str, _Asked] = {}
        self.challenge: str | None = None
        self.ahead: int | None = None
        """Seconds to add to our clock so that the relay finds our answers fresh; None: not asked
        yet."""
        self.held: set[str] = set()
        """Public keys that the relay accepted."""
        self.refused: set[str] = set()
        """Public keys that it did not."""

    @property
    def waiting(self) -> bool:
        """Whether an answer is still to come."""
        return bool(self._asked)

    @property
    def pending(self) -> bool:
        """Whether it is too early to say that the relay takes none of our keys."""
        return self.waiting or self.ahead is None

    @property
    def deadline(self) -> float | None:
        """When waiting for it ends."""
        return min((one.deadline for one in self._asked.values()), default=None)

    def challenged(self, challenge: str) -> None:
        """The relay sent a challenge; the latest one counts."""
        if 0 < len(challenge) <= MAX_CHALLENGE:
            self.challenge = challenge

    def show(self, keys: Iterable[InboxKey], now: Moment) -> list[Send]:
        """Answer the challenge with those of the keys that the relay has not judged yet."""
        frames: list[Send] = []
        busy = {one.public for one in self._asked.values()} | self.held | self.refused
        for key in keys:
            if self.challenge is None or key.public in busy:
                continue
            ahead = self.ahead or 0
            try:
                event = auth_event(
                    self._signer, key.secret, self._relay, self.challenge, now.unix + ahead
                )
            except InvalidEvent:
                # A challenge that cannot be written into an event is no challenge.
                self.challenge = None
                break
            deadline = now.timer + self._timeout
            self._asked[event.id] = _Asked(key.public, self.challenge, ahead, deadline)
            frames.append(Send(Auth(event).to_text()))
        return frames

    def answered(self, event_id: str, accepted: bool) -> bool:
        """The relay sent an OK; returns whether it was about one of our keys."""
        asked = self._asked.pop(event_id, None)
        if asked is None:
            return False
        if accepted:
            self.held.add(asked.public)
        elif (asked.challenge, asked.ahead) == (self.challenge, self.ahead or 0):
            self.refused.add(asked.public)
        # Otherwise a newer challenge or a better clock made this answer void: it is given again.
        return True

    def expire(self, now: Moment) -> None:
        """Take silence for consent: some relays do not answer AUTH."""
        for name, asked in list(self._asked.items()):
            if asked.deadline <= now.timer:
                del self._asked[name]
                self.held.add(asked.public)
