"""Each check type, broken once in a small hospital, and counted exactly."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from quality_helpers import (
    ABSENT,
    COUGH,
    MALE,
    OLD_COUGH,
    UNKNOWN,
    VISIT,
    Cdm,
    account,
    counts,
    hospital,
    id_of,
    write_select,
    write_vocabulary,
)

from etl.config import settings
from etl.engine import connection
from etl.errors import CdmflowError, ContractError
from etl.quality import compute_candidate
from etl.quality.facts import make_plausible
from etl.quality.suites import CHECK_TYPES

Break = Callable[[Cdm], Any]
BODY_WEIGHT = 3025315


def edit(table: str, row: int, **values: Any) -> Break:
    return lambda cdm: cdm[table][row].update(values)


def repeat(table: str, row: int) -> Break:
    return lambda cdm: cdm[table].append(dict(cdm[table][row]))


def weigh(kilograms: float) -> Break:
    return edit("measurement", 0, measurement_concept_id=BODY_WEIGHT, value_as_number=kilograms)


def another_era(start: str, end: str, **values: Any) -> Break:
    era = {"drug_era_id": 2, "drug_era_start_date": start, "drug_era_end_date": end} | values
    return lambda cdm: cdm["drug_era"].append(cdm["drug_era"][0] | era)


# check id, what breaks it, violated rows, rows counted
BROKEN: list[tuple[str, Break, int, int]] = [
    ("person.has_rows", lambda cdm: cdm.clear(), 1, 1),
    ("condition_occurrence.required.person_id", edit("condition_occurrence", 0, person_id=None), 1, 3),
    (
        "condition_occurrence.length.condition_source_value",
        edit("condition_occurrence", 1, condition_source_value="x" * 51),
        1,
        3,
    ),
    ("condition_occurrence.primary_key.condition_occurrence_id", repeat("condition_occurrence", 2), 1, 4),
    ("death.unique.person_id", repeat("death", 0), 1, 2),
    ("condition_occurrence.foreign_key.person_id", edit("condition_occurrence", 0, person_id=99), 1, 3),
    (
        "condition_occurrence.foreign_key.visit_occurrence_id",
        edit("condition_occurrence", 0, visit_occurrence_id=7),
        1,
        2,
    ),
    (
        "condition_occurrence.foreign_key.condition_concept_id",
        edit("condition_occurrence", 0, condition_concept_id=UNKNOWN),
        1,
        3,
    ),
    (
        "condition_occurrence.concept_domain.condition_concept_id",
        edit("condition_occurrence", 0, condition_concept_id=MALE),
        1,
        3,
    ),
    ("drug_era.concept_class.drug_concept_id", edit("drug_era", 0, drug_concept_id=COUGH), 1, 1),
    (
        "condition_occurrence.standard_concept.condition_concept_id",
        edit("condition_occurrence", 0, condition_concept_id=OLD_COUGH),
        1,
        3,
    ),
    (
        "condition_occurrence.unmapped.condition_concept_id",
        edit("condition_occurrence", 0, condition_concept_id=ABSENT),
        1,
        3,
    ),
    (
        "condition_occurrence.dates_in_order.condition_start_date",
        edit("condition_occurrence", 0, condition_end_date="2020-05-01"),
        1,
        3,
    ),
    (
        "condition_occurrence.after_birth.condition_start_date",
        edit("condition_occurrence", 1, condition_start_date="1979-12-31"),
        1,
        3,
    ),
    (
        "condition_occurrence.before_death.condition_start_date",
        edit("condition_occurrence", 0, condition_start_date="2020-08-01"),
        1,
        1,
    ),
    (
        "condition_occurrence.within_observation_period.condition_start_date",
        edit("condition_occurrence", 1, condition_start_date="2013-01-01"),
        1,
        3,
    ),
    (
        "condition_occurrence.same_person.visit_occurrence_id",
        edit("condition_occurrence", 0, visit_occurrence_id=id_of(2, VISIT)),
        1,
        2,
    ),
    ("drug_exposure.in_range.days_supply", edit("drug_exposure", 0, days_supply=366), 1, 1),
    ("drug_exposure.in_range.days_supply", edit("drug_exposure", 0, days_supply=-1), 1, 1),
    (
        "condition_occurrence.current_type.condition_type_concept_id",
        edit("condition_occurrence", 0, condition_type_concept_id=38000177),
        1,
        3,
    ),
    ("death.current_type.death_type_concept_id", edit("death", 0, death_type_concept_id=44818516), 1, 1),
    (
        "visit_detail.within_visit.visit_detail_end_date",
        edit("visit_detail", 0, visit_detail_end_date="2020-05-11"),
        1,
        1,
    ),
    (
        "visit_occurrence.stays_apart.visit_start_date",
        edit("visit_occurrence", 1, visit_end_date="2020-02-01"),
        1,
        3,
    ),
    (
        "observation_period.no_overlap.observation_period_start_date",
        edit("observation_period", 2, observation_period_start_date="2012-12-31"),
        1,
        3,
    ),
    ("cdm_source.has_rows", lambda cdm: cdm.pop("cdm_source"), 1, 1),
    (
        "condition_occurrence.not_in_future.condition_start_date",
        edit("condition_occurrence", 1, condition_start_date="2021-01-02"),
        1,
        3,
    ),
    (
        "observation_period.not_in_future.observation_period_end_date",
        edit("observation_period", 2, observation_period_end_date="2021-01-02"),
        1,
        3,
    ),
    # a part that is in no registry, row 0, a row below 0, a candidate that does not say of which source it is
    ("visit_occurrence.decodes.visit_occurrence_id", edit("visit_occurrence", 0, visit_occurrence_id=109_900), 1, 3),
    ("visit_occurrence.decodes.visit_occurrence_id", edit("visit_occurrence", 0, visit_occurrence_id=700), 1, 3),
    ("visit_occurrence.decodes.visit_occurrence_id", edit("visit_occurrence", 0, visit_occurrence_id=-100_700), 1, 3),
    ("visit_occurrence.decodes.visit_occurrence_id", lambda cdm: cdm.pop("cdm_source"), 3, 3),
    ("measurement.plausible_value.value_as_number", weigh(705.0), 1, 1),
    ("measurement.plausible_value.value_as_number", weigh(-70.5), 1, 1),
    ("drug_era.eras_apart.drug_era_start_date", another_era("2019-02-01", "2019-03-01"), 1, 2),
    ("condition_occurrence.no_repeat.condition_concept_id", repeat("condition_occurrence", 2), 1, 4),
    ("care_site.referred_to.care_site_id", lambda cdm: cdm.update(care_site=[{"care_site_id": 100_400}]), 1, 1),
]


OBSERVED_DAYS = {  # of person 2, observed 2010-2012 and 2015-2020
    "2009-12-31": 1,
    "2010-01-01": 0,
    "2012-12-31": 0,
    "2013-01-01": 1,
    "2014-12-31": 1,
    "2015-01-01": 0,
    "2021-01-01": 0,
    "2021-01-02": 1,
}


@pytest.mark.parametrize("day", OBSERVED_DAYS)
def test_a_record_before_between_or_after_the_periods_is_outside(day: str, home: Path, tmp_path: Path) -> None:
    cdm = hospital()
    cdm["condition_occurrence"][1]["condition_start_date"] = day
    found = counts(cdm, tmp_path)["condition_occurrence.within_observation_period.condition_start_date"]
    assert (found.violated, found.denominator) == (OBSERVED_DAYS[day], 3)


def test_all_records_of_a_person_without_a_period_are_outside(home: Path, tmp_path: Path) -> None:
    cdm = hospital()
    del cdm["observation_period"][1:]
    found = counts(cdm, tmp_path)["condition_occurrence.within_observation_period.condition_start_date"]
    assert (found.violated, found.denominator) == (2, 3)


def test_a_clean_candidate_violates_nothing(home: Path, tmp_path: Path) -> None:
    results = counts(hospital(), tmp_path)
    unmapped = "measurement.unmapped.measurement_concept_id"  # the weight's code is kept as 0 on purpose
    assert [r.check_id for r in results.values() if r.violated and r.origin == "cdm"] == [unmapped]
    assert results["condition_occurrence.required.person_id"].status == "passed"
    assert results["note.required.note_id"].status == "not_applicable"


@pytest.mark.parametrize(("check_id", "break_it", "violated", "denominator"), BROKEN, ids=[b[0] for b in BROKEN])
def test_a_broken_row_is_counted_by_its_check(
    check_id: str, break_it: Break, violated: int, denominator: int, home: Path, tmp_path: Path
) -> None:
    cdm = hospital()
    break_it(cdm)
    result = counts(cdm, tmp_path)[check_id]
    assert (result.violated, result.denominator) == (violated, denominator)
    assert result.status == ("passed" if result.severity == "info" else "failed")


def test_every_check_type_is_broken_by_some_test_here() -> None:
    tested = {check_id.split(".")[1] for check_id, *_ in BROKEN} | {"columns", "types"}
    assert tested == set(CHECK_TYPES)


def test_a_column_in_the_wrong_place_with_the_wrong_type_is_counted_and_hides_nothing_else(
    home: Path, tmp_path: Path
) -> None:
    """death.parquet with person_id as text and in second place, one of two no number, and three columns lost."""
    cdm = hospital()
    del cdm["death"]
    select = (
        "SELECT DATE '2020-06-01' AS death_date, person_id, NULL::TIMESTAMP AS death_datetime, NULL::INTEGER AS "
        "death_type_concept_id FROM (VALUES ('1'), ('one')) AS t(person_id)"
    )
    write_select(select, tmp_path / "run" / "cdm" / "death.parquet")
    results = counts(cdm, tmp_path)
    assert (results["death.columns"].violated, results["death.columns"].denominator) == (5, 7)
    assert (results["death.types"].violated, results["death.types"].denominator) == (1, 7)
    assert results["death.required.person_id"].violated == 1
    assert results["death.required.death_date"].violated == 0


def test_a_ledger_that_adds_up_passes_and_one_of_no_rows_is_not_applicable(home: Path, tmp_path: Path) -> None:
    empty = account("hospital.stays", received=0, landed=0, used=0, cdm=0)
    results = counts(hospital(), tmp_path, (account("hospital.patients"), empty))
    found = {r.check_id: (r.status, r.severity) for r in results.values() if r.table == "accounting"}
    assert found == {
        f"accounting{check}.hospital.{table}": (status, "critical")
        for check in ("", ".landed_or_rejected", ".used_or_excluded", ".from_landed")
        for table, status in (("patients", "passed"), ("stays", "not_applicable"))
    }


@pytest.mark.parametrize(
    ("check_id", "wrong", "violated", "denominator"),
    [
        ("accounting.stays", {"landed": 900, "received": 900, "used": 897, "unaccounted": 3}, 3, 900),
        ("accounting.landed_or_rejected.stays", {"received": 9}, 7, 9),
        ("accounting.landed_or_rejected.stays", {"rejected": 1}, 1, 2),
        ("accounting.used_or_excluded.stays", {"used": 1}, 1, 2),
        ("accounting.used_or_excluded.stays", {"excluded": 4}, 4, 2),
        ("accounting.from_landed.stays", {"not_landed": 1}, 1, 3),
    ],
)
def test_a_ledger_that_does_not_add_up_is_counted_by_what_disagrees(
    check_id: str, wrong: dict[str, int], violated: int, denominator: int, home: Path, tmp_path: Path
) -> None:
    results = counts(hospital(), tmp_path, (account("stays", **wrong),))
    failed = [result for result in results.values() if result.table == "accounting" and result.status == "failed"]
    assert [(r.check_id, r.violated, r.denominator, r.severity) for r in failed] == [
        (check_id, violated, denominator, "critical")
    ]


def test_a_table_that_is_appended_to_is_not_held_against_one_delivery(home: Path, tmp_path: Path) -> None:
    results = counts(hospital(), tmp_path, (account("stays", received=None, landed=900, used=900),))
    assert results["accounting.landed_or_rejected.stays"].status == "not_applicable"


def test_text_length_counts_characters_not_bytes(home: Path, tmp_path: Path) -> None:
    cdm = hospital()
    cdm["condition_occurrence"][0]["condition_source_value"] = "가" * 50
    assert counts(cdm, tmp_path)["condition_occurrence.length.condition_source_value"].violated == 0


def test_a_doubled_person_does_not_multiply_the_rows_of_others(home: Path, tmp_path: Path) -> None:
    cdm = hospital()
    cdm["person"].append(dict(cdm["person"][1]))
    cdm["visit_occurrence"].append(dict(cdm["visit_occurrence"][1]))
    results = counts(cdm, tmp_path)
    assert results["person.primary_key.person_id"].violated == 1
    assert results["condition_occurrence.required.condition_occurrence_id"].denominator == 3
    assert results["condition_occurrence.same_person.visit_occurrence_id"].denominator == 2


def test_an_impossible_day_of_birth_leaves_birth_unknown_instead_of_failing(home: Path, tmp_path: Path) -> None:
    cdm = hospital()
    cdm["person"][0].update(month_of_birth=2, day_of_birth=30)
    assert counts(cdm, tmp_path)["condition_occurrence.after_birth.condition_start_date"].denominator == 2


def test_a_vocabulary_without_concepts_is_an_error_that_names_it(home: Path, tmp_path: Path) -> None:
    (tmp_path / "vocabulary").mkdir()
    with pytest.raises(ContractError, match=r"no concept\.parquet"):
        counts(hospital(), tmp_path)


def test_an_unreadable_file_is_an_error_without_a_word_of_its_content(home: Path, tmp_path: Path) -> None:
    (tmp_path / "run" / "cdm").mkdir(parents=True)
    (tmp_path / "run" / "cdm" / "person.parquet").write_text("Zebulon Quickbottom")
    with pytest.raises(CdmflowError, match="cannot be checked") as error:
        compute_candidate(settings(), tmp_path / "run", write_vocabulary(tmp_path / "vocabulary"), ())
    assert "Zebulon" not in str(error.value)


@pytest.mark.integration
def test_a_published_cdm_of_other_hands_is_judged_as_its_readme_says(
    home: Path, tmp_path: Path, shared_data: Path
) -> None:
    """Eunomia's Synthea27Nj: no orphan persons or visits, but genders and all type concepts outside its CONCEPT."""
    source = shared_data / "omop_eunomia_28"
    from etl.cdm import tables
    from etl.engine import duckdb_type

    for name in ("PERSON", "CONDITION_OCCURRENCE", "DRUG_EXPOSURE", "VISIT_OCCURRENCE", "OBSERVATION_PERIOD", "DEATH"):
        fields = tables()[name.lower()].fields
        casts = ", ".join(f'TRY_CAST("{f.name}" AS {duckdb_type(f.sql_type)}) AS "{f.name}"' for f in fields)
        select = f"SELECT {casts} FROM read_csv('{source}/{name}.csv', all_varchar = true, header = true)"
        write_select(select, tmp_path / "run" / "cdm" / f"{name.lower()}.parquet")
    concepts = f"read_csv('{source}/CONCEPT.csv', header = true)"
    write_select(f"SELECT * FROM {concepts}", tmp_path / "vocabulary" / "concept.parquet")
    write_select(f"SELECT DISTINCT domain_id FROM {concepts}", tmp_path / "vocabulary" / "domain.parquet")
    results = compute_candidate(settings(), tmp_path / "run", tmp_path / "vocabulary", ())
    violated = {result.check_id: result.violated for result in results}
    assert violated["condition_occurrence.foreign_key.person_id"] == 0
    assert violated["condition_occurrence.foreign_key.visit_occurrence_id"] == 0
    assert violated["person.foreign_key.gender_concept_id"] == 28
    assert violated["condition_occurrence.foreign_key.condition_type_concept_id"] == 470
    assert violated["drug_exposure.foreign_key.drug_type_concept_id"] == 883


