"""The records of a CSV file one by one, as RFC 4180 sees them: for the few files in which something is wrong.

DuckDB reads the good files; this reader says exactly which records are not good, on which line, and why.
About a million lines a second.
"""

import re
from collections import Counter, deque
from collections.abc import Container, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO

MAX_RECORD_BYTES = 2_000_000  # DuckDB's own limit
MAX_RECORD_LINES = 1_000  # an open quote is given up after so many lines

# As DuckDB reads them: spaces around a quoted field are not part of it, a quote inside an unquoted one is a character.
_FIELD = rb'(?>[ ]*+"(?:[^"]++|"")*+"[ ]*+|(?![ ]*")[^,\n\r]*+)'
_RECORD = re.compile(_FIELD + rb"(?:," + _FIELD + rb")*+")
_ENDS_IN_QUOTES = re.compile(rb"(?:" + _FIELD + rb',)*+[ ]*+"(?:[^"]++|"")*+')
_EACH_FIELD = re.compile(rb"(?:^|,)" + _FIELD)

TOO_FEW = "too few fields"
TOO_MANY = "too many fields"
TOO_LONG = "the record is longer than 2 MB"
QUOTES = "quotes are broken"
CONTROL = "a field holds a NUL or a bare carriage return"


@dataclass(frozen=True)
class Record:
    """`record_no` counts from 1 after the header, `line_no` from 1 with it, `ordinal` the well-formed records so far.

    `reason` is None for a well-formed record.
    """

    record_no: int
    line_no: int
    ordinal: int
    raw: bytes
    reason: str | None


@dataclass(frozen=True)
class Reject:
    """A rejected record; `raw` goes to the rejects file and nowhere else."""

    record_no: int
    line_no: int
    reason: str
    raw: bytes


@dataclass(frozen=True)
class Survey:
    """What a file holds: counts by reason, and the rejected records in file order (no more of them than asked for)."""

    well_formed: int
    rejects: tuple[Reject, ...]
    malformed: Mapping[str, int]

    @property
    def received(self) -> int:
        return self.well_formed + sum(self.malformed.values())


def survey(path: Path, fields: int, wanted: Mapping[int, str], keep: int) -> Survey:
    """Go through a file once: its malformed records, and the well-formed ones that are `wanted` for a reason.

    `wanted` gives a reason by ordinal (from 1) among the well-formed records; `keep` bounds the list of rejects.
    """
    rejects: list[Reject] = []
    malformed: Counter[str] = Counter()
    found = records(path, fields, only=wanted)
    while True:
        try:
            record = next(found)
        except StopIteration as end:
            return Survey(int(end.value), tuple(rejects), malformed)
        if record.reason is not None:
            malformed[record.reason] += 1
        if len(rejects) < keep:
            reason = record.reason or wanted[record.ordinal]
            rejects.append(Reject(record.record_no, record.line_no, reason, record.raw))


def survey_lines(
    path: Path, fields: int, wanted: Mapping[int, str], malformed_lines: Sequence[int], well_formed: int, keep: int
) -> Survey | None:
    """The same for a file without quotes and blank lines, whose malformed lines are known: lines are skipped, not read.

    None when one of these lines turns out to be sound: then they are not to be trusted. 0.1 s for half a million lines.
    """
    reason_at: dict[int, str | None] = dict.fromkeys(malformed_lines)
    reason_at.update(_lines_of(wanted, malformed_lines))
    rejects: list[Reject] = []
    malformed: Counter[str] = Counter()
    with path.open("rb") as stream:
        read = 0
        for line_no in sorted(reason_at):
            body = _body(next(islice(stream, line_no - read - 1, None), b""))
            read = line_no
            reason = reason_at[line_no]
            if reason is None:
                reason = _reason(body, body.count(b",") + 1, fields)
                if reason is None:
                    return None
                malformed[reason] += 1
            if len(rejects) < keep:
                rejects.append(Reject(line_no - 1, line_no, reason, body))
    return Survey(well_formed, tuple(rejects), malformed)


