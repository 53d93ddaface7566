"""The checks that the fact tables instantiate, against DQD's own files where they are at hand."""

import csv
import shutil
from collections import Counter
from pathlib import Path

import pytest

from etl.config import settings
from etl.errors import ContractError
from etl.quality.dqd.catalogue import DqdCheck, read_catalogue
from etl.quality.dqd.facts import EXCLUDED_TABLES, write_facts

FACTS = ("check_types.csv", "tables.csv", "fields.csv", "concepts.csv")
# Counted with DQD 2.8's evaluation filters on its own files.
COUNTS = {
    "cdmTable": 31,
    "measurePersonCompleteness": 16,
    "measureConditionEraCompleteness": 1,
    "measureObservationPeriodOverlap": 1,
    "cdmField": 391,
    "isRequired": 145,
    "cdmDatatype": 197,
    "isPrimaryKey": 23,
    "isForeignKey": 163,
    "fkDomain": 43,
    "fkClass": 3,
    "isStandardValidConcept": 64,
    "measureValueCompleteness": 391,
    "standardConceptRecordCompleteness": 48,
    "sourceConceptRecordCompleteness": 13,
    "sourceValueCompleteness": 32,
    "plausibleValueLow": 68,
    "plausibleValueHigh": 60,
    "plausibleTemporalAfter": 51,
    "plausibleDuringLife": 34,
    "withinVisitDates": 9,
    "plausibleAfterBirth": 49,
    "plausibleBeforeDeath": 47,
    "plausibleStartBeforeEnd": 22,
    "plausibleGender": 287,
    "plausibleGenderUseDescendants": 4,
    "plausibleUnitConceptIds": 181,
}


@pytest.fixture
def directory(home: Path) -> Path:
    return settings().expectations_dir / "dqd"


@pytest.fixture
def copied(directory: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(directory, tmp_path / "dqd"))


def test_the_types_have_as_many_checks_as_dqd_runs_by_default(directory: Path) -> None:
    checks = read_catalogue(directory, deprecated=True)
    assert Counter(check.check_name for check in checks) == COUNTS
    assert len(checks) == 2374


def test_deprecated_types_are_only_read_on_request(directory: Path) -> None:
    checks = read_catalogue(directory)
    assert len(checks) == 2002
    assert not {"plausibleTemporalAfter", "plausibleDuringLife", "plausibleGender"} & {c.check_name for c in checks}


def test_a_check_reads_as_its_facts_say(directory: Path) -> None:
    checks = {check.check_id: check for check in read_catalogue(directory, deprecated=True)}
    assert checks["field_isforeignkey_person_gender_concept_id"] == DqdCheck(
        check_name="isForeignKey",
        level="field",
        table="person",
        field="gender_concept_id",
        concept_id="",
        unit_concept_id="",
        severity="critical",
        category="Conformance",
        subcategory="Relational",
        context="Verification",
        threshold=0.0,
        argument="concept.concept_id",
    )
    male = checks["concept_plausiblegenderusedescendants_condition_occurrence_condition_concept_id_4090861,4025213"]
    assert (male.concepts, male.argument, male.threshold) == ((4090861, 4025213), "male", 2.0)
    assert checks["table_cdmtable_person"].threshold is None
    low = checks["field_plausiblevaluelow_visit_occurrence_visit_start_datetime"]
    assert (low.argument, low.is_date, low.severity) == ("1950-01-01", True, "info")
    assert checks["field_plausiblevaluehigh_person_year_of_birth"].argument == "next_year"
    assert checks["concept_plausibleunitconceptids_measurement_measurement_concept_id_3013682"].units


def test_a_broken_threshold_is_refused(copied: Path) -> None:
    text = (copied / "tables.csv").read_text(encoding="utf-8")
    (copied / "tables.csv").write_text(text.replace("measurement,95", "measurement,950"), encoding="utf-8")
    with pytest.raises(ContractError, match=r"measurePersonCompleteness of measurement a threshold"):
        read_catalogue(copied)


def test_a_line_with_a_cell_too_few_is_refused(copied: Path) -> None:
    with (copied / "concepts.csv").open("a", encoding="utf-8") as file:
        file.write("plausibleGender,condition_occurrence\n")
    with pytest.raises(ContractError, match=r"concepts\.csv has a line with more or fewer cells"):
        read_catalogue(copied)


def test_a_check_said_twice_is_refused(copied: Path) -> None:
    with (copied / "tables.csv").open("a", encoding="utf-8") as file:
        file.write("person,,,\n")
    with pytest.raises(ContractError, match="table_cdmtable_person more than once"):
        read_catalogue(copied)


@pytest.mark.parametrize("name", FACTS)
def test_a_missing_file_is_refused(name: str, copied: Path) -> None:
    (copied / name).unlink()
    with pytest.raises(ContractError, match=f"{name} cannot be read"):
        read_catalogue(copied)


def test_an_unknown_severity_is_refused(copied: Path) -> None:
    text = (copied / "check_types.csv").read_text(encoding="utf-8")
    (copied / "check_types.csv").write_text(text.replace("table,critical", "table,fatal", 1), encoding="utf-8")
    with pytest.raises(ContractError, match="cdmTable an unknown severity"):
        read_catalogue(copied)


@pytest.mark.integration
def test_the_fact_tables_are_those_written_from_dqds_own_files(
    directory: Path, tmp_path: Path, shared_data: Path
) -> None:
    write_facts(shared_data / "spec" / "dqd", tmp_path)
    assert {name: (tmp_path / name).read_text() for name in FACTS} == {
        name: (directory / name).read_text() for name in FACTS
    }


@pytest.mark.integration
def test_the_ids_are_those_of_dqds_evaluation_filters(directory: Path, shared_data: Path) -> None:
    """The filters of Check_Descriptions, evaluated as R does, on the three other files."""
    specification = shared_data / "spec" / "dqd"
    files = {"TABLE": "Table_Level", "FIELD": "Field_Level", "CONCEPT": "Concept_Level"}
    rows = {level: _rows(specification / f"OMOP_CDMv5.4_{file}.csv") for level, file in files.items()}
    wanted = {
        "_".join(part for part in (level, check["checkName"], *_place(row)) if part).replace(" ", "").lower()
        for check in _rows(specification / "OMOP_CDMv5.4_Check_Descriptions.csv")
        for level in (check["checkLevel"],)
        for row in rows[level]
        if all(_holds(condition, row) for condition in check["evaluationFilter"].split("&"))
        and row["cdmTableName"] not in EXCLUDED_TABLES
        and row.get("cdmFieldName") != "offset"
    }
    assert {check.check_id for check in read_catalogue(directory, deprecated=True)} == wanted


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def _place(row: dict[str, str]) -> tuple[str, ...]:
    return tuple(row.get(name, "") for name in ("cdmTableName", "cdmFieldName", "conceptId", "unitConceptId"))


def _holds(condition: str, row: dict[str, str]) -> bool:
    """`name=='value'` or `name!='value'`."""
    is_equal = "==" in condition
    name, value = condition.split("==" if is_equal else "!=")
    return (row[name.strip()] == value.strip().strip("'")) == is_equal