FINE: list[tuple[str, Break]] = [
    ("condition_occurrence.not_in_future.condition_start_date",
     edit("condition_occurrence", 1, condition_start_date="2021-01-01")),
    ("visit_occurrence.decodes.visit_occurrence_id", edit("visit_occurrence", 0, visit_occurrence_id=100_799)),
    ("measurement.plausible_value.value_as_number", weigh(70.5)),
    ("measurement.plausible_value.value_as_number", edit("measurement", 0, value_as_number=-1)),  # of concept 0
    ("drug_era.eras_apart.drug_era_start_date", another_era("2019-02-02", "2019-03-01")),
    ("drug_era.eras_apart.drug_era_start_date", another_era("2019-01-01", "2019-03-01", drug_concept_id=COUGH)),
    ("drug_era.eras_apart.drug_era_start_date", another_era("2019-01-01", "2019-03-01", person_id=1)),
    ("care_site.referred_to.care_site_id",
     lambda cdm: (cdm.update(care_site=[{"care_site_id": 100_400}]), cdm["person"][0].update(care_site_id=100_400))),
]  # fmt: skip


@pytest.mark.parametrize(("check_id", "change"), FINE, ids=[f[0] for f in FINE])
def test_what_is_just_within_the_rule_is_counted_and_violates_nothing(
    check_id: str, change: Break, home: Path, tmp_path: Path
) -> None:
    cdm = hospital()
    change(cdm)
    assert counts(cdm, tmp_path)[check_id].violated == 0


