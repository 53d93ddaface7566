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
    Cdm,
    counts,
    hospital,
    write_select,
    write_vocabulary,
)

from etl.config import settings
from etl.errors import CdmflowError, ContractError
from etl.quality import SourceAccount, compute_candidate
from etl.quality.suites import CHECK_TYPES

Break = Callable[[Cdm], Any]


def edit(table: str, row: int, **values: Any) -> Break:
    return lambda cdm: cdm[table][row].update(values)


def repeat(table: str, row: int) -> Break:
    return lambda cdm: cdm[table].append(dict(cdm[table][row]))


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
        "condition_occurrence.same_person.visit_occurrence_id",
        edit("condition_occurrence", 0, visit_occurrence_id=101),
        1,
        2,
    ),
    (
        "visit_detail.within_visit.visit_detail_end_date",
        edit("visit_detail", 0, visit_detail_end_date="2020-05-11"),
        1,
        1,
    ),
    (
        "observation_period.no_overlap.observation_period_start_date",
        edit("observation_period", 2, observation_period_start_date="2012-12-31"),
        1,
        3,
    ),
]


def test_a_clean_candidate_violates_nothing(home: Path, tmp_path: Path) -> None:
    results = counts(hospital(), tmp_path)
    unmapped = "measurement.unmapped.measurement_concept_id"  # the weight's code is kept as 0 on purpose
    assert [result.check_id for result in results.values() if result.violated] == [unmapped]
    assert results["condition_occurrence.required.person_id"].status == "passed"
    assert results["note.required.note_id"].status == "not_applicable"


@pytest.mark.parametrize(("check_id", "break_it", "violated", "denominator"), BROKEN, ids=[b[0] for b in BROKEN])
def test_a_broken_row_is_counted_by_its_check(
    check_id: str, break_it: Break, violated: int, denominator: int, home: Path, tmp_path: Path
) -> None:
    cdm = hospital()
    break_it(cdm)
    result = counts(cdm, tmp_path)[check_id]
    assert (result.violated, result.denominator, result.status) == (violated, denominator, "failed")


def test_every_check_type_is_broken_by_some_test_here() -> None:
    tested = {check_id.split(".")[1] for check_id, *_ in BROKEN} | {"columns", "types", "accounting"}
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


def test_unaccounted_rows_of_a_source_table_are_critical(home: Path, tmp_path: Path) -> None:
    account = (SourceAccount("hospital.patients", 2, 0), SourceAccount("hospital.stays", 900, 3))
    results = counts(hospital(), tmp_path, account)
    lost = results["accounting.hospital.stays"]
    assert (lost.violated, lost.denominator, lost.severity, lost.status) == (3, 900, "critical", "failed")
    assert results["accounting.hospital.patients"].status == "passed"


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
