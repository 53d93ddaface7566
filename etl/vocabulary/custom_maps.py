"""A hospital's own code maps: `sources/<name>/map/*.csv` as one Parquet in the source_to_concept_map layout."""

import csv
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from etl.cdm import tables
from etl.engine import connection, quote_path, written_beside
from etl.errors import ContractError
from etl.log import get_logger

log = get_logger(__name__)

LAYOUT_COLUMNS = ("source_code", "source_vocabulary_id", "target_concept_id")
USAGI_COLUMNS = ("sourceCode", "conceptId", "mappingStatus")
# Where Usagi keeps what its user loaded beside code and name: a file may hold several vocabularies.
USAGI_VOCABULARY = ("ADD_INFO:source_vocabulary_id", "ADD_INFO:source_vocabulary")
# Usagi up to 1.3 says EVENT; a file without the column has only these.
USAGI_TARGETS = ("", "EVENT", "MAPS_TO")
VOCABULARY_LENGTH = 20  # of vocabulary_id in the CDM
# Usagi gives no dates: a map holds for ever, as Athena's own do.
FIRST_DAY, LAST_DAY = date(1970, 1, 1), date(2099, 12, 31)
ARROW_TYPES = {"integer": pa.int32(), "date": pa.date32()}

Row = dict[str, object]


def custom_maps(folder: Path, output: Path, concepts: Path | None = None) -> int:
    """Write all maps of `folder` to `output`; the number of rows. No folder or no file: a file without rows.

    A file is either in the source_to_concept_map layout or a Usagi export, told by its header. Several rows of a code
    are several targets; the same row twice, in whichever files, counts once. Dates of the layout pass through: the SQL
    applies a row from its valid_start_date to its valid_end_date, and its rows before the vocabulary's.

    Of a Usagi export only APPROVED rows with the mapping type MAPS_TO count (the others are counted in the log: the
    layout has no place for the values and units of MAPS_TO_VALUE and MAPS_TO_UNIT). Its source vocabulary is the column
    ADD_INFO:source_vocabulary_id where it has one (Usagi's name for a column loaded as additional information), else
    the file's name without .csv. Both must be written as the source's models write it, letter by letter, e.g.
    `Synthea gender.csv`.

    `concepts` is the concept.parquet in use: it gives the targets their vocabulary; rows whose target it lacks are kept
    out and counted in the log.
    Errors: an unknown layout, a missing code or target, an unparsable id or date, an end before its start, a source
    vocabulary of more than 20 characters, bytes that are not UTF-8; they name file and line.
    """
    table = tables()["source_to_concept_map"]
    rows = [row for path in sorted(folder.glob("*.csv")) for row in _rows(path)] if folder.is_dir() else []
    rows = _each_once(rows)
    if concepts is not None:
        rows = _with_known_targets(rows, concepts)
    schema = pa.schema([(field.name, ARROW_TYPES.get(field.sql_type, pa.string())) for field in table.fields])
    output.parent.mkdir(parents=True, exist_ok=True)
    with written_beside(output) as beside:  # two steps may write it at once
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), beside)
    return len(rows)


def _rows(path: Path) -> list[Row]:
    """The rows of one file that count; what it tells besides is counted in the log."""
    left_out: Counter[str] = Counter()
    with path.open(encoding="utf-8-sig", newline="") as lines:
        reader = csv.DictReader(lines, restval="")
        try:
            rows = list(_converted(path, reader, left_out))
        except UnicodeDecodeError:
            raise _broken(f"{path.name}, after line {reader.line_num}: not UTF-8", "Save the file as UTF-8.") from None
    for reason, count in sorted(left_out.items()):
        log.info("%s: %d rows not applied: %s", path.name, count, reason)
    return rows


def _converted(path: Path, reader: "csv.DictReader[str]", left_out: Counter[str]) -> Iterator[Row]:
    header = tuple(reader.fieldnames or ())
    is_layout = set(LAYOUT_COLUMNS) <= set(header)
    if not is_layout and not set(USAGI_COLUMNS) <= set(header):
        raise _broken(
            f"{path.name}, line 1: neither the source_to_concept_map layout ({', '.join(LAYOUT_COLUMNS)}, …)"
            f" nor a Usagi export ({', '.join(USAGI_COLUMNS)}, …); it has: {', '.join(header)}",
            "Save the map as a comma-separated file in one of the two layouts.",
        )
    for record in reader:
        reason = None if is_layout else _why_not(record)
        if reason:
            left_out[reason] += 1
            continue
        try:
            yield _from_layout(record) if is_layout else _from_usagi(record, path.stem)
        except ValueError as error:
            raise _broken(f"{path.name}, line {reader.line_num}: {error}", "Correct the line.") from None


