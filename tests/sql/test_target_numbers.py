"""The numbers that ids end in, through both models that make them: map_source_code gives them, event uses them."""

from pathlib import Path
from typing import Any

import pytest
from test_sql_files import PROJECT, Rows, run_case

MAP = PROJECT / "sql" / "3_map"
EVENT = {
    "source_part_no": 10, "source_row_id": 7, "person_key": "p-1", "origin_table": "condition_occurrence",
    "source_vocabulary": "ICD10CM", "source_code": "X", "start_datetime": "2020-01-02 00:00:00",
}  # fmt: skip


def concept(concept_id: int) -> dict[str, Any]:
    return {
        "concept_id": concept_id, "vocabulary_id": "SNOMED", "concept_code": str(concept_id), "domain_id": "Condition",
        "standard_concept": "S",
    }  # fmt: skip


def events(folder: Path, targets: list[int], withdrawn: tuple[int, ...] = ()) -> Rows:
    """The events that one record becomes whose code maps to these targets, some of them withdrawn."""
    folder.mkdir(parents=True)
    source = {"concept_id": 5, "vocabulary_id": "ICD10CM", "concept_code": "X", "domain_id": "Condition"}
    mapped = [
        {
            "concept_id_1": 5, "concept_id_2": target, "relationship_id": "Maps to",
            "invalid_reason": "D" if target in withdrawn else None,
        }
        for target in targets
    ]  # fmt: skip
    codes = run_case(
        MAP / "map_source_code.sql",
        {
            "map.source_code": [{"source_vocabulary": "ICD10CM", "source_code": "X"}],
            "vocabulary.concept": [source, *map(concept, targets)],
            "vocabulary.concept_relationship": mapped,
        },
        folder,
    )
    person = [{"person_id": 1, "person_key": "p-1"}]
    given: dict[str, Rows] = {"source.src_event": [EVENT], "map.person": person, "map.map_source_code": codes}
    return sorted(run_case(MAP / "event.sql", given, folder), key=lambda row: row["event_id"])


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CDMFLOW_HOME", str(tmp_path))


def test_a_code_with_three_targets_gives_three_rows_whatever_their_order(tmp_path: Path) -> None:
    found = events(tmp_path / "one", [20, 30, 10])
    assert [(row["event_id"], row["target_concept_id"]) for row in found] == [(701000, 10), (701001, 20), (701002, 30)]
    assert events(tmp_path / "two", [30, 10, 20]) == found


@pytest.mark.parametrize("dropped", [10, 20, 30])
def test_a_vocabulary_that_withdraws_one_of_three_targets_changes_just_its_row(tmp_path: Path, dropped: int) -> None:
    before, after = events(tmp_path / "before", [10, 20, 30]), events(tmp_path / "after", [10, 20, 30], (dropped,))
    ids = {row["event_id"]: row["target_concept_id"] for row in before if row["target_concept_id"] != dropped}
    assert {row["event_id"]: row["target_concept_id"] for row in after} == ids
    assert [row["target_no"] for row in after] == [0, 1], "The first of those that hold is always target 0."


def test_ids_never_reach_into_the_next_part_whatever_a_vocabulary_has_withdrawn(tmp_path: Path) -> None:
    targets = list(range(1000, 1150))
    found = events(tmp_path / "one", targets, tuple(targets[:-3]))
    assert [row["event_id"] for row in found] == [701000, 701001, 701002]
    assert [row["target_concept_id"] for row in found] == targets[-3:]
    everything = events(tmp_path / "two", targets)
    assert [row["event_id"] for row in everything] == list(range(701000, 701100))
