"""DQD's result JSON: the keys that OHDSI's viewer and Ares read, DQD's own sums, our counts."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from made_reports import HELD, LATE, UNTOLD

from etl.config import settings
from etl.quality.dqd.catalogue import DqdCheck, read_catalogue
from etl.quality.report.dqd import dqd_facts, dqd_json
from etl.quality.report.words import DQD

CATALOGUE = read_catalogue(settings().expectations_dir / "dqd", deprecated=True)
FACTS = dqd_facts(CATALOGUE, {LATE.check_id: "SELECT person_id FROM cdm.measurement"})
STARTED = datetime(2026, 11, 28, 2, 10, 0, tzinfo=UTC)
CDM_SOURCE = {"cdm_source_name": "Synthea", "cdm_source_abbreviation": "synthea", "vocabulary_version": "v5.0 DEMO"}
RANGE = "concept_plausiblegenderusedescendants_condition_occurrence_condition_concept_id_"

ALWAYS = {
    "executionTime", "queryText", "checkName", "checkLevel", "checkDescription", "cdmTableName", "sqlFile", "category",
    "subcategory", "context", "checkId", "failed", "passed", "isError", "notApplicable",
}  # fmt: skip
COUNTS = {"numViolatedRows", "pctViolatedRows", "numDenominatorRows"}
SOMETIMES = {"cdmFieldName", "conceptId", "unitConceptId", "error", "notApplicableReason", "thresholdValue"}


def results() -> list:  # type: ignore[type-arg]
    """One of each outcome; HELD is not DQD's."""
    empty = replace(
        UNTOLD, check_id="field_isrequired_note_note_id", check_type="isRequired", severity="critical", table="note",
        column="note_id", status="not_applicable", reason="table note is empty",
    )  # fmt: skip
    passed = replace(
        LATE, check_id="field_standardconceptrecordcompleteness_measurement_measurement_concept_id",
        check_type="standardConceptRecordCompleteness", violated=40, denominator=1_000, status="passed",
        allowed_percent=5.0, table="measurement", column="measurement_concept_id", category="Completeness",
    )  # fmt: skip
    return [HELD, LATE, UNTOLD, empty, passed]


def content() -> dict:  # type: ignore[type-arg]
    written = json.dumps(dqd_json(results(), FACTS, CDM_SOURCE, STARTED, STARTED + timedelta(seconds=3)))
    return json.loads(written)  # type: ignore[no-any-return]


def row(check_id: str) -> dict:  # type: ignore[type-arg]
    [found] = [one for one in content()["CheckResults"] if one["checkId"] == check_id]
    return found  # type: ignore[no-any-return]


def test_the_file_has_dqds_parts_with_scalars_as_lists_of_one() -> None:
    told = content()
    assert list(told) == [
        "startTimestamp", "endTimestamp", "executionTime", "executionTimeSeconds", "CheckResults", "Metadata",
        "Overview",
    ]  # fmt: skip
    assert told["startTimestamp"] == ["2026-11-28 02:10:00"]
    assert told["executionTime"] == ["3 secs"]
    assert told["Metadata"] == [
        {"cdmSourceName": "Synthea", "cdmSourceAbbreviation": "synthea", "vocabularyVersion": "v5.0 DEMO"}
    ]


def test_every_row_has_dqds_keys_and_leaves_missing_values_out() -> None:
    for told in content()["CheckResults"]:
        assert ALWAYS <= set(told) <= ALWAYS | COUNTS | SOMETIMES
        assert None not in told.values()
        assert (set(told) >= COUNTS) == (told["isError"] == 0)


def test_only_dqds_checks_are_in_it() -> None:
    assert len(content()["CheckResults"]) == 4


