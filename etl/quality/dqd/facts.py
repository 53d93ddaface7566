"""Writes `expectations/dqd/*.csv` from DQD's own files: `python -m etl.quality.dqd.facts SPEC_DIR`.

Facts only: which check applies to which table, field and concept, with which threshold and argument. Names are lower
case; what DQD leaves out by default is left out here: eight vocabulary tables, and NOTE_NLP's field `offset`.
"""

import csv
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from etl.config import settings

Row = Mapping[str, str]

EXCLUDED_TABLES = (
    "CONCEPT",
    "VOCABULARY",
    "CONCEPT_ANCESTOR",
    "CONCEPT_RELATIONSHIP",
    "CONCEPT_CLASS",
    "CONCEPT_SYNONYM",
    "RELATIONSHIP",
    "DOMAIN",
)
# A reserved word on many databases.
EXCLUDED_FIELD = "offset"
# Superseded by plausibleAfterBirth and plausibleStartBeforeEnd, plausibleBeforeDeath, plausibleGenderUseDescendants.
DEPRECATED = ("plausibleTemporalAfter", "plausibleDuringLife", "plausibleGender")
SEVERITIES = {"fatal": "critical", "convention": "warning", "characterization": "info"}
LIMITS = {"DATEADD(dd,1,GETDATE())": "tomorrow", "YEAR(GETDATE())+1": "next_year"}

TABLE_CHECKS = ("measurePersonCompleteness", "measureConditionEraCompleteness", "measureObservationPeriodOverlap")
# Asked with Yes; the cell of the fact table is the threshold in percent.
FIELD_CHECKS = (
    "isRequired",
    "cdmDatatype",
    "isPrimaryKey",
    "isForeignKey",
    "fkDomain",
    "fkClass",
    "isStandardValidConcept",
    "measureValueCompleteness",
    "standardConceptRecordCompleteness",
    "sourceConceptRecordCompleteness",
    "sourceValueCompleteness",
    "plausibleValueLow",
    "plausibleValueHigh",
    "plausibleTemporalAfter",
    "plausibleDuringLife",
    "withinVisitDates",
    "plausibleAfterBirth",
    "plausibleBeforeDeath",
    "plausibleStartBeforeEnd",
)
FIELD_ARGUMENTS = ("kind", "parent", "domain", "class", "source_field", "standard_field", "low", "high", "after", "end")
# Optional concept fields whose missing value counts as unmapped where <name>_source_value is not NULL (DQD 2.7), and
# the tables in which it is another field's, or required.
SOURCED = (
    *("unit", "admitted_from", "discharged_to", "condition_status", "route", "modifier", "qualifier", "cause"),
    *("anatomic_site", "disease_status", "country", "place_of_service", "specialty", "gender", "payer", "plan"),
    *("sponsor", "stop_reason"),
)
NOT_SOURCED = (("dose_era", "unit"), ("person", "gender"))
CONCEPT_CHECKS = ("plausibleGender", "plausibleGenderUseDescendants", "plausibleUnitConceptIds")


def write_facts(specification: Path, directory: Path) -> None:
    """The four fact tables of `directory`, from DQD's four files in `specification`."""
    types, table_rows, fields, concepts = (
        _read(specification, name) for name in ("Check_Descriptions", "Table_Level", "Field_Level", "Concept_Level")
    )
    _write(
        directory / "check_types.csv",
        ("check", "level", "severity", "category", "subcategory", "context", "deprecated"),
        map(_check_type, types),
    )
    kept_tables = [row for row in table_rows if row["cdmTableName"] not in EXCLUDED_TABLES]
    _write(directory / "tables.csv", ("table", *TABLE_CHECKS), map(_table, kept_tables))
    kept_fields = [
        row for row in fields if row["cdmTableName"] not in EXCLUDED_TABLES and row["cdmFieldName"] != EXCLUDED_FIELD
    ]
    _write(directory / "fields.csv", ("table", "field", *FIELD_ARGUMENTS, *FIELD_CHECKS), map(_field, kept_fields))
    _write(
        directory / "concepts.csv",
        ("check", "table", "field", "concept_id", "unit_concept_id", "threshold", "argument"),
        _concepts(concepts),
    )


