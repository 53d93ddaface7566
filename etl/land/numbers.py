"""The number of every row that a home has seen: the `source_row_id` of its first arrival, told by key or by content.

What no earlier batch had is kept for each, in `lake/numbers/<source>/<table>/<batch>.<columns>.parquet` (content,
occurrence, first_row_id). So a night reads its own batch and each row's number once, however many snapshots
came before. The files are made of the batches alone, and made again where they are missing or the contract tells rows
apart by other columns.
"""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from etl.cdm import quoted
from etl.config import Settings
from etl.engine import relation, write_parquet
from etl.land.contract import ROW_ID, SourceTable
from etl.land.landed import batch_select


def identified(table: SourceTable, rows: str) -> str:
    """The rows of one batch with what tells each from all others: `content` and `occurrence`.

    The content is the key, or the whole row where there is none; equal rows are told apart by their order.
    """
    known = f"SELECT *, {_content(table)} AS content FROM ({rows})"
    occurrence = "1" if table.key else f"row_number() OVER (PARTITION BY content ORDER BY {ROW_ID})"
    return f"SELECT *, CAST({occurrence} AS INTEGER) AS occurrence FROM ({known})"


def first_numbers(
    con: Any, settings: Settings, source: str, table: SourceTable, batches: Mapping[int, Path]
) -> list[Path]:
    """The files with the numbers of all rows of these batches, all of the home; those that are missing are written."""
    folder = settings.lake / "numbers" / source / table.name
    found: list[Path] = []
    for number in sorted(batches):
        path = folder / f"{number}.{_columns_digest(table)}.parquet"
        if not path.exists():
            rows = identified(table, batch_select(con, table, batches[number]))
            new = f"SELECT content, occurrence, {ROW_ID} AS first_row_id FROM ({rows}) AS row"
            if found:
                new += f" ANTI JOIN {relation(found)} AS known USING (content, occurrence)"
            write_parquet(con, new, path)
            for other in folder.glob(f"{number}.*.parquet"):
                if other != path:
                    other.unlink(missing_ok=True)
        found.append(path)
    return found


def numbered(table: SourceTable, rows: str, numbers: Sequence[Path]) -> str:
    """The contract's columns of identified rows, with the number of each.

    Two processes that land at once may both have written a row as new: the smaller number is its first.
    """
    columns = ", ".join(f"row.{quoted(column.lower)}" for column in table.columns)
    return (
        f"WITH row AS ({rows}), number AS (SELECT content, occurrence, min(first_row_id) AS {ROW_ID} "
        f"FROM {relation(numbers)} WHERE content IN (SELECT content FROM row) GROUP BY content, occurrence) "
        f"SELECT {columns}, number.{ROW_ID} FROM row JOIN number USING (content, occurrence)"
    )


def _told_by(table: SourceTable) -> list[str]:
    return list(table.key) or [column.lower for column in table.columns]


def _content(table: SourceTable) -> str:
    """MD5 of the values, each with its length before it, so that no two rows make the same text."""
    values = (f"CAST({quoted(name)} AS VARCHAR)" for name in _told_by(table))
    texts = (f"coalesce(strlen({value}) || ':' || {value}, '-')" for value in values)
    return f"unhex(md5(concat({', '.join(texts)})))"


def _columns_digest(table: SourceTable) -> str:
    types = {column.lower: column.sql_type for column in table.columns}
    told = [f"{name} {types[name]}" for name in _told_by(table)]
    return hashlib.sha256("\n".join(told).encode()).hexdigest()[:8]
