"""`python -m bench.store_ids [IDS]`: what it takes to find ids in runs (ADR 35) and in one index.

Both tables are in memory and hold the same three million ids, unless said otherwise.
"""

from __future__ import annotations

import argparse
import os
import random
import time
from collections.abc import Sequence

import apsw

from volok.store.sqlite_file import IDS
from volok.store.sqlite_ids import ALL_RUNS, MOVED_PER_EVENT, merge, number_of, run_of

_COMMIT = 2_000
_TIMES = 200
_NEWEST = 10_000
_ONE_INDEX = "CREATE TABLE one (id BLOB PRIMARY KEY, number INTEGER) STRICT, WITHOUT ROWID"
_INSERT = (
    f"INSERT INTO ids SELECT {run_of('(rowid + ?1)', '0')}, value, rowid + ?1"
    " FROM carray(?2) ORDER BY 1, 2"
)
_IN_RUNS = f"{ALL_RUNS} SELECT count({number_of('c.value')}) FROM carray(?) c"
_IN_ONE = "SELECT count(i.number) FROM carray(?) c CROSS JOIN one i ON i.id = c.value"


def main(words: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.store_ids", description=__doc__)
    parser.add_argument("ids", nargs="?", type=int, default=3_000_000)
    count = parser.parse_args(words).ids
    connection = apsw.Connection(":memory:")
    connection.execute(IDS)
    connection.execute(_ONE_INDEX)
    names = [os.urandom(16) for _ in range(count)]
    began = time.perf_counter()
    for start in range(0, count, _COMMIT):
        part = names[start : start + _COMMIT]
        connection.execute(_INSERT, (start, apsw.carray(tuple(part))))
        merge(connection, start + len(part), MOVED_PER_EVENT * len(part))
    took = time.perf_counter() - began
    connection.execute("INSERT INTO one SELECT id, number FROM ids ORDER BY id")
    runs = connection.execute(f"{ALL_RUNS} SELECT count(run) FROM runs").get
    print(f"{count:,} ids in {runs} runs; {took / count * 1e6:.1f} us each to insert and to move")
    for kind, asked in (("", names), (" of the newest", names[-_NEWEST:])):
        for many in (1, 20, 512):
            in_runs, in_one = (_find(connection, sql, asked, many) for sql in (_IN_RUNS, _IN_ONE))
            print(
                f"{many}{kind}: {in_runs * 1e6:,.0f} us in runs, {in_one * 1e6:,.0f} us in one"
                f" index: {in_runs / in_one:.1f} times as long"
            )


def _find(connection: apsw.Connection, sql: str, names: Sequence[bytes], many: int) -> float:
    """Seconds to find so many ids at once, the mean of some times."""
    asked = [apsw.carray(tuple(sorted(random.choices(names, k=many)))) for _ in range(_TIMES)]
    began = time.perf_counter()
    for ids in asked:
        if connection.execute(sql, (ids,)).get != many:
            raise AssertionError("An id was not found, or more than once.")
    return (time.perf_counter() - began) / _TIMES


if __name__ == "__main__":
    main()
