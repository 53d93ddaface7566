"""What a code means, seen through all models: by its own vocabulary, one row per target, ids that stay."""

from datetime import datetime
from typing import Any

import pytest
import tiny_vocabulary as tiny
from examples import examples
from hospitals import CUTOFF, Hospital, hospitals, numbered
from hypothesis import given
from modelled import Found, Modeller
from tiny_vocabulary import VOCABULARY

pytestmark = pytest.mark.property

EVENTS = {
    "condition_occurrence": "condition", "drug_exposure": "drug", "procedure_occurrence": "procedure",
    "measurement": "measurement", "observation": "observation", "device_exposure": "device", "specimen": "specimen",
}  # fmt: skip


def run(models: Modeller, hospital: Hospital, vocabulary: dict[str, tuple[dict[str, Any], ...]] = VOCABULARY) -> Found:
    return models.model(vocabulary | hospital, parameter={"cutoff_date": CUTOFF})


def meanings(found: Found) -> dict[int, tuple[str, int]]:
    """Table and concept of every event by its id."""
    return {
        row[f"{table}_id"]: (table, row[f"{concept}_concept_id"])
        for table, concept in EVENTS.items()
        for row in found[f"cdm.{table}"]
    }


def one_patient(**records: list[dict[str, Any]]) -> Hospital:
    return numbered(
        {"landing.patients": [{"id": "p1", "birthdate": "1970-05-17"}]}
        | {f"landing.{table}": [{"patient": "p1"} | row for row in rows] for table, rows in records.items()}
    )


def test_a_code_with_the_same_text_in_four_vocabularies_maps_by_its_own(models: Modeller) -> None:
    day = datetime(2020, 1, 1)
    hospital = one_patient(
        conditions=[
            {"start": day, "code": "SAME", "system": "SNOMED-CT"}, {"start": day, "code": "SAME", "system": "ICD10-CM"},
        ],
        medications=[{"start": day, "code": "SAME"}],
        observations=[{"date": day, "code": "SAME", "value": "1", "type": "numeric"}],
    )  # fmt: skip
    assert sorted(meanings(run(models, hospital)).values()) == [
        ("condition_occurrence", tiny.C2),
        ("condition_occurrence", tiny.SAME_SNOMED),
        ("drug_exposure", tiny.SAME_RXNORM),
        ("measurement", tiny.SAME_LOINC),
    ]


def test_a_code_with_three_targets_gives_three_rows_whose_ids_end_in_00_01_02(models: Modeller) -> None:
    hospital = one_patient(conditions=[{"start": "2020-01-01", "code": "THREE"}])
    assert meanings(run(models, hospital)) == {
        101000: ("condition_occurrence", tiny.FIRST_OF_THREE),
        101001: ("measurement", tiny.SECOND_OF_THREE),
        101002: ("observation", tiny.THIRD_OF_THREE),
    }


@examples(0.25)
@given(hospital=hospitals())
def test_a_vocabulary_that_drops_a_target_changes_just_the_rows_of_that_code(
    models: Modeller, hospital: Hospital
) -> None:
    before = run(models, hospital)
    after = run(models, hospital, tiny.vocabulary(without=(tiny.THREE, tiny.THIRD_OF_THREE)))
    dropped = {event for event, (_, concept) in meanings(before).items() if concept == tiny.THIRD_OF_THREE}
    assert meanings(after) == {event: what for event, what in meanings(before).items() if event not in dropped}
    for table in EVENTS:
        kept = [row for row in before[f"cdm.{table}"] if row[f"{table}_id"] not in dropped]
        assert sorted(map(str, after[f"cdm.{table}"])) == sorted(map(str, kept)), table


@examples(0.25)
@given(hospital=hospitals())
def test_every_event_with_a_person_a_date_and_a_code_is_in_the_cdm(models: Modeller, hospital: Hospital) -> None:
    parts = {
        "conditions": 10,
        "medications": 11,
        "procedures": 13,
        "immunizations": 15,
        "devices": 21,
        "observations": 24,
    }
    ids = {event // 100 for event in meanings(run(models, hospital))}
    born = {row["id"] for row in hospital["landing.patients"] if row["birthdate"]}
    wanted = {
        row["source_row_id"] * 1000 + part
        for table, part in parts.items()
        for row in hospital[f"landing.{table}"]
        if row["patient"] in born and row.get("start", row.get("date")) and row["code"]
    }
    assert ids == wanted
