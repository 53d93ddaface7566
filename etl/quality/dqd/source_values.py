"""Distinct source values, the one count of DQD that rows do not add up to: kept per value, so that a night can.

A value is known by its MD5 only. A release keeps `quality/source_values.parquet`; the next night takes away what its
persons had and adds what they have, and counts again the values that are left.
"""

from collections.abc import Sequence
from pathlib import Path

from etl.cdm import quoted
from etl.engine import quote_path
from etl.quality.candidate import Connection, relation_of
from etl.quality.dqd.catalogue import DqdCheck

FILE = "source_values.parquet"
EMPTY = (
    "SELECT CAST(NULL AS VARCHAR) AS check_id, CAST(NULL AS VARCHAR) AS value_hash, CAST(NULL AS BIGINT) AS rows, "
    "CAST(NULL AS BIGINT) AS rows_unmapped WHERE false"
)


def write_source_values(con: Connection, checks: Sequence[DqdCheck], output: Path) -> dict[str, tuple[int, int]]:
    """Write (check_id, value_hash, rows, rows_unmapped) of each field's values; the counts by check id."""
    grouped = (
        f"SELECT '{check.check_id}' AS check_id, {quoted(check.field)} AS value, count(*) AS rows, "
        f"count(*) FILTER (WHERE {quoted(check.argument)} = 0) AS rows_unmapped "
        f"FROM {relation_of(check.table)} GROUP BY {quoted(check.field)}"
        for check in checks
    )
    hashed = [f"SELECT check_id, md5(value) AS value_hash, rows, rows_unmapped FROM ({select})" for select in grouped]
    return _write(con, " UNION ALL ".join(hashed) or EMPTY, output)


def merge_source_values(
    con: Connection, base: Path, before: Path, now: Path, output: Path
) -> dict[str, tuple[int, int]]:
    """Write base - before + now, values without a row left out; the counts by check id.

    `before` are the rows that the release has of the night's persons, `now` those that replace them.
    """
    parts = ((base, 1), (before, -1), (now, 1))
    union = " UNION ALL ".join(
        f"SELECT check_id, value_hash, {sign} * rows AS rows, {sign} * rows_unmapped AS rows_unmapped "
        f"FROM read_parquet({quote_path(path)})"
        for path, sign in parts
    )
    return _write(
        con,
        "SELECT check_id, value_hash, CAST(sum(rows) AS BIGINT) AS rows, "
        f"CAST(sum(rows_unmapped) AS BIGINT) AS rows_unmapped FROM ({union}) GROUP BY ALL HAVING sum(rows) <> 0",
        output,
    )


def count_source_values(con: Connection, path: Path) -> dict[str, tuple[int, int]]:
    """Distinct values (NULL is one) with an unmapped row, and all distinct values, by check id."""
    return {
        check_id: (violated, denominator)
        for check_id, violated, denominator in con.execute(
            "SELECT check_id, count(*) FILTER (WHERE rows_unmapped > 0), count(*) "
            f"FROM read_parquet({quote_path(path)}) GROUP BY check_id"
        ).fetchall()
    }


def _write(con: Connection, select: str, output: Path) -> dict[str, tuple[int, int]]:
    output.parent.mkdir(parents=True, exist_ok=True)
    con.execute(f"COPY ({select}) TO {quote_path(output)} (FORMAT parquet, COMPRESSION zstd)")
    return count_source_values(con, output)
