"""Every check counted in the fused scans against the same check by SQL of its own, on whole and on broken CDMs."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pytest
from dqd_helpers import (
    Direct,
    add_odd_rows,
    add_vocabulary,
    candidate,
    count_directly,
    fill,
    write_candidate,
)
from homes import make_home, remove_home

from etl.cdm import quoted, tables
from etl.config import settings
from etl.engine import duckdb_type
from etl.quality import CheckResult, compute_candidate
from etl.quality.candidate import relation_of
from etl.quality.dqd.catalogue import PRESENCE, DqdCheck, read_catalogue
from etl.quality.dqd.definition import Places, violating_rows

pytestmark = pytest.mark.integration

Con = duckdb.DuckDBPyConnection


@pytest.fixture(scope="module")
def checks() -> Iterator[tuple[DqdCheck, ...]]:
    folder = make_home()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CDMFLOW_HOME", str(folder))
        yield read_catalogue(settings().expectations_dir / "dqd", deprecated=True)
    remove_home(folder)


@dataclass
class Counted:
    """A candidate's DQD checks, counted in both ways."""

    fused: dict[str, CheckResult]
    direct: Direct

    @property
    def differences(self) -> list[str]:
        found = {check_id: (result.violated, result.denominator) for check_id, result in self.fused.items()}
        return [
            f"{check_id}: {found[check_id]} instead of {counts}"
            for check_id, counts in self.direct.items()
            if found[check_id] != (counts or ((1, 1) if self.fused[check_id].check_type in PRESENCE else (0, 0)))
        ]

    def statuses_of_refused(self) -> set[str]:
        """What is said of checks that the database itself refuses, because a table or field is missing."""
        return {
            result.status
            for check_id, result in self.fused.items()
            if self.direct[check_id] is None and result.check_type not in PRESENCE
        }


