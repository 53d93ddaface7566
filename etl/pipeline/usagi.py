"""Codes out to Usagi and its approved targets back in, as a custom map that the next run applies.

Usagi imports any CSV with a name column (it matches by names) and saves one row per code and target. Layouts as in
Usagi 1.4 (WriteCodeMappingsToFile, ImportDialog): https://ohdsi.github.io/Usagi/usage.html
"""

import csv
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from etl.cdm import tables
from etl.config import Settings
from etl.engine import connection, relation
from etl.errors import ContractError, UsageError
from etl.pipeline.coverage import SourceColumn

# the last two for Usagi's "additional info": it keeps them as ADD_INFO:source_vocabulary_id and ADD_INFO:sourceColumn
EXPORT_HEADER = ("sourceCode", "sourceName", "sourceFrequency", "source_vocabulary_id", "sourceColumn")
VOCABULARY_TOLD = ("ADD_INFO:source_vocabulary_id", "ADD_INFO:source_vocabulary")
LONGEST_VOCABULARY = 20  # source_vocabulary_id of the CDM
NEEDED = ("sourceCode", "conceptId", "mappingStatus")
LAYOUT = tuple(field.name for field in tables()["source_to_concept_map"].fields)
# Usagi up to 1.3 calls the type EVENT and may not write it; values and units are no targets of the code itself.
TARGET_TYPES = ("", "EVENT", "MAPS_TO")
FIRST_DAY, LAST_DAY = "1970-01-01", "2099-12-31"
MOST_LISTED = 20


@dataclass
class ImportReport:
    """What became of a Usagi file. `rows` of `codes` were taken over into the map at `path`, besides `kept` rows of it.

    `ignored`: the file's other rows by why they were not taken over.
    """

    path: Path
    codes: int
    rows: int
    kept: int
    ignored: Counter[str] = field(default_factory=Counter)


def export_unmapped(
    columns: Sequence[SourceColumn], output: Path, *, replace: bool = False
) -> list[tuple[str, Path, int]]:
    """Write the unmapped codes of these columns for Usagi: (source vocabulary, file, codes) of each file.

    `output` is a folder, which gets a file per source vocabulary, since what Usagi saves has one; or a file ending in
    .csv where there is only one. Counts are unmapped rows over all columns. UsageError when a file exists already.
    """
    codes: dict[str, dict[str, tuple[str, int, list[str]]]] = {}
    for column in columns:
        for code in column.unmapped:
            known = codes.setdefault(code.vocabulary, {})
            name, rows, names = known.get(code.code, (code.name or code.code, 0, []))
            known[code.code] = (name, rows + code.unmapped_rows, [*names, column.name])
    if output.suffix == ".csv" and len(codes) > 1:
        raise UsageError(
            f"The unmapped codes are of {len(codes)} vocabularies: {', '.join(sorted(codes))}.",
            state="Nothing was written.",
            todo="Name a folder as --output: Usagi maps one vocabulary per file.",
        )
    files = {name: output if output.suffix == ".csv" else output / f"{file_stem(name)}.csv" for name in sorted(codes)}
    if len(set(files.values())) < len(files):
        raise UsageError(
            f"Two of these vocabularies would be written to one file: {', '.join(files)}.",
            state="Nothing was written.",
            todo="Export their columns one by one with --column and a FILE.csv of your choice.",
        )
    _refuse_existing(files.values(), replace=replace)
    for name, path in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        by_rows = sorted(codes[name].items(), key=lambda item: (-item[1][1], item[0]))
        lines = [(code, shown, rows, name, " ".join(sorted(set(at)))) for code, (shown, rows, at) in by_rows]
        _write(path, EXPORT_HEADER, lines)
    return [(name, path, len(codes[name])) for name, path in files.items()]


