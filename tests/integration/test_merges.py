"""Patients who turn out to be one: their records come together under the survivor's id, and apart again."""

from pathlib import Path

import pytest
from tiny_hospital import TABLES, Hospital, Rows, write_tables, write_tiny_hospital

from etl.pipeline.diff import diff
from etl.pipeline.explain import explain_person

pytestmark = pytest.mark.integration

MERGED: Rows = [{"OLD_ID": "p1", "SURVIVING_ID": "p3", "MERGED_ON": "2024-06-02"}]
PERSONS = "SELECT person_id, person_source_value FROM cdm.person ORDER BY 1"
VISITS = "SELECT visit_occurrence_id, person_id FROM cdm.visit_occurrence ORDER BY 1"


def test_a_merge_joins_two_persons_and_taking_it_back_restores_both(own: Hospital, tmp_path: Path) -> None:
    first = own.run(write_tiny_hospital(tmp_path / "first"))
    before, visits = own.query(PERSONS), own.query(VISITS)
    assert before == [(1, "p1"), (2, "p2"), (3, "p3")]
    merged = own.drop(write_tables(tmp_path / "merge", {"patient_merges": MERGED}))
    assert (merged.status, merged.scope) == ("published", "persons")
    assert (merged.folder / "scope/person_id.txt").read_text() == "1\n3\n"
    assert own.query(PERSONS) == [(2, "p2"), (3, "p3")]
    assert own.query(VISITS) == [(visit, 3 if person == 1 else person) for visit, person in visits]
    assert own.query("SELECT DISTINCT person_id FROM cdm.measurement") == [(3,)]
    assert own.ledger(merged)["patient_merges"].merged == 1
    assert own.release_tables(own.run(None)) == own.release_tables(merged)

    apart = own.drop(write_tables(tmp_path / "apart", {"patient_merges": []}))
    assert (apart.status, apart.scope) == ("published", "persons")
    assert own.query(PERSONS) == before
    assert own.release_tables(apart) == own.release_tables(first)
    assert own.served_tables() == own.release_tables(first)


def test_a_night_of_a_merged_key_concerns_its_survivor(own: Hospital, tmp_path: Path) -> None:
    own.run(write_tiny_hospital(tmp_path / "first", {"patient_merges": MERGED}))
    late = TABLES["conditions"][0] | {"START": "2023-02-01"}
    night = own.drop(write_tables(tmp_path / "night", {"conditions": [*TABLES["conditions"], late]}))
    assert (night.folder / "scope/person_id.txt").read_text() == "1\n3\n"
    assert own.query("SELECT person_id FROM cdm.condition_occurrence ORDER BY 1") == [(2,), (3,), (3,)]
    assert own.release_tables(own.run(None)) == own.release_tables(night)


def test_a_patient_that_the_source_dropped_with_the_merge_keeps_his_records(own: Hospital, tmp_path: Path) -> None:
    own.run(write_tiny_hospital(tmp_path / "first"))
    night = own.drop(write_tables(tmp_path / "night", {"patient_merges": MERGED, "patients": TABLES["patients"][1:]}))
    assert own.query("SELECT person_id FROM cdm.visit_occurrence ORDER BY visit_occurrence_id") == [(3,), (2,), (3,)]
    assert own.release_tables(own.run(None)) == own.release_tables(night)


def test_a_merge_shows_in_the_diff_and_in_the_survivors_timeline(own: Hospital, tmp_path: Path) -> None:
    own.run(write_tiny_hospital(tmp_path / "first"))
    own.drop(write_tables(tmp_path / "merge", {"patient_merges": MERGED}))
    found = {(each.table, each.kind, each.cause): each.rows for each in diff(1, 2).differences}
    assert found["visit_occurrence", "changed", "merge"] == 2  # the survivor's own has another one before it now
    assert found["person", "removed", "merge"] == 1
    sources = {line.source_table for line in explain_person(3).lines if line.cdm_table == "measurement"}
    assert sources == {"observations"}
