"""People who were erased and still stand in a ledger's records, which cannot be changed.

What belongs here: telling a build whose records it leaves out. What does not: erasing somebody
(``ledger_anchor``), and leaving the rows of feeds out as they arrive (``ingest``).

The key store remembers erased people by keyed digests only. So the ledger's people are held against
it for each build, and whoever was erased stands in a private file while the build runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from ledger_anchor import SnapshotStore
from orchestration.domains import Domain
from orchestration.files import read_json, replacing, write_json
from orchestration.home import Home
from orchestration.lake import Lake

_AT_ONCE = 100_000
_PRIVATE = 0o600


def erasures(home: Home) -> int:
    """Return how many people were erased so far: a build of an earlier number is out of date."""
    return SnapshotStore(home.root).erasures()


def drop_outdated_warehouse(home: Home) -> bool:
    """Remove the warehouse if somebody was erased since it was begun; return whether it was.

    A database keeps deleted rows in its free pages. Everything in it can be built again.
    """
    mark, now = home.state / "erasures.json", erasures(home)
    if now == read_json(mark, 0):
        return False
    home.warehouse_file.unlink(missing_ok=True)
    home.warehouse_file.with_suffix(".duckdb.wal").unlink(missing_ok=True)
    write_json(mark, now)
    return True


@contextmanager
def erased_people(home: Home, domain: Domain) -> Iterator[Path | None]:
    """Yield a Parquet file with one column, ``person``: whose ledger records a build leaves out.

    Args:
        home: The home.
        domain: The domain that is built.

    Yields:
        The file, gone afterwards; None where nobody on the domain's ledger was erased.
    """
    found = sorted(_erased_on_ledger(home, domain))
    if not found:
        yield None
        return
    path = home.vault / f"erased_{domain.name}.parquet"
    try:
        with replacing(path) as temporary:
            temporary.touch(_PRIVATE)
            pq.write_table(pa.table({"person": pa.array(found, pa.string())}), temporary)
        yield path
    finally:
        path.unlink(missing_ok=True)


def _erased_on_ledger(home: Home, domain: Domain) -> set[str]:
    store = SnapshotStore(home.root)
    if domain.ledger_people is None or not store.erasures():
        return set()
    table, field = domain.ledger_people
    files = [str(path) for path in Lake(home).parts(table)]
    if not files:
        return set()
    erased: set[str] = set()
    with duckdb.connect() as connection:
        people = connection.execute(
            "select distinct try(json_extract_string(decode(value), ?)) as person "
            "from read_parquet(?, union_by_name = true) where person is not null",
            [f"$.{field}", files],
        )
        while rows := people.fetchmany(_AT_ONCE):
            erased |= store.erased(domain.name, [person for (person,) in rows])
    return erased
