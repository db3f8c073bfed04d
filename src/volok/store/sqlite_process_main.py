"""The process that writes for a store: `python -m volok.store.sqlite_process_main DESCRIPTOR`.

It ends when its socket ends, after everything that came is committed.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from volok.store.children import Parent, parent_of
from volok.store.sqlite_changes import Job, events_in
from volok.store.sqlite_wire import OPENED, Start, done_to_message, error_to_message, job_of
from volok.store.sqlite_writer import Writer
from volok.store.store import Entry, StoreError


class ParentCallers:
    """`volok.store.sqlite_changes.Callers` who are in the parent."""

    def __init__(self, parent: Parent) -> None:
        self._parent = parent

    def gather(self, events: int, seconds: float | None) -> tuple[list[Job], bool]:
        """See Callers."""
        jobs: list[Job] = []
        held = 0
        while True:
            for message in self._parent.messages():
                jobs.append(job_of(message))
                held += len(events_in(jobs[-1]))
                if held >= events:
                    return jobs, True
            if self._parent.has_ended:
                return jobs, False
            if not self._parent.wait(0 if jobs else seconds):
                return jobs, True

    def done(self, jobs: Sequence[Job], fresh: Sequence[Entry], head: int) -> None:
        """See Callers."""
        self._parent.say(done_to_message(jobs, fresh, head))

    def failed(self, jobs: Sequence[Job], error: StoreError) -> None:
        """See Callers."""
        self._parent.say(error_to_message([job.ticket for job in jobs], error))


def main() -> None:
    """Write for the store behind the socket."""
    parent = parent_of(sys.argv)
    while not parent.has_ended:
        parent.wait(None)
        for message in parent.messages():
            _write(Start.of(message), parent)
            return


def _write(start: Start, parent: Parent) -> None:
    try:
        writer = Writer.open(start.path, start.key, start.options)
    except StoreError as error:
        parent.say(error_to_message([], error))
        return
    parent.say((OPENED, writer.head))
    writer.run(ParentCallers(parent))


if __name__ == "__main__":
    main()