def import_usagi(
    file: Path, source_vocabulary: str, map_folder: Path, concepts: Path, *, add: bool = False, replace: bool = False
) -> ImportReport:
    """Write the approved targets of a saved Usagi file as `<map_folder>/<vocabulary>.csv`; what became of its rows.

    The map is in the source_to_concept_map layout, valid for ever. `concepts` is the concept.parquet in use. Where the
    map is there already, `add` keeps its other codes and `replace` none. All or nothing: ContractError when the file is
    none of Usagi's, an approved target is no standard, valid concept, or a code has a map in another file already (both
    would hold, so the code would have two targets).
    """
    if not 0 < len(source_vocabulary.strip()) <= LONGEST_VOCABULARY:
        raise UsageError(
            f"A source vocabulary's name has 1 to {LONGEST_VOCABULARY} characters, not {len(source_vocabulary)}.",
            state="No map was written.",
            todo="Name it as the source's models do; where theirs is longer, shorten it there first.",
        )
    path = map_folder / f"{file_stem(source_vocabulary)}.csv"
    _refuse_existing([path], replace=replace or add, otherwise="add to it with --add, or write it anew with --replace")
    approved, ignored = _approved(file, source_vocabulary)
    if not approved:
        raise ContractError(
            f"{file.name} has no approved target ({_told(ignored) or 'no row'}).",
            state="No map was written.",
            todo="Approve targets in Usagi, save, and import again.",
        )
    _refuse_unusable(file, approved, concepts)
    _refuse_mapped_elsewhere(source_vocabulary, {code for code, _ in approved}, map_folder, path)
    vocabularies = _standard(concepts, {target for _, target in approved})
    rows: list[dict[str, object]] = [
        {
            "source_code": code,
            "source_concept_id": 0,
            "source_vocabulary_id": source_vocabulary,
            "source_code_description": name[:255],
            "target_concept_id": target,
            "target_vocabulary_id": vocabularies[target],
            "valid_start_date": FIRST_DAY,
            "valid_end_date": LAST_DAY,
        }
        for (code, target), name in sorted(approved.items())
    ]
    codes = {code for code, _ in approved}
    kept = _other_rows(path, source_vocabulary, codes) if add and path.exists() else []
    everything: list[Mapping[str, object]] = [*kept, *rows]
    path.parent.mkdir(parents=True, exist_ok=True)
    _write(path, LAYOUT, [[row.get(column, "") for column in LAYOUT] for row in everything])
    return ImportReport(path, len(codes), len(rows), len(kept), ignored)


def file_stem(source_vocabulary: str) -> str:
    """A vocabulary's name as a file's: `Synthea class` → `synthea_class`."""
    return re.sub(r"\W+", "_", source_vocabulary.strip().lower()).strip("_") or "map"


def concepts_in_use(settings: Settings, vocabulary_id: int) -> Path:
    return settings.vocabulary_dir / str(vocabulary_id) / "concept.parquet"


def _approved(file: Path, source_vocabulary: str) -> tuple[dict[tuple[str, int], str], Counter[str]]:
    """(code, target) → name of the approved rows, and the other rows by why they do not count."""
    found: dict[tuple[str, int], str] = {}
    ignored: Counter[str] = Counter()
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.DictReader(lines, restval="")
            _require_usagi(file, reader.fieldnames or ())
            for record in reader:
                why = _why_not(record, source_vocabulary)
                if why:
                    ignored[why] += 1
                    continue
                target = record["conceptId"].strip()
                if not record["sourceCode"].strip() or not re.fullmatch(r"[0-9]{1,10}", target):
                    raise _broken(f"{file.name}, line {reader.line_num}: sourceCode is empty or conceptId no number.")
                if (record["sourceCode"].strip(), int(target)) in found:
                    ignored["the same target again"] += 1
                found[record["sourceCode"].strip(), int(target)] = record.get("sourceName") or ""
    except (UnicodeDecodeError, csv.Error):
        raise _broken(f"{file.name} is no CSV in UTF-8.") from None
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}.", state="No map was written.") from None
    return found, ignored


def _why_not(record: Mapping[str, str], source_vocabulary: str) -> str | None:
    status = record["mappingStatus"].strip().upper()
    if status != "APPROVED":
        return f"status {status or 'missing'}"
    if (record.get("mappingType") or "").strip().upper() not in TARGET_TYPES:
        return f"mapping type {record['mappingType'].strip()}"
    if record["conceptId"].strip() in ("", "0"):
        return "approved as having no concept"
    told = _told_vocabulary(record)
    return f"of the vocabulary {told}" if told and told != source_vocabulary else None


def _told_vocabulary(record: Mapping[str, str]) -> str | None:
    """The vocabulary that a row names itself, where Usagi was given it as additional information."""
    return next((record[column].strip() for column in VOCABULARY_TOLD if (record.get(column) or "").strip()), None)


