"""The SQL that turns a file's text into typed columns, or says why it cannot.

Each value is checked against a regular expression before it is cast: DuckDB's casts accept too much ('2020' and
'2020-1-7' as dates, '1e3' as a number, '24:00:00' as the next day). On 1.3 million rows with five decimals and a
timestamp the guards cost 0.1 of 1.9 s.
"""

from collections.abc import Sequence
from pathlib import Path

from etl.cdm import quoted
from etl.engine import duckdb_type, quote_path
from etl.land.contract import DECIMAL, ROW_ID, SourceColumn, SourceTable
from etl.land.source_file import Header

DATE_TEXT = "[1-9][0-9]{3}-[0-9]{2}-[0-9]{2}"
TIME_TEXT = "([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9]{1,6})?Z?"
PATTERNS = {
    "integer": "[+-]?[0-9]{1,18}",
    "date": DATE_TEXT,
    "timestamp": f"{DATE_TEXT}([T ]{TIME_TEXT})?",
}


def pattern(column: SourceColumn) -> str | None:
    """The regular expression that a value must match as a whole; None for text."""
    if column.type == "text":
        return None
    decimal = DECIMAL.fullmatch(column.type)
    if decimal is None:
        return PATTERNS[column.type]
    before_point = int(decimal[1]) - int(decimal[2])
    return f"[+-]?[0-9]{{1,{max(before_point, 1)}}}([.][0-9]{{0,30}})?"


def read_text(path: Path, header: Header, table: SourceTable, told: int) -> str:
    """A FROM text: the contract's columns as text under their lower-case names; those the file lacks are NULL.

    Records with too few or too many fields are left out, and `told` of them in `reject_errors`; empty fields are NULL.
    """
    columns = ", ".join(f"'c{position}': 'VARCHAR'" for position in range(header.fields))
    chosen = ", ".join(
        f"c{header.positions[c.lower]} AS {quoted(c.lower)}"
        if c.lower in header.positions
        else f"CAST(NULL AS VARCHAR) AS {quoted(c.lower)}"
        for c in table.columns
    )
    return (
        f"(SELECT {chosen} FROM read_csv({quote_path(path)}, auto_detect = false, header = true, delim = ',', "
        f"quote = '\"', escape = '\"', columns = {{{columns}}}, store_rejects = true, rejects_limit = {told}))"
    )


def reason(columns: Sequence[SourceColumn], header: Header) -> str:
    """A CASE: why a row is rejected, the first reason in the contract's order, or NULL."""
    tests: list[str] = []
    for column in columns:
        name = quoted(column.lower)
        if column.required:
            tests.append(f"WHEN {name} IS NULL OR trim({name}) = '' THEN '{column.name} is empty'")
        regular = pattern(column)
        if regular is None or column.lower not in header.positions:
            continue
        tests.append(
            f"WHEN {name} IS NOT NULL AND NOT regexp_full_match({name}, '{regular}') "
            f"THEN '{column.name} is not {_article(column.type)}'"
        )
        if column.type in ("date", "timestamp"):
            tests.append(
                f"WHEN {name} IS NOT NULL AND try_cast({name} AS {duckdb_type(column.sql_type)}) IS NULL "
                f"THEN '{column.name} is an impossible date'"
            )
        elif column.type != "text":
            tests.append(
                f"WHEN {name} IS NOT NULL AND try_cast({name} AS {duckdb_type(column.sql_type)}) IS NULL "
                f"THEN '{column.name} is out of range'"
            )
    return f"CASE {' '.join(tests)} END" if tests else "CAST(NULL AS VARCHAR)"


def _article(kind: str) -> str:
    return f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"


def landed_select(source: str, table: SourceTable, header: Header, first_row_id: int) -> str:
    """The accepted rows, typed and numbered in the order of the file.

    `row_number() OVER ()` streams in file order on one thread: tables run side by side instead (see `folder`).
    """
    typed = ", ".join(
        quoted(c.lower)
        if c.type == "text"
        else f"try_cast({quoted(c.lower)} AS {duckdb_type(c.sql_type)}) AS {quoted(c.lower)}"
        for c in table.columns
    )
    return (
        f"SELECT {typed}, CAST({first_row_id - 1} + row_number() OVER () AS BIGINT) AS {ROW_ID} "
        f"FROM (SELECT * FROM {source} WHERE {reason(table.columns, header)} IS NULL)"
    )


def rejected_select(source: str, table: SourceTable, header: Header) -> str:
    """Ordinal among the file's well-formed records, and reason, of the rows that `landed_select` leaves out."""
    return (
        f"SELECT ordinal, reason FROM (SELECT row_number() OVER () AS ordinal, "
        f"{reason(table.columns, header)} AS reason FROM {source}) WHERE reason IS NOT NULL"
    )


def later_duplicates_select(landed: str, table: SourceTable) -> str:
    """Row id and reason of every row whose key an earlier row has; identical rows are told apart from other ones."""
    key = ", ".join(quoted(name) for name in table.key)
    everything = ", ".join(quoted(column.lower) for column in table.columns)
    return (
        f"SELECT {ROW_ID}, CASE WHEN row_number() OVER (PARTITION BY {everything} ORDER BY {ROW_ID}) > 1 "
        f"THEN 'duplicate row' ELSE 'duplicate key' END AS reason FROM {landed} "
        f"QUALIFY row_number() OVER (PARTITION BY {key} ORDER BY {ROW_ID}) > 1"
    )