def count(con: Con, checks: tuple[DqdCheck, ...], folder: Path) -> Counted:
    here = {row[0] for row in con.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
    run, vocabulary = write_candidate(con, folder, lost=set(tables()) - here)
    results = compute_candidate(settings(), run, vocabulary, (), deprecated=True)
    fused = {result.check_id: result for result in results if result.origin == "dqd"}
    assert set(fused) == {check.check_id for check in checks}
    return Counted(fused, count_directly(con, checks))


def test_a_whole_cdm_is_counted_as_by_2374_single_queries(
    checks: tuple[DqdCheck, ...], tmp_path: Path, shared_data: Path
) -> None:
    """Eunomia's Synthea27Nj, with the vocabulary it lacks."""
    with candidate() as con:
        fill(con, shared_data / "omop_eunomia_28")
        add_vocabulary(con)
        counted = count(con, checks, tmp_path)
    assert counted.differences == []
    fused = counted.fused
    assert fused["field_isforeignkey_provider_specialty_source_concept_id"].status in ("passed", "failed")
    assert fused["table_cdmtable_person"].status == "passed"


def test_each_type_is_counted_alike_where_it_is_violated(
    checks: tuple[DqdCheck, ...], tmp_path: Path, shared_data: Path
) -> None:
    """Eunomia with forty odd rows in each table: every type but those of a missing or mistyped field is violated."""
    with candidate() as con:
        fill(con, shared_data / "omop_eunomia_28")
        add_vocabulary(con)
        add_odd_rows(con, seed=1, rows=40)
        counted = count(con, checks, tmp_path)
    assert counted.differences == []
    violated = {result.check_type for result in counted.fused.values() if result.violated}
    assert {check.check_name for check in checks} - violated == {"cdmTable", "cdmField", "cdmDatatype"}


def test_doubled_persons_deaths_visits_and_concepts_count_a_row_several_times(
    checks: tuple[DqdCheck, ...], tmp_path: Path
) -> None:
    with candidate() as con:
        add_vocabulary(con)
        con.execute("INSERT INTO vocabulary.concept SELECT * FROM vocabulary.concept WHERE concept_id = 4000001")
        add_odd_rows(con, seed=2, rows=60, doubled=True)
        counted = count(con, checks, tmp_path)
    assert counted.differences == []


def test_empty_tables_and_fields_without_a_value_are_counted_alike_and_do_not_apply(
    checks: tuple[DqdCheck, ...], tmp_path: Path, shared_data: Path
) -> None:
    with candidate() as con:
        fill(con, shared_data / "omop_eunomia_28")
        add_vocabulary(con)
        add_odd_rows(con, seed=3, rows=10)
        con.execute("DELETE FROM cdm.observation")
        con.execute("DELETE FROM cdm.condition_occurrence")
        con.execute("UPDATE cdm.drug_exposure SET route_concept_id = NULL, drug_exposure_end_date = NULL")
        counted = count(con, checks, tmp_path)
    assert counted.differences == []
    found = counted.fused
    assert {result.status for result in found.values() if result.table == "observation"} == {
        "not_applicable",
        "passed",  # the table and its fields are there
        "failed",  # measurePersonCompleteness: all persons lack one
    }
    assert found["table_measureconditioneracompleteness_condition_era"].reason == "condition_occurrence has no row"
    assert found["field_fkdomain_drug_exposure_route_concept_id"].status == "not_applicable"
    assert found["field_measurevaluecompleteness_drug_exposure_route_concept_id"].status == "passed"
    assert found["field_isrequired_drug_exposure_drug_exposure_end_date"].status == "not_applicable"


def test_missing_tables_and_fields_fail_their_own_checks_and_keep_others_from_being_counted(
    checks: tuple[DqdCheck, ...], tmp_path: Path, shared_data: Path
) -> None:
    with candidate() as con:
        fill(con, shared_data / "omop_eunomia_28")
        add_vocabulary(con)
        add_odd_rows(con, seed=4, rows=10)
        for name in ("death", "condition_era", "provider"):
            con.execute(f"DROP TABLE cdm.{name}")
        for column in ("measurement.unit_concept_id", "visit_occurrence.visit_end_date", "person.birth_datetime"):
            table, name = column.split(".")
            con.execute(f"ALTER TABLE cdm.{table} DROP COLUMN {name}")
        counted = count(con, checks, tmp_path)
    assert counted.differences == []
    assert counted.statuses_of_refused() == {"not_applicable", "error"}
    found = counted.fused
    assert found["table_cdmtable_death"].status == "failed"
    assert found["field_cdmfield_death_person_id"].status == "not_applicable"
    assert found["field_cdmfield_measurement_unit_concept_id"].status == "failed"
    assert found["field_isforeignkey_measurement_unit_concept_id"].reason == "measurement has no field unit_concept_id"
    before_death = found["field_plausiblebeforedeath_measurement_measurement_date"]
    assert (before_death.status, before_death.reason) == ("error", "there is no table death")


def test_values_that_are_no_integers_are_counted_as_the_file_has_them(
    checks: tuple[DqdCheck, ...], tmp_path: Path
) -> None:
    """A column of texts and one of fractions; the other checks read what of them is an integer."""
    with candidate() as con:
        add_vocabulary(con)
        add_odd_rows(con, seed=5, rows=30)
        con.execute("ALTER TABLE cdm.person ALTER COLUMN year_of_birth TYPE VARCHAR")
        con.execute("UPDATE cdm.person SET year_of_birth = 'unknown' WHERE person_id % 3 = 0")
        con.execute("UPDATE cdm.person SET year_of_birth = '1980.0' WHERE person_id % 3 = 1")
        con.execute("ALTER TABLE cdm.drug_exposure ALTER COLUMN days_supply TYPE DOUBLE")
        con.execute("UPDATE cdm.drug_exposure SET days_supply = 1.5 WHERE drug_exposure_id % 2 = 0")
        counted = count(con, checks, tmp_path)
        con.execute("CREATE SCHEMA typed")
        for name, table in tables().items():
            casts = (
                f"TRY_CAST({quoted(f.name)} AS {duckdb_type(f.sql_type)}) AS {quoted(f.name)}" for f in table.fields
            )
            con.execute(f"CREATE VIEW typed.{name} AS SELECT {', '.join(casts)} FROM {relation_of(name)}")
        typed = tuple(check for check in checks if check.check_name != "cdmDatatype")
        counted.direct |= count_directly(con, typed, Places(cdm="typed"))
    assert counted.differences == []
    years = counted.fused["field_cdmdatatype_person_year_of_birth"]
    assert (years.violated, years.denominator, years.status) == (10, 30, "failed")
    assert counted.fused["field_cdmdatatype_drug_exposure_days_supply"].violated > 0


def test_a_table_that_nobody_fills_exists_without_a_file_and_one_that_we_fill_does_not(
    checks: tuple[DqdCheck, ...], tmp_path: Path
) -> None:
    with candidate() as con:
        add_vocabulary(con)
        add_odd_rows(con, seed=6, rows=5)
        run, vocabulary = write_candidate(con, tmp_path, lost=("episode", "note", "drug_strength"))
    found = {result.check_id: result for result in compute_candidate(settings(), run, vocabulary, ())}
    assert found["table_cdmtable_episode"].status == "passed"
    assert found["field_isrequired_episode_episode_id"].reason == "episode has no row"
    assert found["table_cdmtable_drug_strength"].status == "passed"
    assert found["table_cdmtable_note"].status == "failed"
    assert found["field_isrequired_note_note_id"].reason == "there is no table note"
    missing = compute_candidate(settings(), run, vocabulary, (), empty_tables=())
    assert {r.status for r in missing if r.check_id == "table_cdmtable_episode"} == {"failed"}


def test_as_many_rows_are_selected_as_are_violated(checks: tuple[DqdCheck, ...]) -> None:
    """Except for distinct source values, where the rows of an unmapped value are more than the one value."""
    with candidate() as con:
        add_vocabulary(con)
        add_odd_rows(con, seed=7, rows=20, doubled=True)
        direct = count_directly(con, checks)
        for check in checks:
            selected = con.execute(violating_rows(check)).fetchall()
            counts = direct[check.check_id]
            assert counts is not None
            if check.check_name == "sourceValueCompleteness":
                assert len(selected) >= counts[0]
            else:
                assert len(selected) == counts[0], check.check_id


def test_the_tables_that_nobody_fills_are_those_without_sql() -> None:
    from etl.quality.candidate import NEVER_WRITTEN

    sql = Path(__file__).parents[4] / "sql"
    written = {path.stem for folder in ("4_cdm", "5_derive") for path in (sql / folder).glob("*.sql")}
    ours = {name for name, table in tables().items() if table.schema != "VOCAB"}
    assert ours - written == set(NEVER_WRITTEN)


def test_the_future_begins_the_day_after_tomorrow_of_the_day_that_is_given(
    checks: tuple[DqdCheck, ...], tmp_path: Path
) -> None:
    from datetime import date

    with candidate() as con:
        add_vocabulary(con)
        con.execute("INSERT INTO cdm.death (person_id, death_date) VALUES (1, '2020-01-02'), (2, '2020-01-03')")
        run, vocabulary = write_candidate(con, tmp_path)
    for today, violated in ((date(2020, 1, 1), 1), (date(2020, 1, 2), 0), (date(2019, 12, 31), 2)):
        results = compute_candidate(settings(), run, vocabulary, (), today=today)
        found = next(r for r in results if r.check_id == "field_plausiblevaluehigh_death_death_date")
        assert (found.violated, found.denominator) == (violated, 2)
