"""Corruptions, one of each type of check: caught by the check meant for it, with the rows and the consequence."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from quality_helpers import (
    ABSENT,
    ALL_ACCOUNTED,
    COUGH,
    KILOGRAM,
    MALE,
    Cdm,
    account,
    hospital,
    write,
    write_select,
    write_vocabulary,
)
from test_quality_counts import BROKEN, edit, repeat

from etl.config import settings
from etl.engine import connection, quote_path
from etl.quality import CheckResult, compute_candidate, gate_candidate, warm_up, write_violations
from etl.quality.candidate import open_candidate, open_raw
from etl.quality.dqd.catalogue import DqdCheck, read_catalogue
from etl.quality.dqd.definition import Places, violating_rows
from etl.quality.suites import read_suites

pytestmark = pytest.mark.faults
Break = Callable[[Cdm], Any]

OF_MEN, OF_MEN_BY_DESCENT, HDL, CLASSIFYING = 26662, 4000003, 3007070, 4000002


@pytest.fixture(scope="module", autouse=True)
def great_expectations() -> None:
    warm_up().join()


def clean() -> Cdm:
    """The hospital of two persons, with the eras and source concepts that the dashboard looks for."""
    cdm = hospital()
    cdm["condition_era"] = [
        {
            "condition_era_id": 1_000_000 * person + 1, "person_id": person, "condition_concept_id": COUGH,
            "condition_era_start_date": day, "condition_era_end_date": day, "condition_occurrence_count": 1,
        }
        for person, day in ((1, "2020-05-02"), (2, "2019-01-01"))
    ]  # fmt: skip
    for row in cdm["condition_occurrence"]:
        row["condition_source_concept_id"] = COUGH
    return cdm


def vocabulary(folder: Path) -> Path:
    """The helpers' concepts and a few that the dashboard names; one descends from a finding of men."""
    write_vocabulary(folder)
    concepts = quote_path(folder / "concept.parquet")
    added = (
        (OF_MEN, "Condition", "S"),
        (OF_MEN_BY_DESCENT, "Condition", "S"),
        (HDL, "Measurement", "S"),
        (CLASSIFYING, "Condition", "C"),
    )
    more = ", ".join(
        f"({concept}, '{domain}', 'Clinical Finding', '{standard}')" for concept, domain, standard in added
    )
    write_select(f"SELECT * FROM read_parquet({concepts}) UNION ALL VALUES {more}", folder / "more.parquet")
    (folder / "more.parquet").replace(folder / "concept.parquet")
    ancestors = f"SELECT 4090861 AS ancestor_concept_id, {OF_MEN_BY_DESCENT} AS descendant_concept_id"
    write_select(ancestors, folder / "concept_ancestor.parquet")
    return folder


def without_period(cdm: Cdm) -> None:
    del cdm["observation_period"][0]


def without_era(cdm: Cdm) -> None:
    del cdm["condition_era"][0]


def unmapped_source(cdm: Cdm) -> None:
    cdm["condition_occurrence"][1]["condition_source_concept_id"] = ABSENT


def in_kilograms(cdm: Cdm) -> None:
    cdm["measurement"][0].update(
        measurement_concept_id=HDL, unit_concept_id=KILOGRAM, unit_source_value="kg", value_as_number=50
    )


def lose_table(run: Path) -> None:
    (run / "cdm" / "condition_occurrence.parquet").unlink()


def lose_field(run: Path) -> None:
    write_select("SELECT 1 AS person_id", run / "cdm" / "death.parquet")


def mistype(run: Path) -> None:
    person = run / "cdm" / "person.parquet"
    text = "CASE person_id WHEN 2 THEN 'unknown' ELSE CAST(year_of_birth AS VARCHAR) END AS year_of_birth"
    write_select(f"SELECT * REPLACE ({text}) FROM read_parquet({quote_path(person)})", run / "person.parquet")
    (run / "person.parquet").replace(person)


