"""A vocabulary comes in, is looked at and adopted: whoever it concerns is made again, as a full rebuild would."""

from pathlib import Path

import pytest
from tiny_hospital import TABLES, Hospital, write_tables, write_tiny_hospital, write_vocabulary

from etl.errors import UsageError
from etl.pipeline import refresh
from etl.pipeline.diff import Difference, diff
from etl.pipeline.execute import run_steps
from etl.pipeline.runs import database, load_run, open_run, settings
from etl.publish import delta as publish_delta_module
from etl.publish import rollback

pytestmark = pytest.mark.integration

DIABETES, HYPERTENSION = "201826", "320128"
AS_OBSERVATION = {DIABETES: {"domain_id": "Observation"}}
UNPROVEN = (
    "SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND NOT convalidated AND conrelid::regclass::text ~ '^cdm_'"
)
KEYS_INTO = (
    "SELECT DISTINCT parent.relnamespace::regnamespace::text FROM pg_constraint AS key "
    "JOIN pg_class AS child ON child.oid = key.conrelid JOIN pg_class AS parent ON parent.oid = key.confrelid "
    "WHERE key.contype = 'f' AND child.relnamespace = 'cdm_r1'::regnamespace ORDER BY 1"
)


@pytest.fixture
def loaded(own: Hospital, tmp_path: Path) -> Hospital:
    own.run(write_tiny_hospital(tmp_path / "monday"))
    return own


def test_adopting_makes_only_the_persons_again_whose_codes_mean_something_else(
    loaded: Hospital, tmp_path: Path
) -> None:
    adopted = loaded.adopt(write_vocabulary(tmp_path / "new", AS_OBSERVATION))
    assert (adopted.status, adopted.scope, adopted.vocabulary_id) == ("published", "persons", 2)
    assert (adopted.folder / "scope/person_id.txt").read_text() == "1\n"
    assert loaded.served_tables() == loaded.release_tables(adopted)
    assert loaded.release_tables(loaded.run(None)) == loaded.release_tables(adopted)
    assert loaded.query("SELECT person_id, observation_concept_id FROM cdm.observation") == [(1, int(DIABETES))]
    assert loaded.query(f"SELECT domain_id FROM cdm.concept WHERE concept_id = {DIABETES}") == [("Observation",)]


def test_a_diff_names_the_mapping_as_the_cause_and_a_rollback_serves_the_old_vocabulary(
    loaded: Hospital, tmp_path: Path
) -> None:
    before = loaded.served_tables()
    loaded.adopt(write_vocabulary(tmp_path / "new", AS_OBSERVATION))
    found = diff(1, 2).differences
    assert Difference("observation", "added", "mapping", 1, 1) in found
    assert Difference("condition_occurrence", "removed", "mapping", 1, 1) in found
    assert {each.cause for each in found} == {"mapping"}
    assert loaded.query(KEYS_INTO) == [("cdm_r1",), ("vocabulary_v2",)]
    rollback(settings(), database(settings()), None)
    assert loaded.served_tables() == before
    assert loaded.query(f"SELECT domain_id FROM cdm.concept WHERE concept_id = {DIABETES}") == [("Condition",)]
    assert loaded.query(KEYS_INTO) == [("cdm_r1",), ("vocabulary_v1",)]
    assert loaded.query(UNPROVEN) == [(0,)]


def test_a_preview_tells_codes_persons_rows_tables_coverage_and_concepts_that_end(
    loaded: Hospital, tmp_path: Path
) -> None:
    gone = write_vocabulary(
        tmp_path / "new",
        AS_OBSERVATION | {"3004410": {"standard_concept": "", "invalid_reason": "D"}},
        {"3004410": ""},
    )
    version = refresh.load_version(gone)
    served = loaded.served_tables()
    found = refresh.preview(str(version.vocabulary_id), "synthea")
    assert [(e.code, e.rows, e.persons, e.before, e.after, e.rows_moving) for e in found.codes] == [
        ("4548-4", 1, 1, "3004410 Hemoglobin A1c/Hemoglobin.total in Blood (Measurement)", "0", 0),
        ("44054006", 1, 1, "201826 Type 2 diabetes mellitus (Condition)",
         "201826 Type 2 diabetes mellitus (Observation)", 1),
    ]  # fmt: skip
    assert (found.persons, found.rows, found.rows_moving, found.concerns_everybody) == (1, 2, 1, False)
    assert found.coverage_rows.before - found.coverage_rows.after == 1
    assert found.coverage_codes.before - found.coverage_codes.after == 1
    assert [(each.concept_id, each.how, each.rows) for each in found.ended] == [(3004410, "no longer valid", 1)]
    assert loaded.served_tables() == served
    text = refresh.told(found)
    assert "1 persons would be made again" in text
    assert "| SNOMED | 44054006 | 1 |" in text
    refresh.write_codes(found, tmp_path / "codes.csv")
    assert len((tmp_path / "codes.csv").read_text().splitlines()) == 3


