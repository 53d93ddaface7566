"""DQD's statuses, rule by rule, from counts alone."""

from dataclasses import replace
from pathlib import Path

import pytest

from etl.config import settings
from etl.quality.dqd.catalogue import DqdCheck, read_catalogue
from etl.quality.dqd.status import Status, is_beyond, statuses

Counts = dict[str, tuple[int, int]]

CONDITION = "condition_occurrence"
REQUIRED = "field_isrequired_condition_occurrence_person_id"
COMPLETE = "field_measurevaluecompleteness_condition_occurrence_person_id"
FIELD = "field_cdmfield_condition_occurrence_person_id"
TABLE = "table_cdmtable_condition_occurrence"
PERSONS = "table_measurepersoncompleteness_condition_occurrence"
ERAS = "table_measureconditioneracompleteness_condition_era"
MALE = "concept_plausiblegender_condition_occurrence_condition_concept_id_26662"
MALE_FIELD = "field_measurevaluecompleteness_condition_occurrence_condition_concept_id"


@pytest.fixture
def checks(home: Path) -> tuple[DqdCheck, ...]:
    return read_catalogue(settings().expectations_dir / "dqd", deprecated=True)


def all_well(checks: tuple[DqdCheck, ...]) -> Counts:
    """No violation in ten rows."""
    return {check.check_id: (0, 10) for check in checks}


@pytest.mark.parametrize(
    ("changed", "errors", "check_id", "status", "reason"),
    [
        # What is counted and not beyond its threshold passes.
        ({}, {}, REQUIRED, "passed", ""),
        ({REQUIRED: (1, 10)}, {}, REQUIRED, "failed", ""),
        ({PERSONS: (9, 10)}, {}, PERSONS, "passed", ""),  # 95 % are allowed
        ({PERSONS: (10, 10)}, {}, PERSONS, "failed", ""),
        # A missing table fails its own check alone.
        ({TABLE: (1, 1)}, {}, TABLE, "failed", ""),
        ({TABLE: (1, 1), FIELD: (1, 1)}, {}, FIELD, "not_applicable", f"there is no table {CONDITION}"),
        ({TABLE: (1, 1)}, {REQUIRED: "x"}, REQUIRED, "not_applicable", f"there is no table {CONDITION}"),
        ({TABLE: (1, 1)}, {PERSONS: "x"}, PERSONS, "not_applicable", f"there is no table {CONDITION}"),
        ({TABLE: (1, 1)}, {MALE: "x"}, MALE, "not_applicable", f"there is no table {CONDITION}"),
        # A missing field too.
        ({FIELD: (1, 1)}, {}, FIELD, "failed", ""),
        ({FIELD: (1, 1)}, {REQUIRED: "x"}, REQUIRED, "not_applicable", f"{CONDITION} has no field person_id"),
        ({FIELD: (1, 1)}, {COMPLETE: "x"}, COMPLETE, "not_applicable", f"{CONDITION} has no field person_id"),
        # Another table or field that is missing is an error, before what does not apply.
        ({}, {REQUIRED: "there is no table death"}, REQUIRED, "error", "there is no table death"),
        ({COMPLETE: (0, 0)}, {REQUIRED: "there is no table death"}, REQUIRED, "error", "there is no table death"),
        # An empty table: nothing applies but its presence and the persons that have no row in it.
        ({COMPLETE: (0, 0)}, {}, REQUIRED, "not_applicable", f"{CONDITION} has no row"),
        ({COMPLETE: (0, 0)}, {}, COMPLETE, "not_applicable", f"{CONDITION} has no row"),
        ({COMPLETE: (0, 0)}, {}, TABLE, "passed", ""),
        ({COMPLETE: (0, 0)}, {}, FIELD, "passed", ""),
        ({COMPLETE: (0, 0), PERSONS: (10, 10)}, {}, PERSONS, "failed", ""),
        # A field without a value: only its completeness applies.
        ({COMPLETE: (10, 10)}, {}, REQUIRED, "not_applicable", f"{CONDITION}.person_id has no value"),
        ({COMPLETE: (10, 10)}, {}, COMPLETE, "failed", ""),
        # A concept that no row has.
        ({MALE: (0, 0)}, {}, MALE, "not_applicable", f"{CONDITION} has no row to count of concept 26662"),
        ({MALE: (1, 10)}, {}, MALE, "failed", ""),
        ({MALE_FIELD: (10, 10)}, {}, MALE, "not_applicable", f"{CONDITION}.condition_concept_id has no value"),
        # Eras are due where there are conditions, whatever is with their own table.
        ({COMPLETE: (0, 0)}, {}, ERAS, "not_applicable", f"{CONDITION} has no row"),
        ({TABLE: (1, 1)}, {ERAS: "x"}, ERAS, "not_applicable", f"there is no table {CONDITION}"),
        ({ERAS: (1, 10)}, {}, ERAS, "failed", ""),
        (
            {"table_cdmtable_condition_era": (1, 1)},
            {ERAS: "there is no table condition_era"},
            ERAS,
            "error",
            "there is no table condition_era",
        ),
    ],
)
def test_a_status_follows_from_counts(
    checks: tuple[DqdCheck, ...], changed: Counts, errors: dict[str, str], check_id: str, status: str, reason: str
) -> None:
    assert statuses(checks, all_well(checks) | changed, errors)[check_id] == Status(status, reason)


@pytest.mark.parametrize(
    ("violated", "denominator", "threshold", "beyond"),
    [
        (0, 10, None, False),
        (1, 10**9, None, True),
        (1, 10**9, 0.0, True),
        (0, 0, 0.0, False),
        (5, 100, 5.0, False),  # not more than the threshold
        (6, 100, 5.0, True),
        (1, 100, 1.0, False),
        (29, 580, 5.0, False),
        (100, 100, 100.0, False),
        (0, 0, 5.0, False),
    ],
)
def test_a_threshold_is_exceeded_by_more_and_none_or_zero_by_anything(
    violated: int, denominator: int, threshold: float | None, beyond: bool
) -> None:
    assert is_beyond(violated, denominator, threshold) is beyond


def test_a_missing_table_says_nothing_of_others(checks: tuple[DqdCheck, ...]) -> None:
    found = statuses(checks, all_well(checks) | {TABLE: (1, 1)}, {})
    others = {found[check.check_id].status for check in checks if check.table not in (CONDITION, "condition_era")}
    assert others == {"passed"}


def test_a_changed_threshold_changes_the_status_and_reads_nothing(checks: tuple[DqdCheck, ...]) -> None:
    strict = tuple(replace(check, threshold=0.0) for check in checks)
    counts = all_well(checks) | {PERSONS: (9, 10)}
    assert statuses(checks, counts, {})[PERSONS].status == "passed"
    assert statuses(strict, counts, {})[PERSONS].status == "failed"