# of the dashboard: check id, what breaks the rows, which row (table, place) or person is named
FIRST, SECOND, THIRD = (("condition_occurrence", place) for place in range(3))
OF_DASHBOARD: list[tuple[str, Break, list[Any]]] = [
    (
        "field_isrequired_condition_occurrence_person_id",
        edit("condition_occurrence", 0, person_id=None),
        [FIRST],
    ),
    (
        "field_isprimarykey_condition_occurrence_condition_occurrence_id",
        repeat("condition_occurrence", 2),
        [THIRD, THIRD],
    ),
    ("field_isforeignkey_condition_occurrence_person_id", edit("condition_occurrence", 0, person_id=99), [FIRST]),
    (
        "field_fkdomain_condition_occurrence_condition_concept_id",
        edit("condition_occurrence", 1, condition_concept_id=MALE),
        [SECOND],
    ),
    ("field_fkclass_drug_era_drug_concept_id", edit("drug_era", 0, drug_concept_id=COUGH), [("drug_era", 0)]),
    (
        "field_isstandardvalidconcept_condition_occurrence_condition_concept_id",
        edit("condition_occurrence", 1, condition_concept_id=CLASSIFYING),
        [SECOND],
    ),
    (
        "field_measurevaluecompleteness_condition_occurrence_condition_start_date",
        edit("condition_occurrence", 1, condition_start_date=None),
        [SECOND],
    ),
    ("table_measurepersoncompleteness_observation_period", without_period, [1]),
    ("table_measureconditioneracompleteness_condition_era", without_era, [1]),
    (
        "table_measureobservationperiodoverlap_observation_period",
        edit("observation_period", 2, observation_period_start_date="2012-12-31"),
        [2],
    ),
    (
        "field_standardconceptrecordcompleteness_condition_occurrence_condition_concept_id",
        edit("condition_occurrence", 1, condition_concept_id=ABSENT),
        [SECOND],
    ),
    (
        "field_sourceconceptrecordcompleteness_condition_occurrence_condition_source_concept_id",
        unmapped_source,
        [SECOND],
    ),
    (
        "field_sourcevaluecompleteness_condition_occurrence_condition_source_value",
        edit("condition_occurrence", 1, condition_concept_id=ABSENT, condition_source_value="LOCAL-9"),
        [SECOND],
    ),
    (
        "field_plausiblevaluelow_drug_exposure_days_supply",
        edit("drug_exposure", 0, days_supply=0),
        [("drug_exposure", 0)],
    ),
    (
        "field_plausiblevaluehigh_drug_exposure_days_supply",
        edit("drug_exposure", 0, days_supply=366),
        [("drug_exposure", 0)],
    ),
    (
        "field_withinvisitdates_condition_occurrence_condition_start_date",
        edit("condition_occurrence", 0, condition_start_date="2020-05-18", condition_end_date="2020-05-18"),
        [FIRST],
    ),
    (
        "field_plausibleafterbirth_condition_occurrence_condition_start_date",
        edit("condition_occurrence", 1, condition_start_date="1979-12-31"),
        [SECOND],
    ),
    (
        "field_plausiblebeforedeath_condition_occurrence_condition_start_date",
        edit("condition_occurrence", 0, condition_start_date="2020-08-01", condition_end_date="2020-08-01"),
        [FIRST],
    ),
    (
        "field_plausiblestartbeforeend_condition_occurrence_condition_start_date",
        edit("condition_occurrence", 0, condition_end_date="2020-05-01"),
        [FIRST],
    ),
    (
        "field_plausibletemporalafter_condition_occurrence_condition_end_date",
        edit("condition_occurrence", 0, condition_end_date="2020-05-01"),
        [FIRST],
    ),
    (
        "field_plausibleduringlife_condition_occurrence_condition_start_date",
        edit("condition_occurrence", 0, condition_start_date="2020-08-01", condition_end_date="2020-08-01"),
        [FIRST],
    ),
    (
        f"concept_plausiblegender_condition_occurrence_condition_concept_id_{OF_MEN}",
        edit("condition_occurrence", 1, condition_concept_id=OF_MEN),
        [SECOND],
    ),
    (
        "concept_plausiblegenderusedescendants_condition_occurrence_condition_concept_id_4090861,4025213",
        edit("condition_occurrence", 1, condition_concept_id=OF_MEN_BY_DESCENT),
        [SECOND],
    ),
    (
        f"concept_plausibleunitconceptids_measurement_measurement_concept_id_{HDL}",
        in_kilograms,
        [("measurement", 0)],
    ),
]
# of the dashboard, in the files themselves
IN_FILES: list[tuple[str, Callable[[Path], None], list[Any]]] = [
    ("table_cdmtable_condition_occurrence", lose_table, []),
    ("field_cdmfield_death_death_date", lose_field, []),
    ("field_cdmdatatype_person_year_of_birth", mistype, [("person", 1)]),
]
OURS = list({check_id.split(".")[1]: (check_id, break_it) for check_id, break_it, *_ in BROKEN}.values())
LEDGER = {
    "accounting.hospital.patients": {"unaccounted": 1, "used": 1},
    "accounting.landed_or_rejected.hospital.patients": {"landed": 1, "used": 1},
    "accounting.used_or_excluded.hospital.patients": {"used": 1},
    "accounting.from_landed.hospital.patients": {"not_landed": 1},
}


def judged(results: list[CheckResult], check_id: str, folder: Path) -> None:
    """The gate says so, and stops the publish exactly when the check is critical."""
    table = next(result.table for result in results if result.check_id == check_id)
    suites = {table: suite} if (suite := read_suites(settings().expectations_dir / "cdm").get(table)) else {}
    asked = [check for check in dashboard().values() if check.table == table]
    result = gate_candidate(results, folder / "report", suites=suites, dashboard=asked)
    severity = next(result.severity for result in results if result.check_id == check_id)
    told = result.failed if severity == "critical" else result.warnings
    assert check_id in {check.check_id for check in told}
    if severity == "critical":
        assert not result.passed
        assert any(reason.startswith(check_id) for reason in result.reasons)
    else:
        assert not any(reason.startswith(check_id) for reason in result.reasons)