def _lines_of(wanted: Mapping[int, str], malformed_lines: Sequence[int]) -> Iterator[tuple[int, str]]:
    """(line, reason) of each wanted ordinal among the well-formed lines; line 1 is the header."""
    skipped = 0
    for ordinal in sorted(wanted):
        while skipped < len(malformed_lines) and malformed_lines[skipped] <= ordinal + skipped + 1:
            skipped += 1
        yield ordinal + skipped + 1, wanted[ordinal]


def write_well_formed(path: Path, fields: int, output: Path) -> None:
    """The header and the well-formed records alone, with line feeds as line ends."""
    with path.open("rb") as stream, output.open("wb") as out:
        out.write(_body(stream.readline()) + b"\n")
        out.writelines(record.raw + b"\n" for record in records(path, fields) if record.reason is None)


def records(path: Path, fields: int, only: Container[int] | None = None) -> Generator[Record, None, int]:
    """Every record after the header, or the malformed ones and `only` these ordinals; returns how many are well-formed.

    Blank lines are no records. A record whose quotes are broken is one line: the next line is read afresh.
    One empty field after the last is forgiven, as DuckDB does.
    """
    with path.open("rb") as stream:
        stream.readline()
        pushed_back: deque[bytes] = deque()
        line_no, record_no, ordinal = 1, 0, 0
        while line := pushed_back.popleft() if pushed_back else stream.readline():
            line_no += 1
            if only is not None and _is_plainly_sound(line, fields):
                record_no, ordinal = record_no + 1, ordinal + 1
                if ordinal in only:
                    yield Record(record_no, line_no, ordinal, _body(line), None)
                continue
            body, lines = _body(line), 1
            if not body:
                continue
            record_no += 1
            if b'"' in body:
                body, reason, lines = _quoted(line, stream, pushed_back, fields)
            else:
                reason = _reason(body, body.count(b",") + 1, fields)
            if reason is None:
                ordinal += 1
            if reason is not None or only is None or ordinal in only:
                yield Record(record_no, line_no, ordinal, body, reason)
            line_no += lines - 1
    return ordinal


def _is_plainly_sound(line: bytes, fields: int) -> bool:
    """The short way for nearly all lines: no quote, the right number of commas, no control character before its end."""
    return (
        line.count(b",") == fields - 1 > 0
        and b'"' not in line
        and b"\0" not in line
        and line.find(b"\r") in (-1, len(line) - 2)
        and len(line) <= MAX_RECORD_BYTES
    )


def _next(stream: BinaryIO, pushed_back: deque[bytes]) -> bytes:
    return pushed_back.popleft() if pushed_back else stream.readline()


def _body(line: bytes) -> bytes:
    """A line without its end."""
    return line.removesuffix(b"\n").removesuffix(b"\r")


def _reason(raw: bytes, found: int, fields: int) -> str | None:
    if len(raw) > MAX_RECORD_BYTES:
        return TOO_LONG
    if b"\0" in raw or (b"\r" in raw and b'"' not in raw):
        return CONTROL
    if found == fields or (found == fields + 1 and raw.endswith(b",")):
        return None
    return TOO_FEW if found < fields else TOO_MANY


def _quoted(first: bytes, stream: BinaryIO, pushed_back: deque[bytes], fields: int) -> tuple[bytes, str | None, int]:
    """A record with quotes, which may go on over several lines: its text, what is wrong, its number of lines."""
    lines = [first]
    while True:
        raw = _body(b"".join(lines))
        if _RECORD.fullmatch(raw):
            return raw, _reason(raw, len(_EACH_FIELD.findall(raw)), fields), len(lines)
        if not _ENDS_IN_QUOTES.fullmatch(raw) or not _read_on(lines, stream, pushed_back):
            pushed_back.extendleft(reversed(lines[1:]))
            return _body(first), QUOTES, 1


def _read_on(lines: list[bytes], stream: BinaryIO, pushed_back: deque[bytes]) -> bool:
    """Add lines up to the next one that has a quote; False at the end of the file or beyond the limits."""
    size = sum(len(line) for line in lines)
    while len(lines) < MAX_RECORD_LINES and size <= MAX_RECORD_BYTES:
        line = _next(stream, pushed_back)
        if not line:
            return False
        lines.append(line)
        size += len(line)
        if b'"' in line:
            return True
    return False
