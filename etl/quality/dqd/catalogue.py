"""Reads `expectations/dqd/`: every check of OHDSI's Data Quality Dashboard (DQD), from the fact tables written there.

`check_types.csv` says what a type of check is, the others which table, field or concept it applies to: the cell below
a type's name is the threshold in percent, an empty one that it is not asked. 2,374 checks, 2,002 without deprecated.
"""

import csv
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

from etl.cdm import tables
from etl.errors import ContractError
from etl.quality.model import SEVERITIES

Row = Mapping[str, str]


@dataclass(frozen=True)
class DqdCheck:
    """One check of DQD, as its files instantiate it. Names are lower case, '' for none.

    `concept_id` is DQD's text, which may list several concepts. `threshold` is the percentage that may be violated;
    None and 0 allow nothing. `argument` is the type's own: the parent (`person.person_id`) of isForeignKey, the earlier
    field of plausibleTemporalAfter, the end field of plausibleStartBeforeEnd, the standard concept field of
    sourceValueCompleteness, the source value field of the other completeness types (only where the concept may be
    missing), a domain, a class, a limit (a number, 1950-01-01, tomorrow, next_year), male or female, or
    unit concepts with commas. `is_date` says that the field is compared as a date.
    """

    check_name: str
    level: str
    table: str
    field: str
    concept_id: str
    unit_concept_id: str
    severity: str
    category: str
    subcategory: str
    context: str
    threshold: float | None
    argument: str = ""
    is_date: bool = False

    @cached_property
    def check_id(self) -> str:
        """DQD's own: `field_isrequired_person_person_id`."""
        parts = (self.level, self.check_name, self.table, self.field, self.concept_id, self.unit_concept_id)
        return "_".join(part for part in parts if part).replace(" ", "").lower()

    @property
    def concepts(self) -> tuple[int, ...]:
        return tuple(int(concept) for concept in self.concept_id.split(",") if concept)

    @property
    def units(self) -> tuple[int, ...]:
        """The unit concepts that plausibleUnitConceptIds allows; -1 alone allows none."""
        return tuple(int(unit) for unit in self.argument.split(",")) if self.argument else ()

    @property
    def parent(self) -> tuple[str, str]:
        """The table and the field that the argument names."""
        table, _, field = self.argument.rpartition(".")
        return table, field


# The column of fields.csv that holds a type's argument.
ARGUMENTS = {
    "isForeignKey": "parent",
    "fkDomain": "domain",
    "fkClass": "class",
    "standardConceptRecordCompleteness": "source_field",
    "sourceConceptRecordCompleteness": "source_field",
    "sourceValueCompleteness": "standard_field",
    "plausibleValueLow": "low",
    "plausibleValueHigh": "high",
    "plausibleTemporalAfter": "after",
    "plausibleStartBeforeEnd": "end",
}
ARGUMENT = re.compile(r"[\w .,-]*")
CONCEPTS = re.compile(r"(\d+( ?, ?\d+)*)?")
# DQD gives these no threshold.
PRESENCE = ("cdmTable", "cdmField")


def read_catalogue(directory: Path, *, deprecated: bool = False) -> tuple[DqdCheck, ...]:
    """All checks, by type and then in the files' order; ContractError where a file is not as described above.

    `deprecated` adds the types that DQD itself has superseded (372 checks), which it still runs by default.
    """
    files = tuple(file.stat() for file in sorted(directory.glob("*.csv")))
    return _catalogue(directory, deprecated, tuple((file.st_mtime_ns, file.st_size) for file in files))


