"""Nights brought again: corrected drop folders, replayed batches, chosen persons; the CDM equals a full rebuild."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from tiny_hospital import TABLES, Hospital, Rows, write_tables, write_tiny_hospital

from etl import land
from etl.config import Settings
from etl.errors import UsageError
from etl.pipeline.backfill import arguments_of_schedule, newest_night, plan_backfill
from etl.pipeline.runs import Run, database, settings
from etl.publish import rollback

pytestmark = pytest.mark.integration

SECOND, THIRD = "2024-06-02", "2024-06-03"
READ_CONTRACT = land.load_contract


def diagnosis(day: str, person: str, code: str) -> dict[str, str]:
    visit = {"p1": "e1", "p2": "e2", "p3": "e3"}[person]
    return {"START": day, "PATIENT": person, "ENCOUNTER": visit, "CODE": code, "DESCRIPTION": ""}


EARLY = diagnosis("2024-06-01", "p3", "59621000")
WRONG = diagnosis("2024-06-01", "p1", "59621000")
LATER = diagnosis("2024-06-01", "p3", "44054006")


@pytest.fixture
def incoming(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CDMFLOW_INCOMING", str(tmp_path / "incoming"))
    return tmp_path / "incoming"


@pytest.fixture
def appending(own: Hospital, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hospital]:
    """A home whose diagnoses are appended to, night by night."""

    def load_contract(settings: Settings, source: str) -> land.Contract:
        contract = READ_CONTRACT(settings, source)
        conditions = replace(contract.tables["conditions"], change="append")
        return replace(contract, tables={**contract.tables, "conditions": conditions})

    monkeypatch.setattr("etl.land.load_contract", load_contract)
    monkeypatch.setattr("etl.pipeline.runs.load_contract", load_contract)
    yield own


def delivered(incoming: Path, night: str, **tables: Rows) -> Path:
    return write_tables(incoming / night, tables)


def codes(hospital: Hospital) -> list[tuple[int, str]]:
    return hospital.query(
        "SELECT person_id, condition_source_value FROM cdm.condition_occurrence "
        "WHERE condition_start_date = '2024-06-01' ORDER BY 1, 2"
    )


def assert_rebuild_is_the_same(hospital: Hospital, made: Run) -> None:
    assert hospital.release_tables(hospital.run(None)) == hospital.release_tables(made)


def test_a_corrected_folder_takes_the_place_of_what_its_night_delivered(
    appending: Hospital, incoming: Path, tmp_path: Path
) -> None:
    appending.run(write_tiny_hospital(tmp_path / "first"))
    appending.drop(delivered(incoming, SECOND, conditions=[EARLY, WRONG]))
    appending.drop(delivered(incoming, THIRD, conditions=[LATER]))
    assert codes(appending) == [(1, "59621000"), (3, "44054006"), (3, "59621000")]
    delivered(incoming, SECOND, conditions=[EARLY])
    [night] = plan_backfill("synthea", date.fromisoformat(SECOND), date.fromisoformat(SECOND)).nights
    assert (night.origin, night.rows, night.persons, night.batch_ids) == ("folder", {"conditions": 1}, 1, ())
    corrected = appending.backfill(SECOND)
    assert (corrected.status, corrected.scope) == ("published", "persons")
    assert codes(appending) == [(3, "44054006"), (3, "59621000")]
    again = appending.backfill(SECOND)
    assert again.batch_ids == corrected.batch_ids
    assert appending.release_tables(again) == appending.release_tables(corrected)
    assert_rebuild_is_the_same(appending, again)


def test_an_old_snapshot_goes_over_no_newer_one(own: Hospital, incoming: Path, tmp_path: Path) -> None:
    own.run(write_tiny_hospital(tmp_path / "first"))
    newer = own.drop(delivered(incoming, THIRD, conditions=[*TABLES["conditions"], LATER]))
    delivered(incoming, SECOND, conditions=[*TABLES["conditions"], EARLY])
    late = own.backfill(SECOND)
    assert late.batch_ids == newer.batch_ids
    assert codes(own) == [(3, "44054006")]
    assert_rebuild_is_the_same(own, late)


def test_a_night_that_was_taken_back_comes_again_from_its_landed_batches(
    appending: Hospital, tmp_path: Path, incoming: Path
) -> None:
    appending.run(write_tiny_hospital(tmp_path / "first"))
    second = appending.drop(write_tables(tmp_path / SECOND, {"conditions": [EARLY]}))
    before = appending.release_tables(second)
    rollback(settings(), database(settings()), None)
    assert codes(appending) == []
    days = (date.fromisoformat(SECOND), date.fromisoformat(THIRD))
    plan = plan_backfill("synthea", *days)
    assert [(night.origin, night.rows, night.persons) for night in plan.nights] == [
        ("batches", {"conditions": 1}, 1),
        ("nothing", {}, 0),
    ]
    assert plan.persons_held == 3
    assert plan.nights[0].seconds and plan.nights[1].seconds is None
    again = appending.backfill(SECOND)
    assert appending.release_tables(again) == before
    assert appending.backfill(THIRD).status == "unchanged"


def test_chosen_persons_are_made_again_and_nobody_else(own: Hospital, tmp_path: Path) -> None:
    first = own.run(write_tiny_hospital(tmp_path / "first"))
    chosen = tmp_path / "persons.txt"
    chosen.write_text("2\n3\n")
    made = own.backfill(SECOND, chosen)
    assert (made.status, made.scope) == ("published", "persons")
    assert (made.folder / "scope" / "person_id.txt").read_text() == "2\n3\n"
    assert own.release_tables(made) == own.release_tables(first)
    for text in ("4\n", "Bo Two\n"):
        chosen.write_text(text)
        with pytest.raises(UsageError, match=r"none of source|not a list of persons") as refused:
            plan_backfill("synthea", date(2024, 6, 2), date(2024, 6, 2), chosen)
        assert "Bo" not in str(refused.value)
    with pytest.raises(UsageError, match="is after"):
        plan_backfill("synthea", date(2024, 6, 2), date(2024, 6, 1))
    with pytest.raises(UsageError, match="is not over"):
        plan_backfill("synthea", date(2024, 6, 2), datetime.now(UTC).date())


def test_the_schedule_loads_the_folder_of_its_night(own: Hospital, incoming: Path) -> None:
    with pytest.raises(UsageError, match="Nothing was delivered for the night of 2024-06-01"):
        arguments_of_schedule("synthea", date(2024, 6, 1))
    first = arguments_of_schedule("synthea", scheduled(incoming, "2024-06-01"))
    assert (first["input_folder"], first["is_drop"]) == (str(incoming / "2024-06-01"), False)
    own.run(write_tiny_hospital(incoming / "2024-06-01"))
    second = arguments_of_schedule("synthea", scheduled(incoming, SECOND))
    assert (second["is_drop"], second["night"], second["vocabulary_folder"]) == (True, date(2024, 6, 2), None)


def scheduled(incoming: Path, night: str) -> date:
    write_tiny_hospital(incoming / night)
    return date.fromisoformat(night)


def test_a_night_is_over_when_the_schedule_loads_it() -> None:
    assert newest_night(datetime(2026, 11, 24, 2, 1, tzinfo=UTC)) == date(2026, 11, 23)
    assert newest_night(datetime(2026, 11, 24, 1, 59, tzinfo=UTC)) == date(2026, 11, 22)


def test_nothing_can_be_brought_again_before_the_first_release(own: Hospital) -> None:
    with pytest.raises(UsageError, match="has no release"):
        plan_backfill("synthea", date(2024, 6, 2), date(2024, 6, 2))
