"""Nights after the first load: drops, corrections, deletions, late rows, rollbacks; the CDM equals a full rebuild."""

from collections.abc import Callable
from pathlib import Path

import pytest
from homes import make_home, remove_home
from tiny_hospital import TABLES, Hospital, Rows, hospital_in, write_tables, write_tiny_hospital

from etl.errors import ContractError, GateRefused, UsageError
from etl.pipeline.clean import clean
from etl.pipeline.diff import Difference, diff, read_diff
from etl.pipeline.explain import explain_person
from etl.pipeline.runs import Run, database, settings
from etl.pipeline.trace import trace, trace_line
from etl.publish import rollback

pytestmark = pytest.mark.integration

CONDITIONS = TABLES["conditions"]
LATE = {"START": "2024-06-01", "PATIENT": "p3", "ENCOUNTER": "e3", "CODE": "59621000", "DESCRIPTION": "Hypertension"}
CORRECTED = CONDITIONS[1] | {"CODE": "44054006"}


TRACED = ("condition_occurrence", "visit_occurrence", "measurement", "condition_era", "person", "death", "cost")


def drop(folder: Path, **tables: Rows) -> Path:
    return write_tables(folder, tables)


def rebuilt_elsewhere(first: Path, *drops: Path) -> dict[str, object]:
    """The release of a home of its own in which these folders landed one by one and only the last state was built."""
    home = make_home()
    try:
        with hospital_in(home) as other:
            base = other.run(first).run_id
            for folder in drops:
                base = other.land(folder, base)
            return other.release_tables(other.build(base))
    finally:
        remove_home(home)


@pytest.fixture
def monday(tmp_path: Path) -> Path:
    return write_tiny_hospital(tmp_path / "monday")