def test_a_failed_check_tells_its_counts_its_place_in_capitals_and_our_sql() -> None:
    assert row(LATE.check_id) == {
        "numViolatedRows": 1, "pctViolatedRows": 0.1, "numDenominatorRows": 10, "executionTime": "0.250000 secs",
        "queryText": "SELECT person_id FROM cdm.measurement", "checkName": "plausibleBeforeDeath",
        "checkLevel": "FIELD",
        "checkDescription": "Dates in MEASUREMENT.MEASUREMENT_DATE more than 60 days after the person's death.",
        "cdmTableName": "MEASUREMENT", "cdmFieldName": "MEASUREMENT_DATE",
        "sqlFile": "field_plausible_before_death.sql",
        "category": "Plausibility", "subcategory": "Temporal", "context": "Verification", "checkId": LATE.check_id,
        "failed": 1, "passed": 0, "isError": 0, "notApplicable": 0, "thresholdValue": 0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("check_id", "flags", "told"),
    [
        (UNTOLD.check_id, "isError", {"error": "ConversionException"}),
        ("field_isrequired_note_note_id", "notApplicable", {"notApplicableReason": "table note is empty"}),
        (results()[-1].check_id, "passed", {"thresholdValue": 5}),
        (LATE.check_id, "failed", {}),
    ],
)
def test_a_check_has_exactly_one_outcome_with_what_belongs_to_it(
    check_id: str, flags: str, told: dict[str, object]
) -> None:
    found = row(check_id)
    assert {name: found[name] for name in ("failed", "passed", "isError", "notApplicable")} == {
        name: int(name == flags) for name in ("failed", "passed", "isError", "notApplicable")
    }
    assert told.items() <= found.items()


def test_the_overview_sums_as_dqd_does_what_did_not_fail_is_passed() -> None:
    assert content()["Overview"] == {
        "countTotal": [4], "countPassed": [3], "countErrorFailed": [1], "countThresholdFailed": [1],
        "countOverallFailed": [1], "percentPassed": [75.0], "percentFailed": [25.0],
        "countTotalPlausibility": [1], "countTotalConformance": [2], "countTotalCompleteness": [1],
        "countFailedPlausibility": [1], "countFailedConformance": [0], "countFailedCompleteness": [0],
        "countPassedPlausibility": [0], "countPassedConformance": [0], "countPassedCompleteness": [1],
    }  # fmt: skip


def test_no_check_at_all_divides_by_nothing() -> None:
    assert dqd_json([], FACTS, {}, STARTED, STARTED)["Overview"]["percentPassed"] == [100.0]


def test_a_limit_that_a_site_changed_is_the_one_told() -> None:
    told = dqd_json([replace(LATE, allowed_percent=2.5)], FACTS, {}, STARTED, STARTED)
    assert told["CheckResults"][0]["thresholdValue"] == 2.5


def test_every_type_of_the_catalogue_has_a_whole_sentence_and_dqds_sql_file() -> None:
    assert {check.check_name for check in CATALOGUE} == set(DQD)
    assert len(FACTS) == len(CATALOGUE) == 2_374
    odd = [facts for facts in FACTS.values() if "{" in facts.check_description or not facts.sql_file.endswith(".sql")]
    assert not odd
    assert not [facts.check_id for facts in FACTS.values() if "  " in facts.check_description]


def test_a_concept_check_names_its_concept_and_what_goes_with_it() -> None:
    check = next(c for c in CATALOGUE if c.check_name == "plausibleUnitConceptIds")
    told = FACTS[check.check_id]
    assert (told.check_level, told.concept_id) == ("CONCEPT", check.concept_id)
    assert check.concept_id in told.check_description
    assert check.argument in told.check_description


def test_a_check_without_threshold_has_none_in_the_file() -> None:
    presence = next(c for c in CATALOGUE if c.check_name == "cdmTable")
    assert isinstance(presence, DqdCheck)
    told = dqd_json([replace(LATE, check_id=presence.check_id)], FACTS, {}, STARTED, STARTED)
    assert "thresholdValue" not in told["CheckResults"][0]
