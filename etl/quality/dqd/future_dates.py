"""Dates in the future of DQD's clock (plausibleValueHigh, `tomorrow`), by day: the clock goes on, and so can a count.

Counted today, a prescription that ends in three weeks is violated until then, whoever is made again meanwhile. A
release keeps `quality/future_dates.parquet`; a later night leaves out the days that have passed, takes away what its
persons had and adds what they have.
"""

from collections.abc import Iterable
from pathlib import Path

from etl.cdm import quoted
from etl.engine import quote_path
from etl.quality.candidate import Connection, relation_of
from etl.quality.dqd.catalogue import DqdCheck

FILE = "future_dates.parquet"
EMPTY = "SELECT '' AS check_id, CAST(NULL AS DATE) AS day, CAST(NULL AS BIGINT) AS rows WHERE false"


def is_of_future(check: DqdCheck) -> bool:
    return check.check_name == "plausibleValueHigh" and check.argument == "tomorrow"


def write_future_dates(con: Connection, checks: Iterable[DqdCheck], today: str, output: Path) -> None:
    """Write (check_id, day, rows) of the days after tomorrow; `today` is an SQL expression of type date."""
    selects = [
        f"SELECT '{check.check_id}' AS check_id, CAST({quoted(check.field)} AS DATE) AS day, count(*) AS rows "
        f"FROM {relation_of(check.table)} WHERE CAST({quoted(check.field)} AS DATE) > {today} + 1 GROUP BY ALL"
        for check in checks
        if is_of_future(check)
    ]
    _write(con, " UNION ALL ".join(selects) or EMPTY, output)


def merge_future_dates(
    con: Connection, base: Path, before: Path, now: Path, today: str, output: Path
) -> dict[str, int]:
    """Write base - before + now of the days after tomorrow; violated rows by check id, of those that have any."""
    union = " UNION ALL ".join(
        f"SELECT check_id, day, {sign} * rows AS rows FROM read_parquet({quote_path(path)})"
        for path, sign in ((base, 1), (before, -1), (now, 1))
    )
    _write(
        con,
        f"SELECT check_id, day, CAST(sum(rows) AS BIGINT) AS rows FROM ({union}) WHERE day > {today} + 1 "
        "GROUP BY ALL HAVING sum(rows) <> 0",
        output,
    )
    return dict(
        con.execute(
            f"SELECT check_id, CAST(sum(rows) AS BIGINT) FROM read_parquet({quote_path(output)}) GROUP BY 1"
        ).fetchall()
    )


def _write(con: Connection, select: str, output: Path) -> None:
    output.parent.mkdir(parents=True, exist_ok=True)
    con.execute(f"COPY ({select}) TO {quote_path(output)} (FORMAT parquet, COMPRESSION zstd)")