def dashboard() -> dict[str, DqdCheck]:
    return {c.check_id: c for c in read_catalogue(settings().expectations_dir / "dqd", deprecated=True)}


def count(run: Path, words: Path, ledger: Any = ALL_ACCOUNTED) -> list[CheckResult]:
    return compute_candidate(settings(), run, words, ledger, deprecated=True)


def status_of(check_id: str, results: list[CheckResult]) -> str:
    return next(result.status for result in results if result.check_id == check_id)


def named_rows(check: DqdCheck, run: Path, words: Path) -> list[int]:
    """The ids that the check's own SQL selects."""
    with connection(1) as con:
        opened = open_candidate(con, run / "cdm", words, [check.table, "condition_occurrence", "visit_occurrence"])
        open_raw(con, opened[check.table])
        places = Places(cdm="raw") if check.check_name == "cdmDatatype" else Places()
        return sorted(row[0] for row in con.execute(violating_rows(check, places)).fetchall())


def expected_ids(cdm: Cdm, rows: list[Any]) -> list[int]:
    keys = {"person": "person_id"}
    return sorted(
        row if isinstance(row, int) else cdm[row[0]][row[1]][keys.get(row[0], f"{row[0]}_id")] for row in rows
    )


@pytest.mark.parametrize(("check_id", "break_it", "rows"), OF_DASHBOARD, ids=[case[0] for case in OF_DASHBOARD])
def test_a_row_that_the_dashboard_would_find_is_found_named_and_judged(
    check_id: str, break_it: Break, rows: list[Any], home: Path, tmp_path: Path
) -> None:
    words, cdm = vocabulary(tmp_path / "words"), clean()
    assert status_of(check_id, count(write(cdm, tmp_path / "clean"), words)) in ("passed", "not_applicable")
    break_it(cdm)
    run = write(cdm, tmp_path / "broken")
    results = count(run, words)
    assert status_of(check_id, results) == "failed"
    assert named_rows(dashboard()[check_id], run, words) == expected_ids(cdm, rows)
    judged(results, check_id, tmp_path)


@pytest.mark.parametrize(("check_id", "break_it", "rows"), IN_FILES, ids=[case[0] for case in IN_FILES])
def test_a_file_that_is_not_what_it_should_be_is_found_and_stops(
    check_id: str, break_it: Callable[[Path], None], rows: list[Any], home: Path, tmp_path: Path
) -> None:
    words, cdm = vocabulary(tmp_path / "words"), clean()
    run = write(cdm, tmp_path / "broken")
    assert status_of(check_id, count(run, words)) == "passed"
    break_it(run)
    results = count(run, words)
    assert status_of(check_id, results) == "failed"
    if rows:
        assert named_rows(dashboard()[check_id], run, words) == expected_ids(cdm, rows)
    judged(results, check_id, tmp_path)


@pytest.mark.parametrize(("check_id", "break_it"), OURS, ids=[case[0] for case in OURS])
def test_a_row_that_our_own_checks_look_for_is_found_named_and_judged(
    check_id: str, break_it: Break, home: Path, tmp_path: Path
) -> None:
    words, cdm = vocabulary(tmp_path / "words"), hospital()
    break_it(cdm)
    run = write(cdm, tmp_path / "broken")
    results = count(run, words)
    found = next(result for result in results if result.check_id == check_id)
    assert found.violated
    violations = tmp_path / "violations.parquet"
    if not check_id.endswith("has_rows"):
        assert write_violations(settings(), run, words, [check_id], violations)[check_id] >= found.violated
    if found.severity == "info":
        assert found.status == "passed", "it reports its counts, whatever they are"
    else:
        judged(results, check_id, tmp_path)


@pytest.mark.parametrize("check_id", LEDGER)
def test_a_row_that_the_ledger_does_not_account_for_stops(check_id: str, home: Path, tmp_path: Path) -> None:
    ledger = [account("hospital.patients", **LEDGER[check_id])]
    results = count(write(hospital(), tmp_path / "run"), vocabulary(tmp_path / "words"), ledger)
    result = gate_candidate(results, tmp_path / "report", suites={})
    assert not result.passed
    assert check_id in {check.check_id for check in result.failed}


def test_there_is_a_corruption_of_every_type_of_the_dashboard() -> None:
    planted = {dashboard()[case[0]].check_name for case in (*OF_DASHBOARD, *IN_FILES)}
    assert planted == {check.check_name for check in dashboard().values()}
    assert len(OF_DASHBOARD) + len(IN_FILES) + len(OURS) + len(LEDGER) >= 40
