"""The SQL that turns a file's text into typed columns, or says why it cannot.

Each value is checked against a regular expression before it is cast: DuckDB's casts accept too much ('2020' and
'2020-1-7' as dates, '1e3' as a number, '24:00:00' as the next day). On 1.3 million rows with five decimals and a
timestamp the guards cost 0.1 of 1.9 s.

Times keep the source's local time. A time with an offset is converted to the zone that the contract declares, by the
engine's own table of zones (a plain cast would drop the offset silently), and refused where it declares none. Of 2.6
million times that end in Z, none costs more than a local one under UTC (0.5 s); under Asia/Seoul they take 1.2 s.
"""

from collections.abc import Sequence
from pathlib import Path

from etl.cdm import quoted
from etl.engine import duckdb_type, quote_path
from etl.land.contract import DECIMAL, ROW_ID, SourceColumn, SourceTable
from etl.land.source_file import Header

DATE_TEXT = "[1-9][0-9]{3}-[0-9]{2}-[0-9]{2}"
TIME_TEXT = "([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9]{1,6})?"
OFFSET_TEXT = "(Z|[+-](0[0-9]|1[0-3])(:?[0-5][0-9])?|[+-]14(:?00)?)"
LOCAL_TIME = f"{DATE_TEXT}([T ]{TIME_TEXT})?"
ZONED_TIME = f"{DATE_TEXT}[T ]{TIME_TEXT}{OFFSET_TEXT}"
PATTERNS = {
    "integer": "[+-]?[0-9]{1,18}",
    "date": DATE_TEXT,
    "timestamp": f"{DATE_TEXT}([T ]{TIME_TEXT}{OFFSET_TEXT}?)?",
}
LONGEST_LOCAL = len("2020-01-02T03:04:05")  # without fractions of a second


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


def typed(column: SourceColumn, time_zone: str | None) -> str:
    """An expression: the column's text as its type, NULL where that is impossible; times in `time_zone`."""
    name = quoted(column.lower)
    if column.type == "text":
        return name
    plain = f"try_cast({name} AS {duckdb_type(column.sql_type)})"
    if column.type != "timestamp" or time_zone is None:
        return plain
    # The cheap questions come first: no time of day, or Z under UTC, where nothing is to be converted.
    is_local = f"length({name}) <= {LONGEST_LOCAL}" + (f" OR {name} LIKE '%Z'" if time_zone == "UTC" else "")
    return (
        f"CASE WHEN {is_local} OR NOT regexp_matches({name}, ':[0-9.]+[Z+-]') THEN {plain} "
        f"ELSE {_converted(name, time_zone)} END"
    )


def _converted(name: str, time_zone: str) -> str:
    """A zoned time as the local one of `time_zone`; beyond the years 1000 to 9999 there is none."""
    local = f"try_cast({name} AS TIMESTAMPTZ) AT TIME ZONE {quote_path(time_zone)}"
    return f"CASE WHEN year({local}) BETWEEN 1000 AND 9999 THEN {local} END"


def _no_zone(column: SourceColumn) -> str:
    """The test of a time where the contract declares no zone: an offset has its own reason."""
    name = quoted(column.lower)
    return (
        f"WHEN {name} IS NOT NULL AND NOT regexp_full_match({name}, '{LOCAL_TIME}') THEN "
        f"CASE WHEN regexp_full_match({name}, '{ZONED_TIME}') "
        f"THEN '{column.name} has a time zone, and the contract declares none' "
        f"ELSE '{column.name} is not a timestamp' END"
    )


def reason(columns: Sequence[SourceColumn], header: Header, time_zone: str | None) -> str:
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
            _no_zone(column)
            if column.type == "timestamp" and time_zone is None
            else f"WHEN {name} IS NOT NULL AND NOT regexp_full_match({name}, '{regular}') "
            f"THEN '{column.name} is not {_article(column.type)}'"
        )
        fault = "is an impossible date" if column.type in ("date", "timestamp") else "is out of range"
        tests.append(f"WHEN {name} IS NOT NULL AND {typed(column, time_zone)} IS NULL THEN '{column.name} {fault}'")
    return f"CASE {' '.join(tests)} END" if tests else "CAST(NULL AS VARCHAR)"


def _article(kind: str) -> str:
    return f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"


def landed_select(source: str, table: SourceTable, header: Header, first_row_id: int) -> str:
    """The accepted rows, typed and numbered in the order of the file.

    `row_number() OVER ()` streams in file order on one thread: tables run side by side instead (see `folder`).
    """
    values = ", ".join(f"{typed(c, table.time_zone)} AS {quoted(c.lower)}" for c in table.columns)
    return (
        f"SELECT {values}, CAST({first_row_id - 1} + row_number() OVER () AS BIGINT) AS {ROW_ID} "
        f"FROM (SELECT * FROM {source} WHERE {reason(table.columns, header, table.time_zone)} IS NULL)"
    )


def rejected_select(source: str, table: SourceTable, header: Header) -> str:
    """Ordinal among the file's well-formed records, and reason, of the rows that `landed_select` leaves out."""
    return (
        f"SELECT ordinal, reason FROM (SELECT row_number() OVER () AS ordinal, "
        f"{reason(table.columns, header, table.time_zone)} AS reason FROM {source}) WHERE reason IS NOT NULL"
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
