"""A delivery of a table: one CSV file, or numbered parts of one, read as if they had never been split."""

import codecs
import hashlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from etl.errors import ContractError, UsageError
from etl.land.contract import Contract, SourceTable
from etl.land.lines import Part
from etl.land.source_file import (
    NOTHING_LOADED,
    Checker,
    Header,
    Prepared,
    header_names,
    prepare,
    read_header,
)

ENDINGS = (".csv", ".csv.gz")
NUMBERED = re.compile(r"(?P<stem>.+)(?P<mark>[._])(?P<number>[0-9]{1,9})(?P<ending>[.]csv([.]gz)?)")

Delivery = tuple[Path, ...]


def find_files(contract: Contract, folder: Path, *, is_drop: bool = False) -> dict[str, Delivery]:
    """The files of each table that has any, by table, parts in the order of their numbers; letter case does not matter.

    `<file>.csv`, or `<file>.1.csv`, `<file>.2.csv` …, or `<file>_1.csv`, `<file>_2.csv` …, each also as `.csv.gz`.
    A drop holds what is new only, so any table may be missing in it, but not all. ContractError: a required table has
    no file, a drop has none at all, a table has files of two namings, or a part is missing.
    """
    if not folder.is_dir():
        raise UsageError(
            f"{folder} is not a folder.", state="Nothing was loaded.", todo="Give the folder of the CSV files."
        )
    stems = {table.file.lower(): name for name, table in contract.tables.items()}
    named: dict[str, dict[str, list[tuple[int, Path]]]] = {}
    for path in sorted(folder.iterdir()):
        naming = _naming(path.name.lower(), stems) if path.is_file() else None
        if naming is not None:
            stem, mark, number = naming
            named.setdefault(stems[stem], {}).setdefault(mark, []).append((number, path))
    found = {name: _delivery(folder, contract.tables[name], named[name]) for name in contract.tables if name in named}
    if is_drop and not found:
        names = _listed([table.file + ".csv" for table in contract.tables.values()])
        raise ContractError(
            f"{folder} has no file of any table of {contract.source}.",
            state="Nothing was loaded; the published release stays as it is.",
            todo=f"Files are named after their tables: {names}.",
        )
    missing = [table.file for table in contract.tables.values() if table.required and table.name not in found]
    if missing and not is_drop:
        raise ContractError(
            f"{folder} has no {' and no '.join(f'{stem}.csv (or .csv.gz)' for stem in missing)}.",
            state="Nothing was loaded; the published release stays as it is.",
            todo="These tables are required. Complete the export, or give another folder.",
        )
    return found


def _naming(name: str, stems: dict[str, str]) -> tuple[str, str, int] | None:
    """Stem, mark before the number ("" for a file that is a table by itself) and number of a table's file."""
    for ending in ENDINGS:
        if name.endswith(ending) and name.removesuffix(ending) in stems:
            return name.removesuffix(ending), "", 1
    numbered = NUMBERED.fullmatch(name)
    if numbered is None or numbered["stem"] not in stems:
        return None
    return numbered["stem"], numbered["mark"], int(numbered["number"])


def _delivery(folder: Path, table: SourceTable, named: dict[str, list[tuple[int, Path]]]) -> Delivery:
    every = sorted(part for parts in named.values() for part in parts)
    numbers = [number for number, _ in every]
    twice = [path for number, path in every if numbers.count(number) > 1]
    if len(named) > 1 or twice:
        several = twice if len(named) == 1 else [path for _, path in every]
        raise ContractError(
            f"{folder} has {_listed([path.name for path in several])}: only one can be the table {table.name}.",
            state="Nothing was loaded.",
            todo="Remove the one that is not meant.",
        )
    gap = next((number for number in range(1, numbers[-1]) if number not in numbers), None)
    if gap is not None or numbers[0] != 1:
        number = 0 if numbers[0] == 0 else gap
        what = "a part 0" if number == 0 else f"no part {number}"
        raise ContractError(
            f"{folder} has {what} of the table {table.name}: {_listed([path.name for _, path in every])}.",
            state="Nothing was loaded.",
            todo="Parts are numbered 1, 2, 3 … without a gap. Complete the export, or rename its parts.",
        )
    return tuple(path for _, path in every)


def _listed(names: Sequence[str], limit: int = 8) -> str:
    shown = list(names[:limit]) + ([f"{len(names) - limit} more"] if len(names) > limit else [])
    return f"{', '.join(shown[:-1])} and {shown[-1]}" if len(shown) > 1 else shown[0]


def name_of(paths: Delivery) -> str:
    """A delivery's name in messages and in `etl.batch`."""
    if len(paths) == 1:
        return paths[0].name
    return f"{paths[0].name} to {paths[-1].name} ({len(paths)} parts)"


def read_headers(contract: Contract, table: SourceTable, paths: Delivery) -> Header:
    """The header that all parts share; ContractError when one of them has another."""
    header = read_header(contract, table, paths[0])
    names = [name.lower() for name in header_names(paths[0], table.encoding)]
    for path in paths[1:]:
        other = [name.lower() for name in header_names(path, table.encoding)]
        if other != names:
            raise ContractError(
                f"{path.name} has another header than {paths[0].name}.",
                state=NOTHING_LOADED,
                todo="All parts of a table have the same columns in the same order. Drop them from one export.",
            )
    return header


def prepare_delivery(paths: Delivery, encoding: str, spool: Path) -> Prepared:
    """Read every byte once, see `prepare`; parts are written to `spool` as one text with one header.

    The content hash of parts is that of this text: a UTF-8 file split between two lines has the hash of the whole.
    """
    return prepare(paths[0], encoding, spool) if len(paths) == 1 else _joined(paths, encoding, spool)


def _joined(paths: Delivery, encoding: str, spool: Path) -> Prepared:
    is_utf8 = codecs.lookup(encoding).name in ("utf-8", "utf-8-sig", "ascii")
    checkers = [Checker(path.name, encoding, is_utf8) for path in paths]
    parts: list[Part] = []
    digest = hashlib.sha256()
    line_ends = set()
    lines = 1
    with spool.open("wb") as out:
        for number, (path, checker) in enumerate(zip(paths, checkers, strict=True)):
            parts.append(Part(path.name, lines + 1))
            last = b"\n"
            for text in checker.texts(path) if number == 0 else _without_header(checker.texts(path)):
                digest.update(text)
                out.write(text)
                last = text[-1:] or last
            lines += checker.lines - 1
            line_end = b"\r\n" if checker.returns else b"\n"
            line_ends.add(line_end)
            if last != b"\n" and number < len(paths) - 1:
                digest.update(line_end)
                out.write(line_end)
    return Prepared(
        path=spool,
        content_hash=digest.hexdigest(),
        unpacked_bytes=sum(checker.bytes for checker in checkers),
        lines=lines,
        records=sum(checker.records for checker in checkers),
        has_quotes=any(checker.has_quotes for checker in checkers),
        plain=all(checker.plain for checker in checkers) and len(line_ends) == 1,
        parts=tuple(parts),
    )


def _without_header(texts: Iterator[bytes]) -> Iterator[bytes]:
    skipping = True
    for text in texts:
        if skipping:
            _, newline, text = text.partition(b"\n")
            skipping = not newline
        yield text