@pytest.mark.parametrize(("share", "scope"), [(1.0, "persons"), (0.2, "all")])
def test_a_drop_is_the_release_of_a_whole_delivery_with_its_files(
    share: float, scope: str, own: Hospital, monday: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("etl.pipeline.scope.LARGEST_SHARE", share)
    own.run(monday)
    moved = [*TABLES["patients"][:2], TABLES["patients"][2] | {"CITY": "Busan"}]
    changed = {"conditions": [CONDITIONS[0], CORRECTED, LATE], "patients": moved}
    dropped = own.drop(drop(tmp_path / "tuesday", **changed))
    assert dropped.scope == scope
    whole = own.run(write_tiny_hospital(tmp_path / "whole", changed))
    assert own.release_tables(dropped) == own.release_tables(whole)
    assert read_diff(1).older is None
    assert {each.cause for each in read_diff(1).differences} == {"new data"}
    assert read_diff(2) == diff(1, 2)
    assert own.query("SELECT count(*) FROM cdm.condition_occurrence") == [(3,)]
    assert own.release_tables(own.run(None)) == own.release_tables(dropped)


def test_rows_are_traced_to_the_night_that_made_them(own: Hospital, monday: Path, tmp_path: Path) -> None:
    own.run(monday)
    own.drop(drop(tmp_path / "tuesday", conditions=[*CONDITIONS, LATE]))
    wednesday = own.drop(drop(tmp_path / "wednesday", conditions=[*CONDITIONS[:1], LATE]))
    assert wednesday.scope == "persons"
    for table in (
        "condition_occurrence",
        "visit_occurrence",
        "measurement",
        "condition_era",
        "person",
        "death",
        "cost",
    ):
        for (row_id,) in own.query(f"SELECT {'person_id' if table == 'death' else table + '_id'} FROM cdm.{table}"):
            found = trace(table, row_id)
            assert found.sources or found.made_of, table
    assert [outcome.cdm for outcome in trace_line("conditions.csv", 2).outcomes] != []
    assert trace_line("encounters.csv", 2).outcomes[0].cdm[0][0] == "visit_occurrence"
    for (person_id,) in own.query("SELECT person_id FROM cdm.person"):
        assert explain_person(person_id).total > 0


def test_the_same_drop_twice_changes_nothing(own: Hospital, monday: Path, tmp_path: Path) -> None:
    own.run(monday)
    night = drop(tmp_path / "tuesday", conditions=[*CONDITIONS, LATE])
    own.drop(night)
    again = own.drop(night)
    assert (again.status, own.current_release()) == ("unchanged", 2)
    steps = {step for (step,) in own.query(f"SELECT step FROM etl.run_step WHERE run_id = '{again.run_id}'")}
    assert "land" in steps and not steps & {"gate", "publish"}


def test_a_person_who_left_and_came_back_has_the_old_number_in_a_rebuild_too(
    own: Hospital, monday: Path, tmp_path: Path
) -> None:
    new = TABLES["patients"][0] | {"Id": "p0"}
    own.run(monday)
    own.drop(drop(tmp_path / "tuesday", patients=[*TABLES["patients"], new]))
    own.drop(drop(tmp_path / "wednesday", patients=TABLES["patients"][1:]))
    back = own.drop(drop(tmp_path / "thursday", patients=[*TABLES["patients"], TABLES["patients"][1] | {"Id": "p9"}]))
    numbers = dict(own.query("SELECT person_source_value, person_id FROM cdm.person"))
    assert numbers == {"p1": 1, "p2": 2, "p3": 3, "p9": 5}
    drops = [tmp_path / day for day in ("tuesday", "wednesday", "thursday")]
    assert rebuilt_elsewhere(monday, *drops) == own.release_tables(back)


def test_a_diff_says_what_a_night_changed_and_why(own: Hospital, monday: Path, tmp_path: Path) -> None:
    own.run(monday)
    own.drop(drop(tmp_path / "tuesday", conditions=[CORRECTED, LATE]))
    found = diff(1, 2)
    events = [each for each in found.differences if each.table == "condition_occurrence"]
    assert events == [
        Difference("condition_occurrence", "added", "new data", 2, 2),
        Difference("condition_occurrence", "removed", "deletion", 2, 2),
    ]
    assert {each.cause for each in found.differences if each.table == "condition_era"} == {"follows"}
    assert found.persons == 3
    back = diff(2, 1)
    assert {(each.table, each.kind) for each in back.differences} >= {("condition_occurrence", "added")}
    assert diff(2, 2).differences == ()


def test_a_corrected_row_with_a_key_is_a_correction(own: Hospital, monday: Path, tmp_path: Path) -> None:
    own.run(monday)
    later = TABLES["encounters"][0] | {"STOP": "2023-01-10T10:30:00Z"}
    own.drop(drop(tmp_path / "tuesday", encounters=[later, *TABLES["encounters"][1:]]))
    found = diff(1, 2)
    assert Difference("visit_occurrence", "changed", "correction", 1, 1) in found.differences
    assert found.persons == 1


def test_another_vocabulary_is_the_cause_of_another_concept(
    own: Hospital, monday: Path, vocabulary_without_diabetes: Path
) -> None:
    own.run(monday)
    own.run(monday, vocabulary_without_diabetes)
    causes = {(each.table, each.cause) for each in diff(1, 2).differences}
    assert ("condition_occurrence", "mapping") in causes or ("observation", "mapping") in causes
    assert {cause for _, cause in causes} == {"mapping"}


@pytest.fixture
def vocabulary_without_diabetes(tmp_path: Path) -> Path:
    import shutil

    from etl.demo import demo_vocabulary_folder

    folder = tmp_path / "vocabulary"
    shutil.copytree(demo_vocabulary_folder(), folder)
    concepts = folder / "CONCEPT.csv"
    lines = concepts.read_text(encoding="utf-8").splitlines(keepends=True)
    changed = [line.replace("\tS\t", "\t\t", 1) if "\t44054006\t" in line else line for line in lines]
    assert changed != lines
    concepts.write_text("".join(changed), encoding="utf-8")
    return folder


def test_a_record_after_the_cut_off_is_observed_once_the_cut_off_has_passed_it(
    own: Hospital, monday: Path, tmp_path: Path
) -> None:
    """The cut-off is the newest encounter, on 2024-06-01: p1's record two months later is in no period until then."""
    own.run(monday)
    later = {"DATE": "2024-08-01T09:00:00Z", "PATIENT": "p1", "CODE": "4548-4", "VALUE": "6.5", "TYPE": "numeric"}
    own.drop(drop(tmp_path / "tuesday", observations=[*TABLES["observations"], later]))
    periods = "SELECT count(*) FROM cdm.observation_period WHERE person_id = 1"
    assert own.query(periods) == [(1,)]
    another = TABLES["encounters"][2] | {"Id": "e9", "START": "2024-12-01T08:00:00Z", "STOP": "2024-12-01T09:00:00Z"}
    night = own.drop(drop(tmp_path / "wednesday", encounters=[*TABLES["encounters"], another]))
    assert (night.scope, own.query(periods)) == ("persons", [(2,)])
    assert own.release_tables(own.run(None)) == own.release_tables(night)


def test_a_rollback_serves_the_release_before_and_the_next_night_starts_from_it(
    own: Hospital, monday: Path, tmp_path: Path
) -> None:
    first = own.run(monday)
    own.drop(drop(tmp_path / "tuesday", conditions=[LATE]))
    assert own.query("SELECT count(*) FROM cdm.condition_occurrence") == [(1,)]
    assert rollback(settings(), database(settings()), None).release_id == 1
    assert own.query("SELECT count(*) FROM cdm.condition_occurrence") == [(2,)]
    assert own.current_release() == 1
    wednesday = own.drop(drop(tmp_path / "wednesday", observations=TABLES["observations"]))
    assert wednesday.status == "unchanged"
    thursday = own.drop(drop(tmp_path / "thursday", observations=TABLES["observations"][:0]))
    assert thursday.status == "published"
    tables, before = own.release_tables(thursday), own.release_tables(first)
    assert tables["condition_occurrence"] == before["condition_occurrence"]
    assert tables["measurement"]["rows"] == before["measurement"]["rows"] - 1


def test_a_rollback_can_be_taken_back_until_the_next_publish(own: Hospital, monday: Path, tmp_path: Path) -> None:
    own.run(monday)
    own.drop(drop(tmp_path / "tuesday", conditions=[LATE]))
    rollback(settings(), database(settings()), 1)
    rollback(settings(), database(settings()), 2)
    assert own.current_release() == 2
    assert own.query("SELECT count(*) FROM cdm.condition_occurrence") == [(1,)]
    for wrong in (2, 9):
        with pytest.raises(UsageError):
            rollback(settings(), database(settings()), wrong)


def test_a_drop_that_the_gate_refused_is_no_part_of_the_next_one(own: Hospital, monday: Path, tmp_path: Path) -> None:
    own.run(monday)
    nobody = [row | {"PATIENT": "nobody"} for row in CONDITIONS]
    with pytest.raises((GateRefused, ContractError)):
        own.drop(drop(tmp_path / "broken", patients=[], conditions=nobody))
    assert own.current_release() == 1
    good = own.drop(drop(tmp_path / "tuesday", observations=TABLES["observations"][:0]))
    assert own.query("SELECT count(*) FROM cdm.condition_occurrence") == [(2,)]
    assert rebuilt_elsewhere(monday, tmp_path / "tuesday") == own.release_tables(good)


def test_a_drop_needs_a_release_and_a_file(own: Hospital, monday: Path, tmp_path: Path) -> None:
    night = drop(tmp_path / "night", conditions=[LATE])
    with pytest.raises(UsageError, match="has no release that this could start from"):
        own.drop(night)
    own.run(monday)
    with pytest.raises(ContractError, match="has no file of any table"):
        own.drop(drop(tmp_path / "nothing"))
    (night / "manifest.csv").write_text("name,bytes\nconditions.csv,1\n")
    with pytest.raises(ContractError, match="instead of 1"):
        own.drop(night)
    assert own.current_release() == 1


def test_a_release_is_published_without_a_diff_where_the_one_before_is_not_kept(
    own: Hospital, monday: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CDMFLOW_KEPT_RELEASES", "1")
    own.run(monday)
    night = own.drop(drop(tmp_path / "tuesday", conditions=[CONDITIONS[0], CORRECTED]))
    whole = own.run(monday)
    assert [night.status, whole.status] == ["published", "published"]
    assert not (own.home / "releases/3/diff.json").exists()


def test_clean_removes_what_killed_processes_left_and_nothing_else(own: Hospital, monday: Path) -> None:
    run: Run = own.run(monday)
    lake = own.home / "lake"
    kept = sorted(path for path in lake.rglob("*") if path.is_file())
    left: list[Callable[[], object]] = [
        lambda: (lake / "landing/synthea/patients/.incoming.csv").write_text("half"),
        lambda: (lake / "landing/synthea/patients/999.parquet").write_text("no batch"),
        lambda: (lake / "lines/synthea/patients/999.parquet").write_text("no batch"),
        lambda: (lake / "landing/.abc").mkdir(),
        lambda: (lake / "landing/.abc/arrived.csv").write_text("keys of persons"),
        lambda: (lake / "vocabulary/99").mkdir(),
        lambda: (own.home / "releases/1/.release.json.1.part").write_text("half"),
        lambda: (run.folder / "cdm/.person.parquet.abc.part").write_text("half"),
        lambda: (lake / "runs/20200101T000000-abcdef").mkdir(),
        lambda: own.execute("CREATE SCHEMA cdm_r99; CREATE SCHEMA vocabulary_v99"),
    ]
    for leave in left:
        leave()
    assert clean() == {
        "schemas": 2, "half-written files": 4, "extracted files": 0, "spilled files": 0, "files of no batch": 2,
        "folders of no run": 1, "folders of no vocabulary": 1,
    }  # fmt: skip
    assert sorted(path for path in lake.rglob("*") if path.is_file()) == kept
    assert own.query("SELECT count(*) FROM cdm.person") == [(3,)]
    assert set(clean().values()) == {0}
