"""One CSV file → one Parquet file, with what was rejected and why. Knows files only, no database.

The first pass reads, casts, numbers and writes at once. Only when its rows and the independent count of records
disagree, or a key occurs twice, is the file gone through record by record to say which rows are wrong.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from etl.cdm import quoted
from etl.engine import connection, quote_path
from etl.errors import ContractError
from etl.land import parsing
from etl.land.contract import ROW_ID, Contract, SourceTable
from etl.land.lines import Lines, by_line, by_record
from etl.land.records import Reject, Survey, survey, survey_lines, write_well_formed
from etl.land.source_file import NOTHING_LOADED, Header, Prepared

# Written and read back, 1.3 million rows: snappy 1.9 + 0.06 s, lz4 2.0 + 0.04 s, zstd 2.2 + 0.04 s,
# none 1.9 + 0.04 s and twice the bytes.
PARQUET = "FORMAT parquet, COMPRESSION snappy"

# Beyond so many bytes of a rejected record nobody reads on.
RAW_BYTES = 10_000


@dataclass(frozen=True)
class Written:
    """Rows of a landed file: received = landed + rejected, with the rejected by reason; and where they stand."""

    received: int
    landed: int
    reasons: Mapping[str, int]
    lines: Lines

    @property
    def rejected(self) -> int:
        return sum(self.reasons.values())


@dataclass(frozen=True)
class _Pass:
    """One reading of a file: rows written, rows left out by ordinal, and the lines of records that DuckDB skipped."""

    landed: int
    left_out: Mapping[int, str]
    skipped_lines: Sequence[int]

    @property
    def seen(self) -> int:
        return self.landed + len(self.left_out)


@dataclass(frozen=True)
class _Job:
    """All that stays the same while a file is landed."""

    contract: Contract
    table: SourceTable
    header: Header
    file_name: str
    first_row_id: int
    output: Path
    memory_limit: str | None


def land_file(
    contract: Contract,
    table: SourceTable,
    header: Header,
    prepared: Prepared,
    *,
    file_name: str,
    first_row_id: int,
    output: Path,
    rejects: Path,
    memory_limit: str | None = None,
) -> Written:
    """Write the accepted rows to `output` with contiguous row ids in file order, and the rejected ones to `rejects`.

    ContractError: more rejects than the contract allows, or a file that cannot be read in one way only.
    Both files are the caller's to rename; `rejects` is only written when there are any.
    """
    job = _Job(contract, table, header, file_name, first_row_id, output, memory_limit)
    with _reader(job) as con:
        done = _first_pass(con, job, prepared)
        duplicates = _duplicates(con, job, done)
        if not done.left_out and not duplicates and not done.skipped_lines and done.seen == prepared.records:
            return Written(done.landed, done.landed, {}, _lines(job, prepared, done.landed, (), {}))
        found, done, duplicates, wanted = _explain(con, job, prepared, done, duplicates)
        reasons = Counter(found.malformed) + Counter(done.left_out.values()) + Counter(duplicates.values())
        rows = (found.received, done.landed - len(duplicates))
        if found.received != rows[1] + sum(reasons.values()):
            raise _ambiguous(job, found.received, rows[1] + sum(reasons.values()))
        _refuse_beyond_limit(job, found.received, reasons)
        if duplicates:
            _remove(con, job, duplicates)
        lines = _lines(job, prepared, found.received, found.rejects, wanted)
        _write_rejects(con, found.rejects, lines, rejects)
    return Written(*rows, dict(sorted(reasons.items())), lines)


def _lines(
    job: _Job, prepared: Prepared, received: int, rejects: Sequence[Reject], left_out: Mapping[int, str]
) -> Lines:
    """Where the landed rows stand; told by the rejects alone where every line but the header is one record."""
    if received == prepared.lines - 1:
        rejected_lines = [reject.line_no for reject in rejects]
        return by_line(prepared.parts, prepared.lines, job.first_row_id, rejected_lines)
    return by_record(prepared.path, job.header.fields, prepared.parts, job.first_row_id, left_out)


@contextmanager
def _reader(job: _Job) -> Iterator[Any]:
    """A connection with one thread, so that rows keep the order of the file."""
    with connection(threads=1, memory_limit=job.memory_limit) as con:
        yield con


def _first_pass(con: Any, job: _Job, prepared: Prepared) -> _Pass:
    """Read the file as it is, or without its malformed records where DuckDB would stumble over a character."""
    if prepared.plain:
        return _read(con, job, prepared.path, prepared.records)
    return _read_cleaned(con, job, prepared, prepared.records)


def _read(con: Any, job: _Job, path: Path, expected: int) -> _Pass:
    """Write the output from one reading of `path`; the rows left out are looked up only if any can be missing."""
    con.execute("DROP TABLE IF EXISTS reject_errors")
    con.execute("DROP TABLE IF EXISTS reject_scans")
    # One record may have several errors. Should these be too few, the totals differ and the file is gone through.
    told = 2 * job.contract.allowed_rejects(expected) + 10
    source = parsing.read_text(path, job.header, job.table, told)
    select = parsing.landed_select(source, job.table, job.header, job.first_row_id)
    landed = int(con.execute(f"COPY ({select}) TO {quote_path(job.output)} ({PARQUET})").fetchone()[0])
    skipped = [row[0] for row in con.execute("SELECT DISTINCT line FROM reject_errors ORDER BY line").fetchall()]
    if landed + len(skipped) == expected:
        return _Pass(landed, {}, skipped)
    con.execute(f"CREATE OR REPLACE TEMP TABLE left_out AS {parsing.rejected_select(source, job.table, job.header)}")
    counts = dict(con.execute("SELECT reason, count(*) FROM left_out GROUP BY ALL").fetchall())
    _refuse_beyond_limit(job, landed + sum(counts.values()), Counter(counts))
    return _Pass(landed, dict(con.execute("SELECT ordinal, reason FROM left_out").fetchall()), skipped)


def _read_cleaned(con: Any, job: _Job, prepared: Prepared, expected: int) -> _Pass:
    cleaned = job.output.with_name(f"{job.output.name}.csv")
    try:
        write_well_formed(prepared.path, job.header.fields, cleaned)
        return _read(con, job, cleaned, expected)
    finally:
        cleaned.unlink(missing_ok=True)


def _duplicates(con: Any, job: _Job, done: _Pass) -> dict[int, str]:
    """Row ids whose key occurred before, with the reason; empty for "whole row" tables, whose equal rows all count.

    Hashes first: comparing 1.3 million of them takes 0.1 s, and equal counts prove that no key occurs twice.
    """
    if not job.table.key or done.landed < 2:
        return {}
    landed = f"read_parquet({quote_path(job.output)})"
    key = ", ".join(quoted(name) for name in job.table.key)
    distinct = int(con.execute(f"SELECT count(DISTINCT hash({key})) FROM {landed}").fetchone()[0])
    if distinct == done.landed:
        return {}
    # Equal hashes of different keys are possible too: then the exact query finds nothing.
    return dict(con.execute(parsing.later_duplicates_select(landed, job.table)).fetchall())


def _explain(
    con: Any, job: _Job, prepared: Prepared, done: _Pass, duplicates: dict[int, str]
) -> tuple[Survey, _Pass, dict[int, str], dict[int, str]]:
    """Which records are wrong, with the ordinals of the well-formed ones among them last.

    Reads the file again without the malformed ones where the two readers could differ.
    They cannot where the file has no quotes: both count commas then, and the totals are compared besides.
    """
    wanted = _wanted(job, done, duplicates)
    found = _survey(job, prepared, done, wanted)
    doubtful = prepared.has_quotes and prepared.plain and bool(found.malformed or done.skipped_lines)
    if done.seen != found.well_formed or doubtful:
        _refuse_beyond_limit(job, found.received, Counter(found.malformed))
        done = _read_cleaned(con, job, prepared, found.well_formed)
        duplicates = _duplicates(con, job, done)
        wanted = _wanted(job, done, duplicates)
        found = _survey(job, prepared, done, wanted)
    if done.seen != found.well_formed:
        raise _ambiguous(job, found.well_formed, done.seen)
    return found, done, duplicates, wanted


def _wanted(job: _Job, done: _Pass, duplicates: Mapping[int, str]) -> dict[int, str]:
    """Ordinals of well-formed records that do not land, with their reasons."""
    wanted = dict(done.left_out)
    if duplicates:
        for row_id, ordinal in _ordinals(job.first_row_id, done):
            if row_id in duplicates:
                wanted[ordinal] = duplicates[row_id]
    return wanted


def _survey(job: _Job, prepared: Prepared, done: _Pass, wanted: Mapping[int, str]) -> Survey:
    keep = job.contract.allowed_rejects(prepared.lines)
    if prepared.plain and not prepared.has_quotes and done.seen + len(done.skipped_lines) == prepared.records:
        found = survey_lines(prepared.path, job.header.fields, wanted, done.skipped_lines, done.seen, keep)
        if found is not None:
            return found
    return survey(prepared.path, job.header.fields, wanted, keep)


def _ordinals(first_row_id: int, done: _Pass) -> Iterator[tuple[int, int]]:
    """(row id, ordinal among the well-formed records) of every row written so far."""
    row_id = first_row_id
    for ordinal in range(1, done.seen + 1):
        if ordinal not in done.left_out:
            yield row_id, ordinal
            row_id += 1


def _remove(con: Any, job: _Job, duplicates: Mapping[int, str]) -> None:
    """Write the output again without these rows, numbered without gaps."""
    rewritten = job.output.with_name(f"{job.output.name}.rewritten")
    con.execute("CREATE OR REPLACE TEMP TABLE removed AS SELECT unnest(?::BIGINT[]) AS row_id", [list(duplicates)])
    columns = ", ".join(quoted(column.lower) for column in job.table.columns)
    con.execute(
        f"COPY (SELECT {columns}, CAST({job.first_row_id - 1} + row_number() OVER () AS BIGINT) AS {ROW_ID} FROM "
        f"(SELECT * FROM read_parquet({quote_path(job.output)}) WHERE {ROW_ID} NOT IN (SELECT row_id FROM removed) "
        f"ORDER BY {ROW_ID})) TO {quote_path(rewritten)} ({PARQUET})"
    )
    rewritten.replace(job.output)


def _write_rejects(con: Any, rejects: tuple[Reject, ...], lines: Lines, output: Path) -> None:
    """File, record and line of each as the delivery's parts count them."""
    places = [lines.place(reject.record_no, reject.line_no) for reject in rejects]
    con.execute(
        "COPY (SELECT unnest(?::VARCHAR[]) AS file, unnest(?::BIGINT[]) AS record_no, unnest(?::BIGINT[]) AS line_no, "
        f"unnest(?::VARCHAR[]) AS reason, unnest(?::VARCHAR[]) AS raw) TO {quote_path(output)} ({PARQUET})",
        [
            *([place[part] for place in places] for part in range(3)),
            [reject.reason for reject in rejects],
            [reject.raw[:RAW_BYTES].decode("utf-8", errors="replace").replace("\0", "\ufffd") for reject in rejects],
        ],
    )


def _refuse_beyond_limit(job: _Job, received: int, reasons: Counter[str]) -> None:
    rejected = sum(reasons.values())
    allowed = job.contract.allowed_rejects(received)
    if rejected <= allowed:
        return
    listed = ", ".join(f"{reason}: {rows}" for reason, rows in reasons.most_common(5))
    raise ContractError(
        f"{job.file_name}: {rejected} of {received} rows do not fit the contract ({listed}); {allowed} may.",
        state=NOTHING_LOADED,
        todo=f"If the export changed, adapt {job.contract.path} ({job.table.name}); or drop another file.",
    )


def _ambiguous(job: _Job, counted: int, read: int) -> ContractError:
    return ContractError(
        f"{job.file_name} cannot be read in one way only: {counted} records by counting, {read} by reading.",
        state=NOTHING_LOADED,
        todo="Its quotes are probably broken in many places. Drop a file with sound quotes (RFC 4180).",
    )