def _broken(what: str, todo: str) -> ContractError:
    return ContractError(f"{what}.", state="No custom map was read; the run stopped before mapping.", todo=todo)


def _why_not(record: Mapping[str, str]) -> str | None:
    """Why a row of Usagi's does not count, None if it does."""
    if record["mappingStatus"].strip().upper() != "APPROVED":
        return "not APPROVED"
    if (record.get("mappingType") or "").strip().upper() not in USAGI_TARGETS:
        return "another mapping type than MAPS_TO"
    return None


def _from_layout(record: Mapping[str, str]) -> Row:
    first, last = _date(record.get("valid_start_date"), FIRST_DAY), _date(record.get("valid_end_date"), LAST_DAY)
    if last < first:
        raise ValueError("valid_end_date lies before valid_start_date")
    return {
        "source_code": _needed(record, "source_code"),
        "source_concept_id": _concept_id(record.get("source_concept_id") or "0"),
        "source_vocabulary_id": _vocabulary(_needed(record, "source_vocabulary_id")),
        "source_code_description": (record.get("source_code_description") or "")[:255] or None,
        "target_concept_id": _concept_id(_needed(record, "target_concept_id")),
        "target_vocabulary_id": record.get("target_vocabulary_id") or "None",
        "valid_start_date": first,
        "valid_end_date": last,
        "invalid_reason": (record.get("invalid_reason") or "").strip() or None,
    }


def _from_usagi(record: Mapping[str, str], file_stem: str) -> Row:
    told = next((record[column].strip() for column in USAGI_VOCABULARY if (record.get(column) or "").strip()), None)
    return {
        "source_code": _needed(record, "sourceCode"),
        "source_concept_id": 0,
        "source_vocabulary_id": _vocabulary(told or file_stem),
        "source_code_description": (record.get("sourceName") or "")[:255] or None,
        "target_concept_id": _concept_id(_needed(record, "conceptId")),
        "target_vocabulary_id": "None",
        "valid_start_date": FIRST_DAY,
        "valid_end_date": LAST_DAY,
        "invalid_reason": None,
    }


def _each_once(rows: list[Row]) -> list[Row]:
    """Without the rows that only repeat another; descriptions do not tell rows apart."""
    kept = {tuple(value for name, value in row.items() if name != "source_code_description"): row for row in rows}
    if len(kept) < len(rows):
        log.info("%d custom map rows repeat others and count once", len(rows) - len(kept))
    return list(kept.values())


def _vocabulary(name: str) -> str:
    if len(name) > VOCABULARY_LENGTH:
        raise ValueError(f"a source vocabulary has more than {VOCABULARY_LENGTH} characters")
    return name


def _needed(record: Mapping[str, str], column: str) -> str:
    value = (record[column] or "").strip()
    if not value:
        raise ValueError(f"column {column} is empty")
    return value


def _concept_id(text: str) -> int:
    if not (text.strip().isascii() and text.strip().isdigit()) or int(text) >= 1 << 31:
        raise ValueError("a concept id is not an integer below 2,147,483,648")
    return int(text)


def _date(text: str | None, otherwise: date) -> date:
    try:
        return date.fromisoformat(text.strip()) if text and text.strip() else otherwise
    except ValueError:
        raise ValueError("a date is neither YYYY-MM-DD nor YYYYMMDD") from None


def _with_known_targets(rows: list[Row], concepts: Path) -> list[Row]:
    """The rows whose target exists, with the target's vocabulary; an unknown source concept becomes 0."""
    ids = {int(str(row[column])) for row in rows for column in ("target_concept_id", "source_concept_id")}
    if not ids:
        return rows
    with connection(threads=1) as con:
        known = dict(
            con.execute(
                f"SELECT concept_id, vocabulary_id FROM read_parquet({quote_path(concepts)})"
                f" WHERE concept_id IN ({', '.join(map(str, sorted(ids)))})"
            ).fetchall()
        )
    kept = [row for row in rows if row["target_concept_id"] in known]
    if len(kept) < len(rows):
        log.warning("%d custom map rows point to concepts that the vocabulary lacks: kept out", len(rows) - len(kept))
    for row in kept:
        row["target_vocabulary_id"] = known[row["target_concept_id"]]
        if row["source_concept_id"] not in known:
            row["source_concept_id"] = 0
    return kept