def _check_type(row: Row) -> Sequence[str]:
    return (
        row["checkName"],
        row["checkLevel"].lower(),
        SEVERITIES[row["severity"]],
        row["kahnCategory"],
        row["kahnSubcategory"],
        row["kahnContext"],
        "yes" if row["checkName"] in DEPRECATED else "",
    )


def _table(row: Row) -> Sequence[str]:
    thresholds = (row[f"{check}Threshold"] if row[check] == "Yes" else "" for check in TABLE_CHECKS)
    return row["cdmTableName"].lower(), *thresholds


def _field(row: Row) -> Sequence[str]:
    asked = {check: row.get(check) == "Yes" for check in FIELD_CHECKS}
    asked["cdmDatatype"] = row["cdmDatatype"] == "integer"
    asked["fkDomain"] = asked["isForeignKey"] and row["fkDomain"] != ""
    asked["fkClass"] = asked["isForeignKey"] and row["fkClass"] != ""
    asked["plausibleValueLow"] = row["plausibleValueLow"] != ""
    asked["plausibleValueHigh"] = row["plausibleValueHigh"] != ""
    arguments = {
        "kind": "date" if row["cdmDatatype"] in ("date", "datetime") else "",
        "parent": _dotted(row["fkTableName"], row["fkFieldName"]) if asked["isForeignKey"] else "",
        "domain": row["fkDomain"] if asked["fkDomain"] else "",
        "class": row["fkClass"] if asked["fkClass"] else "",
        "source_field": _source_field(row["cdmTableName"].lower(), row["cdmFieldName"].lower())
        if asked["standardConceptRecordCompleteness"] or asked["sourceConceptRecordCompleteness"]
        else "",
        "standard_field": row["standardConceptFieldName"].lower() if asked["sourceValueCompleteness"] else "",
        "low": _limit(row["plausibleValueLow"]),
        "high": _limit(row["plausibleValueHigh"]),
        "after": _dotted(row["plausibleTemporalAfterTableName"], row["plausibleTemporalAfterFieldName"]),
        "end": row["plausibleStartBeforeEndFieldName"].lower(),
    }
    thresholds = (row[f"{check}Threshold"] if asked[check] else "" for check in FIELD_CHECKS)
    return (
        row["cdmTableName"].lower(),
        row["cdmFieldName"].lower(),
        *(arguments[name] for name in FIELD_ARGUMENTS),
        *thresholds,
    )


def _concepts(rows: Sequence[Row]) -> Iterator[Sequence[str]]:
    for check in CONCEPT_CHECKS:
        asked_by = "plausibleUnitConceptIdsThreshold" if check == "plausibleUnitConceptIds" else check
        for row in rows:
            if row[asked_by] and row["cdmTableName"] not in EXCLUDED_TABLES:
                yield (
                    check,
                    row["cdmTableName"].lower(),
                    row["cdmFieldName"].lower(),
                    row["conceptId"],
                    row["unitConceptId"],
                    row[f"{check}Threshold"],
                    row[check].lower(),
                )


def _source_field(table: str, field: str) -> str:
    name = field.removesuffix("_concept_id").removesuffix("_source")
    return f"{name}_source_value" if name in SOURCED and (table, name) not in NOT_SOURCED else ""


def _dotted(table: str, field: str) -> str:
    return f"{table}.{field}".lower() if table else ""


def _limit(text: str) -> str:
    """A number as it stands; a date as 1950-01-01; a moving one by its name."""
    if text.startswith("'"):
        return f"{text[1:5]}-{text[5:7]}-{text[7:9]}"
    return LIMITS.get(text, text)


def _read(specification: Path, name: str) -> list[dict[str, str]]:
    with (specification / f"OMOP_CDMv5.4_{name}.csv").open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def _write(path: Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


if __name__ == "__main__":
    write_facts(Path(sys.argv[1]), settings().expectations_dir / "dqd")