def test_a_version_that_changes_no_code_in_use_concerns_nobody(loaded: Hospital, tmp_path: Path) -> None:
    before = loaded.served_tables()
    adopted = loaded.adopt(write_vocabulary(tmp_path / "new", {"4329847": {"concept_name": "Heart attack"}}))
    assert (adopted.scope, (adopted.folder / "scope/person_id.txt").read_text()) == ("persons", "")
    after = loaded.served_tables()
    assert {name for name in after if after[name] != before[name]} <= {"cdm_source", "metadata"}


def test_a_concept_that_every_record_has_concerns_everybody(loaded: Hospital, tmp_path: Path) -> None:
    ehr = {"32827": {"concept_class_id": "Other"}}
    adopted = loaded.adopt(write_vocabulary(tmp_path / "new", ehr))
    assert (adopted.scope, adopted.vocabulary_id) == ("all", 2)
    assert loaded.release_tables(loaded.run(None)) == loaded.release_tables(adopted)


def test_a_night_after_an_adoption_stays_with_its_vocabulary(loaded: Hospital, tmp_path: Path) -> None:
    loaded.adopt(write_vocabulary(tmp_path / "new", AS_OBSERVATION))
    late = TABLES["conditions"][0] | {"PATIENT": "p3", "ENCOUNTER": "e3", "START": "2024-06-01"}
    night = loaded.drop(write_tables(tmp_path / "night", {"conditions": [*TABLES["conditions"], late]}))
    assert (night.vocabulary_id, night.scope) == (2, "persons")
    assert loaded.query("SELECT person_id FROM cdm.observation ORDER BY 1") == [(1,), (3,)]
    assert loaded.release_tables(loaded.run(None)) == loaded.release_tables(night)


def test_a_night_with_another_vocabulary_makes_the_persons_of_both_again(loaded: Hospital, tmp_path: Path) -> None:
    late = TABLES["conditions"][0] | {"PATIENT": "p3", "ENCOUNTER": "e3", "START": "2024-06-01", "CODE": "59621000"}
    folder = write_tables(tmp_path / "night", {"conditions": [*TABLES["conditions"], late]})
    run_id = open_run(
        source="synthea", input_folder=str(folder), is_drop=True,
        vocabulary_folder=str(write_vocabulary(tmp_path / "new", AS_OBSERVATION)),
    )  # fmt: skip
    run_steps(run_id)
    night = load_run(run_id)
    assert (night.scope, (night.folder / "scope/person_id.txt").read_text()) == ("persons", "1\n3\n")
    assert loaded.release_tables(loaded.run(None)) == loaded.release_tables(night)


def test_an_adoption_that_fails_after_the_keys_moved_holds_no_later_night_up(
    loaded: Hospital, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = loaded.served_tables()
    new = write_vocabulary(tmp_path / "new", AS_OBSERVATION)

    def broken(*_: object) -> None:
        raise UsageError("planted")

    with monkeypatch.context() as patch, pytest.raises(UsageError, match="planted"):
        patch.setattr(publish_delta_module, "_repoint", broken)
        loaded.adopt(new)
    assert loaded.served_tables() == before
    assert loaded.query(KEYS_INTO) == [("cdm_r1",), ("vocabulary_v2",)]
    night = loaded.drop(write_tables(tmp_path / "night", {"conditions": TABLES["conditions"][:1]}))
    assert loaded.served_tables() == loaded.release_tables(night)
    assert loaded.query(KEYS_INTO) == [("cdm_r1",), ("vocabulary_v1",)]
    assert loaded.query(UNPROVEN) == [(0,)]


def test_versions_are_named_by_number_or_name_and_the_current_one_is_not_adopted_again(
    loaded: Hospital, tmp_path: Path
) -> None:
    refresh.load_version(write_vocabulary(tmp_path / "new", AS_OBSERVATION))
    current = next(version for version in refresh.versions() if version.is_current)
    assert [(version.vocabulary_id, version.is_current) for version in refresh.versions()] == [(2, False), (1, True)]
    with pytest.raises(UsageError, match="Several vocabularies are called"):
        refresh.find_version(current.version)
    for wanted, said in (("1", "is the current release's already"), ("7", "There is no vocabulary 7")):
        with pytest.raises(UsageError, match=said):
            refresh.preview(wanted, "synthea")
