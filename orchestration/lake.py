"""The lake: Parquet tables as immutable part files, and what identifies their content.

Raw tables grow by part files named after the delivery that brought them, so that writing them
again changes nothing. Curated tables are one file each, replaced whole.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from orchestration.files import replacing, sha256_of_file
from orchestration.home import Home

COMPRESSION = "zstd"
#: Rows of a group: reading one row, for its proof, decodes the group it is in.
ROW_GROUP = 65_536
#: A part with the schema and no row, so that every table can be read before anything has landed.
EMPTY_PART = "schema.parquet"


@dataclass(frozen=True)
class Lake:
    """The tables below a home's ``lake/``."""

    home: Home

    def folder(self, dataset: str) -> Path:
        """Return the folder of a dataset."""
        return self.home.lake / dataset

    def parts(self, dataset: str, partition: str | None = None) -> list[Path]:
        """Return the part files of a dataset (or of one partition) that can hold rows."""
        folder = self.folder(dataset) / partition if partition else self.folder(dataset)
        return sorted(path for path in folder.rglob("*.parquet") if _is_part(path))

    def partitions(self, dataset: str) -> list[str]:
        """Return the names of the partitions that have part files."""
        folder = self.folder(dataset)
        return sorted({path.parent.name for path in self.parts(dataset) if path.parent != folder})

    def rows(self, dataset: str) -> int:
        """Return the number of rows, from the files' footers."""
        return sum(pq.read_metadata(path).num_rows for path in self.parts(dataset))

    def read(self, dataset: str, columns: Sequence[str] | None = None) -> pa.Table:
        """Return a dataset as one Arrow table.

        Raises:
            FileNotFoundError: The dataset has not been built.
        """
        selected = list(columns) if columns else None
        return pa.concat_tables(
            [pq.ParquetFile(path).read(selected) for path in self.files(dataset)]
        )

    def read_without_blobs(self, dataset: str) -> pa.Table:
        """Return a dataset with every binary value emptied: null stays null.

        Contracts ask of a blob only whether it is there; half a gigabyte of ledger values need
        not be in memory for that.
        """
        return pa.concat_tables(
            [_without_blobs(pq.ParquetFile(path).read()) for path in self.files(dataset)]
        )

    def files(self, dataset: str) -> list[Path]:
        """Return what to read of a dataset: its parts, or the empty one where there is none.

        Raises:
            FileNotFoundError: The dataset has not been built.
        """
        folder = self.folder(dataset)
        if found := self.parts(dataset) or sorted(folder.glob(EMPTY_PART)):
            return found
        raise FileNotFoundError(
            f"lake/{dataset}: expected Parquet files; found none. Run `tracient run` first."
        )

    def fingerprint(self, dataset: str) -> str:
        """Return a digest that changes whenever the dataset's content does."""
        digest = hashlib.sha256()
        for path in self.parts(dataset):
            relative = path.relative_to(self.home.lake)
            digest.update(f"{relative} {sha256_of_file(path)}\n".encode())
        return digest.hexdigest()

    def ensure_readable(self, dataset: str, schema: pa.Schema) -> None:
        """Write a part without rows where a dataset has no part yet."""
        path = self.folder(dataset) / EMPTY_PART
        if not path.exists():
            with replacing(path) as temporary:
                pq.write_table(
                    schema.empty_table(),
                    temporary,
                    compression=COMPRESSION,
                    row_group_size=ROW_GROUP,
                )

    def write_part(self, path: Path, table: pa.Table) -> None:
        """Write one part file in one step."""
        with replacing(path) as temporary:
            pq.write_table(table, temporary, compression=COMPRESSION, row_group_size=ROW_GROUP)

    def split_known(
        self, dataset: str, incoming: pa.Table, key: Sequence[str]
    ) -> tuple[pa.Table, int, pa.Table]:
        """Split incoming rows by whether a row with their key is in the lake already.

        Returns:
            The rows with a new key; the number of rows that are known to the letter; and the
            rows whose key is known with other content.
        """
        if not (files := [str(path) for path in self.parts(dataset)]):
            return incoming, 0, incoming.slice(0, 0)
        with duckdb.connect() as connection:
            connection.register("incoming", incoming)
            known = connection.read_parquet(files)
            known.create_view("known")
            columns = ", ".join(f'"{name}"' for name in incoming.column_names)
            keys = ", ".join(f'"{name}"' for name in key)
            query = connection.sql
            new = query(f"from incoming anti join known using ({keys})").to_arrow_table()
            other = query(
                f"(from incoming semi join known using ({keys})) "
                f"except all (select {columns} from known)"
            ).to_arrow_table()
        same = incoming.num_rows - new.num_rows - other.num_rows
        return new.cast(incoming.schema), same, other.cast(incoming.schema)


def _is_part(path: Path) -> bool:
    return (
        not path.name.startswith(".") and path.name != EMPTY_PART and ".retained" not in path.parts
    )


def _without_blobs(table: pa.Table) -> pa.Table:
    for number, field in enumerate(table.schema):
        if pa.types.is_binary(field.type) or pa.types.is_large_binary(field.type):
            empty = pc.if_else(pc.is_null(table[number]), None, pa.scalar(b"", field.type))
            table = table.set_column(number, field, empty)
    return table


def export_tables(
    warehouse_file: Path, lake: Lake, tables: Mapping[str, Sequence[str]]
) -> dict[str, int]:
    """Copy curated tables from the warehouse into the lake, sorted by their keys.

    Sorting makes the file a function of the rows alone, so that an unchanged table keeps its
    snapshot.

    Args:
        warehouse_file: dbt's DuckDB file.
        lake: Where the Parquet files go.
        tables: Columns of the unique key by table name.

    Returns:
        Rows by table name.
    """
    rows = {}
    with duckdb.connect(str(warehouse_file), read_only=True) as connection:
        for name, key in tables.items():
            target = lake.folder(name) / "data.parquet"
            order = ", ".join(f'"{column}"' for column in key)
            with replacing(target) as temporary:
                connection.execute(
                    f"copy (from {name} order by {order}) to '{temporary}' "
                    f"(format parquet, compression {COMPRESSION})"
                )
            rows[name] = pq.read_metadata(target).num_rows
    return rows