@lru_cache(maxsize=8)
def _catalogue(directory: Path, deprecated: bool, _state: tuple[tuple[int, int], ...]) -> tuple[DqdCheck, ...]:
    """Read once a process, until a file changes: a gate asks for them six times, 0.05 s each."""
    types = _read(directory / "check_types.csv", TYPE_COLUMNS)
    rows = {
        "table": _read(directory / "tables.csv", ("table",)),
        "field": _read(directory / "fields.csv", ("table", "field", "kind", *ARGUMENTS.values())),
        "concept": _read(directory / "concepts.csv", CONCEPT_COLUMNS),
    }
    checks = tuple(
        check
        for kind in types
        if deprecated or not kind["deprecated"]
        for check in _checks_of(kind, rows.get(kind["level"], []), directory)
    )
    doubled = sorted(check_id for check_id, times in Counter(check.check_id for check in checks).items() if times > 1)
    if doubled:
        raise _broken(directory, f"says {', '.join(doubled[:3])} more than once")
    for check in checks:
        _require_sound(check, directory)
    return checks


TYPE_COLUMNS = ("check", "level", "severity", "category", "subcategory", "context", "deprecated")
CONCEPT_COLUMNS = ("check", "table", "field", "concept_id", "unit_concept_id", "threshold", "argument")


def _checks_of(kind: Row, rows: Sequence[Row], directory: Path) -> Iterator[DqdCheck]:
    name, level = kind["check"], kind["level"]
    if kind["severity"] not in SEVERITIES:
        raise _broken(directory / "check_types.csv", f"gives {name} an unknown severity")
    if level not in ("table", "field", "concept"):
        raise _broken(directory / "check_types.csv", f"gives {name} an unknown level")
    for row in rows:
        if level == "concept" and row["check"] != name:
            continue
        threshold = _threshold_of(name, level, row, directory)
        if threshold == "":
            continue
        yield DqdCheck(
            check_name=name,
            level=level,
            table=row["table"],
            field=row.get("field", ""),
            concept_id=row.get("concept_id", ""),
            unit_concept_id=row.get("unit_concept_id", ""),
            severity=kind["severity"],
            category=kind["category"],
            subcategory=kind["subcategory"],
            context=kind["context"],
            threshold=_percent(threshold, name, row, directory),
            argument=row["argument"] if level == "concept" else row.get(ARGUMENTS.get(name, ""), ""),
            is_date=row.get("kind") == "date",
        )


def _require_sound(check: DqdCheck, directory: Path) -> None:
    """Tables and fields of the specification, and texts that can stand in SQL as they are."""
    parents = [check.parent] if check.check_name in ("isForeignKey", "plausibleTemporalAfter") else []
    for table, field in [(check.table, check.field), *parents]:
        if table not in tables() or (field and field not in tables()[table].column_names):
            raise _broken(directory, f"names {table}.{field}, which the CDM does not have")
    if not ARGUMENT.fullmatch(check.argument) or not CONCEPTS.fullmatch(check.concept_id):
        raise _broken(directory, f"gives {check.check_id} an argument or a concept that is none")


def _threshold_of(name: str, level: str, row: Row, directory: Path) -> str | None:
    """The cell that asks for a check: '' where it is not asked, None where a check has no threshold."""
    if name in PRESENCE:
        return None
    cell = row.get("threshold" if level == "concept" else name)
    if cell is None:
        raise _broken(directory / f"{level}s.csv", f"has no column {name}")
    return cell


def _percent(threshold: str | None, name: str, row: Row, directory: Path) -> float | None:
    if threshold is None:
        return None
    try:
        percent = float(threshold)
    except ValueError:
        percent = -1.0
    if not 0 <= percent <= 100:
        raise _broken(directory, f"gives {name} of {row['table']} a threshold that is not between 0 and 100")
    return percent


def _read(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise _broken(path, f"cannot be read ({type(error).__name__})") from error
    missing = [column for column in columns if column not in (reader.fieldnames or ())]
    if missing:
        raise _broken(path, f"has no column {', '.join(missing)}")
    if any(None in row or None in row.values() for row in rows):
        raise _broken(path, "has a line with more or fewer cells than its header")
    if not rows:
        raise _broken(path, "holds no line")
    return rows


def _broken(path: Path, what: str) -> ContractError:
    return ContractError(
        f"{'/'.join(path.parts[-3:])} {what}.",
        state="Nothing was checked, so nothing is published.",
        todo="Correct the file; expectations/README.md describes its form.",
    )