@pytest.mark.parametrize(
    "difference", [{"person_id": 1}, {"condition_start_date": "2020-02-02"}, {"condition_source_value": "R05.1"}]
)
def test_rows_that_differ_in_one_thing_do_not_repeat_each_other(
    difference: dict[str, Any], home: Path, tmp_path: Path
) -> None:
    cdm = hospital()
    cdm["condition_occurrence"].append(cdm["condition_occurrence"][2] | difference)
    found = counts(cdm, tmp_path)["condition_occurrence.no_repeat.condition_concept_id"]
    assert (found.violated, found.denominator) == (0, 4)


BROKEN_RANGES = {
    "needs the columns": "concept,low,high",
    "is no number in line 2": "concept_id,concept,unit_concept_id,unit,low,high\n1,weight,2,kg,low,500",
    "does not end above": "concept_id,concept,unit_concept_id,unit,low,high\n1,weight,2,kg,500,5",
    "more than one range of concept 1 in unit 2": (
        "concept_id,concept,unit_concept_id,unit,low,high\n1,weight,2,kg,1,5\n1,weight,2,kg,1,6"
    ),
}


@pytest.mark.parametrize("message", BROKEN_RANGES, ids=BROKEN_RANGES)
def test_a_list_of_ranges_that_is_not_what_it_must_be_is_refused(message: str, home: Path, tmp_path: Path) -> None:
    path = tmp_path / "ranges.csv"
    path.write_text(BROKEN_RANGES[message])
    with connection(1) as con, pytest.raises(ContractError, match=message):
        make_plausible(con, path)