def _require_usagi(file: Path, header: Sequence[str]) -> None:
    missing = [name for name in NEEDED if name not in header]
    if missing:
        raise _broken(f"{file.name} has no column {', '.join(missing)} (it has: {', '.join(header)[:200]}).")


def _broken(what: str) -> ContractError:
    return ContractError(
        what,
        state="No map was written.",
        todo="Import the file that Usagi saves (File → Save), not the one that it exports or imports.",
    )


def _refuse_unusable(file: Path, approved: Iterable[tuple[str, int]], concepts: Path) -> None:
    standard = _standard(concepts, {target for _, target in approved})
    wrong = sorted((code, target) for code, target in approved if target not in standard)
    if wrong:
        listed = "\n".join(f"  {code} → {target}" for code, target in wrong[:MOST_LISTED])
        more = f"\n  … and {len(wrong) - MOST_LISTED} more" if len(wrong) > MOST_LISTED else ""
        raise ContractError(
            f"{len(wrong)} approved targets of {file.name} are no standard, valid concepts of the vocabulary:\n"
            f"{listed}{more}",
            state="No map was written.",
            todo="Choose others in Usagi, with an index of the same vocabulary version.",
        )


def _standard(concepts: Path, ids: set[int]) -> dict[int, str]:
    """Those of the ids that are standard, valid concepts, with their vocabulary."""
    with connection(threads=1) as con:
        found = con.execute(
            f"SELECT concept_id, vocabulary_id FROM {relation([concepts])} WHERE standard_concept = 'S'"
            f" AND invalid_reason IS NULL AND concept_id IN ({', '.join(map(str, sorted(ids)))})"
        ).fetchall()
    return dict(found)


def _refuse_mapped_elsewhere(source_vocabulary: str, codes: set[str], map_folder: Path, path: Path) -> None:
    """Other files' rows for the same codes would hold besides."""
    others = sorted(other for other in map_folder.glob("*.csv") if other != path) if map_folder.is_dir() else []
    for other in others:
        twice = sorted(_codes_of(other, source_vocabulary) & codes)
        if twice:
            raise ContractError(
                f"{other.name} maps {len(twice)} of these codes already: {', '.join(twice[:MOST_LISTED])}.",
                state="No map was written; with both, each of them would get both targets.",
                todo="Remove their rows there, or take the codes out of the Usagi file.",
            )


def _other_rows(path: Path, source_vocabulary: str, codes: set[str]) -> list[dict[str, str]]:
    """The rows of a map but those of these codes."""
    with path.open(encoding="utf-8-sig", newline="") as lines:
        reader = csv.DictReader(lines, restval="")
        if "source_vocabulary_id" not in (reader.fieldnames or ()):
            raise UsageError(
                f"{path.name} is not in the source_to_concept_map layout, so nothing can be added to it.",
                state="No map was written.",
                todo="Write it anew with --replace.",
            )
        return [
            row
            for row in reader
            if row["source_vocabulary_id"] != source_vocabulary or row["source_code"].strip() not in codes
        ]


def _codes_of(file: Path, source_vocabulary: str) -> set[str]:
    """The codes of this vocabulary that a map file gives a target."""
    with file.open(encoding="utf-8-sig", newline="") as lines:
        reader = csv.DictReader(lines, restval="")
        if "source_vocabulary_id" in (reader.fieldnames or ()):
            return {
                row["source_code"].strip()
                for row in reader
                if row["source_vocabulary_id"] == source_vocabulary and not row.get("invalid_reason")
            }
        return {
            row["sourceCode"].strip()
            for row in reader
            if row.get("mappingStatus", "").strip().upper() == "APPROVED"
            and (_told_vocabulary(row) or file.stem) == source_vocabulary
        }


def _told(ignored: Counter[str]) -> str:
    return ", ".join(f"{count:,} rows: {why}" for why, count in ignored.most_common())


def _refuse_existing(paths: Iterable[Path], *, replace: bool, otherwise: str = "overwrite with --replace") -> None:
    there = [path.name for path in paths if path.exists()]
    if there and not replace:
        raise UsageError(
            f"There already: {', '.join(there)}.",
            state="Nothing was written.",
            todo=f"Move it away, or {otherwise}.",
        )


def _write(path: Path, header: Sequence[str], lines: Iterable[Sequence[object]]) -> None:
    beside = path.with_name(f".{path.name}.part")
    try:
        with beside.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(header)
            writer.writerows(lines)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
