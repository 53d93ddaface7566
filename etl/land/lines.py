"""Where each landed row stands in its file: record and line, kept beside the batch as the few places where they jump.

Within a stretch of records of one line each, row, record and line count up together. So one entry for its start says
all; a file without rejects, blank lines and line breaks in quotes has one stretch.
"""

from bisect import bisect_right
from collections.abc import Container, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

from etl.config import Settings
from etl.engine import connection, quote_path, written_beside
from etl.land.records import records


@dataclass(frozen=True)
class Part:
    """A file of a delivery; `first_line` is the line of its first record in the text that is landed."""

    file: str
    first_line: int


@dataclass(frozen=True)
class Lines:
    """Stretches in the order of the text, columns of equal length.

    A stretch with a row id goes on by one row, record and line each; one with a record only is a rejected record; one
    with neither is of no record (blank lines, or the end of the file). Lines count from 1 with the header, within
    their file; `records_before` counts the records of the parts before each part.
    """

    parts: tuple[Part, ...]
    records_before: list[int] = field(default_factory=list)
    row_ids: list[int | None] = field(default_factory=list)
    part_nos: list[int] = field(default_factory=list)
    record_nos: list[int | None] = field(default_factory=list)
    line_nos: list[int] = field(default_factory=list)

    def add(self, part: int, line: int, record: int | None, row_id: int | None) -> None:
        """A stretch from this line and record of the whole text on."""
        self.part_nos.append(part)
        self.line_nos.append(line - self.parts[part].first_line + 2)
        self.record_nos.append(None if record is None else record - self.records_before[part])
        self.row_ids.append(row_id)

    def place(self, record: int, line: int) -> tuple[str, int, int]:
        """File, record and line within it, of a record of the whole text."""
        part = self.part_at(line)
        return (
            self.parts[part].file,
            record - self.records_before[part],
            line - self.parts[part].first_line + 2,
        )

    def part_at(self, line: int) -> int:
        return bisect_right(self.parts, line, key=lambda part: part.first_line) - 1


@dataclass(frozen=True)
class Place:
    """Where a row stands: `record_no` counts from 1 after the header, `line_no` from 1 with it."""

    file: str
    record_no: int
    line_no: int


@dataclass(frozen=True)
class Found:
    """What stands on a line: a landed row, a rejected record, or neither (a blank line, or none of the file's)."""

    row_id: int | None
    record_no: int | None


def by_line(parts: tuple[Part, ...], lines: int, first_row_id: int, rejected_lines: Sequence[int]) -> Lines:
    """The stretches of a text of `lines` lines, each but the header one record; `rejected_lines` in order."""
    found = Lines(parts, records_before=[part.first_line - 2 for part in parts])
    row_id, rejected = first_row_id, list(rejected_lines)
    ends = [part.first_line for part in parts[1:]] + [lines + 1]
    for part, (start, end) in enumerate(zip((part.first_line for part in parts), ends, strict=True)):
        for stop in [line for line in rejected if start <= line < end] + [end]:
            if stop > start:
                found.add(part, start, start - 1, row_id)
                row_id += stop - start
            found.add(part, stop, stop - 1 if stop < end else None, None)
            start = stop + 1
    return found


def by_record(path: Path, fields: int, parts: tuple[Part, ...], first_row_id: int, left_out: Container[int]) -> Lines:
    """The stretches of any text, record by record; `left_out` are ordinals of well-formed records that did not land.

    About half a million records a second: for files with line breaks in quotes, blank lines or broken quotes only.
    """
    found = Lines(parts)
    row_id, part, end, total = first_row_id, -1, 1, 0
    shift: tuple[int, int] | None = None
    for record in records(path, fields):
        if record.line_no > end + 1 and part >= 0:
            found.add(part, end + 1, None, None)
            shift = None
        while part + 1 < len(parts) and parts[part + 1].first_line <= record.line_no:
            part = _next_part(found, part, total)
            shift = None
        end, total = record.line_no + record.raw.count(b"\n"), record.record_no
        if record.reason is not None or record.ordinal in left_out:
            found.add(part, record.line_no, record.record_no, None)
            shift = None
            continue
        if shift != (record.record_no - row_id, record.line_no - row_id):
            shift = (record.record_no - row_id, record.line_no - row_id)
            found.add(part, record.line_no, record.record_no, row_id)
        row_id += 1
    if part >= 0:
        found.add(part, end + 1, None, None)
    while part + 1 < len(parts):
        part = _next_part(found, part, total)
        found.add(part, parts[part].first_line, None, None)
    return found


def _next_part(found: Lines, part: int, records_so_far: int) -> int:
    """End a part where the next one begins; the next one's number."""
    if part >= 0:
        found.add(part, found.parts[part + 1].first_line, None, None)
    found.records_before.append(records_so_far)
    return part + 1


def lines_path(settings: Settings, source: str, table: str, batch_id: int) -> Path:
    """The Parquet file of a batch's stretches."""
    return settings.lake / "lines" / source / table / f"{batch_id}.parquet"


def write_lines(lines: Lines, output: Path) -> None:
    """Write the stretches beside their place and rename; nothing but numbers and file names."""
    output.parent.mkdir(parents=True, exist_ok=True)
    names = pyarrow.array([part.file for part in lines.parts], pyarrow.string())
    table = pyarrow.table(
        {
            "source_row_id": pyarrow.array(lines.row_ids, pyarrow.int64()),
            "file": names.take(pyarrow.array(lines.part_nos, pyarrow.int64())),
            "record_no": pyarrow.array(lines.record_nos, pyarrow.int64()),
            "line_no": pyarrow.array(lines.line_nos, pyarrow.int64()),
        }
    )
    with written_beside(output) as beside:
        pyarrow.parquet.write_table(table, beside)


def place_of_row(path: Path, row_id: int) -> Place | None:
    """Where a row of the batch with these stretches stands; None where the stretches do not reach it."""
    found = _one(
        f"SELECT file, record_no + further, line_no + further FROM (SELECT *, ? - source_row_id AS further "
        f"FROM read_parquet({quote_path(path)})) WHERE further >= 0 ORDER BY further LIMIT 1",
        [row_id],
    )
    return Place(*found) if found else None


def row_at_line(path: Path, file: str, line_no: int, after_last: int) -> Found | None:
    """What stands on a line of a file of the batch; None when the batch has no such file.

    A record of several lines is found by each of them: the next row that starts a stretch, or the number after the
    batch's last row, says where the rows of this one end.
    """
    found = _one(
        f"""
        SELECT source_row_id, record_no, line_no, coalesce(next_row_id, ?) FROM (
            SELECT *, min(source_row_id) OVER (
                ORDER BY position ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING
            ) AS next_row_id
            FROM (SELECT *, file_row_number AS position FROM read_parquet({quote_path(path)}, file_row_number = true))
            QUALIFY file = ?
        ) WHERE line_no <= ? ORDER BY line_no DESC, position DESC LIMIT 1
        """,
        [after_last, file, line_no],
    )
    if found is None:
        known = _one(f"SELECT count(*) FROM read_parquet({quote_path(path)}) WHERE file = ?", [file])
        return Found(None, None) if known and known[0] else None
    row_id, record_no, start, next_row_id = found
    if row_id is None:
        return Found(None, record_no)
    further = min(line_no - start, next_row_id - row_id - 1)
    return Found(row_id + further, record_no + further)


def _one(query: str, values: list[object]) -> Any | None:
    with connection(threads=1) as con:
        return con.execute(query, values).fetchone()
