"""Stays put together by hand from random encounters, and what holds for the visits of any hospital."""

from datetime import date, datetime, timedelta
from typing import Any

import pytest
from examples import examples
from hospitals import CUTOFF, Hospital, hospitals
from hypothesis import given
from hypothesis import strategies as st
from modelled import Modeller
from naive import Span, apart, by, joined, reach
from tiny_vocabulary import VOCABULARY

pytestmark = pytest.mark.property

FIRST = date(2020, 1, 1)
EMERGENCY_AND_INPATIENT, INPATIENT, EMERGENCY, OUTPATIENT = 262, 9201, 9203, 9202
CONCEPT = {"inpatient": INPATIENT, "emergency": EMERGENCY, "other": OUTPATIENT}
encounters = st.lists(
    st.tuples(
        st.sampled_from((1, 1, 1, 2)),
        st.sampled_from(("inpatient", "inpatient", "emergency", "emergency", "other")),
        st.integers(0, 16),
        st.sampled_from((0, 0, 1, 2, 5)),
    ),
    max_size=9,
)
Listed = list[tuple[int, str, int, int]]
Encounter = tuple[int, str, Span]  # id, kind, days


def listed_encounters(listed: Listed) -> dict[int, list[Encounter]]:
    """By person."""
    found: dict[int, list[Encounter]] = {}
    for number, (person, kind, start, length) in enumerate(listed, 1):
        first = FIRST + timedelta(days=start)
        found.setdefault(person, []).append((number * 100_000, kind, (first, first + timedelta(days=length))))
    return found


def stays(own: list[Encounter]) -> list[list[Encounter]]:
    """A person's visits by the rules: inpatient stays, emergencies under way on a stay's first day, others alone."""

    def span(group: list[Encounter]) -> Span:
        return reach(days for _, _, days in group)

    hospital = joined([one for one in own if one[1] == "inpatient"], lambda one, two: apart(span(one), span(two)) <= 1)
    first_days = [span(stay)[0] for stay in hospital]
    alone = []
    for one in [one for one in own if one[1] == "emergency"]:
        fits = [number for number, first in enumerate(first_days) if one[2][0] <= first <= one[2][1]]
        for number in fits[:1]:
            hospital[number].append(one)
        if not fits:
            alone.append([one])
    whole = joined(hospital, lambda one, two: apart(span(flat(one)), span(flat(two))) <= 1)
    return [flat(stay) for stay in whole] + alone + [[one] for one in own if one[1] == "other"]


def flat(groups: list[list[Encounter]]) -> list[Encounter]:
    return [one for group in groups for one in group]


def given_encounters(listed: Listed) -> dict[str, Any]:
    return {
        "map.encounter": [
            {
                "encounter_id": number, "visit_key": f"e{number}", "person_id": person, "visit_kind": kind,
                "visit_concept_id": CONCEPT[kind], "start_date": days[0], "end_date": days[1],
                "start_datetime": midnight(days[0]), "last_start_datetime": midnight(days[0]),
                "end_datetime": midnight(days[1]), "is_open": False,
            }
            for person, own in listed_encounters(listed).items()
            for number, kind, days in own
        ]
    }  # fmt: skip


def midnight(day: date) -> datetime:
    return datetime.combine(day, datetime.min.time())


@examples(3)
@given(listed=encounters)
def test_visits_are_those_put_together_by_hand(models: Modeller, listed: Listed) -> None:
    found = models.model(given_encounters(listed), ["map.visit"])["map.visit"]
    expected = []
    for person, own in listed_encounters(listed).items():
        for stay in stays(own):
            kinds = {kind for _, kind, _ in stay}
            concept = EMERGENCY_AND_INPATIENT if kinds == {"inpatient", "emergency"} else CONCEPT[min(kinds)]
            expected.append(
                (min(number for number, _, _ in stay), person, concept, *reach(days for _, _, days in stay))
            )
    assert sorted(
        (row["visit_occurrence_id"], row["person_id"], row["visit_concept_id"], row["start_date"], row["end_date"])
        for row in found
    ) == sorted(expected)
    for rows in by(lambda row: row["person_id"], found).values():
        hospital = [
            (row["start_date"], row["end_date"])
            for row in rows
            if row["visit_concept_id"] in (INPATIENT, EMERGENCY_AND_INPATIENT)
        ]
        assert all(apart(one, two) > 1 for one in hospital for two in hospital if one is not two)


@examples(0.5)
@given(hospital=hospitals())
def test_every_visit_detail_lies_in_its_visit_and_is_the_same_persons(models: Modeller, hospital: Hospital) -> None:
    tables = ["cdm.visit_occurrence", "cdm.visit_detail"]
    found = models.model(VOCABULARY | hospital, tables, {"cutoff_date": CUTOFF})
    visits = {row["visit_occurrence_id"]: row for row in found["cdm.visit_occurrence"]}
    for detail in found["cdm.visit_detail"]:
        visit = visits[detail["visit_occurrence_id"]]
        assert detail["person_id"] == visit["person_id"]
        assert visit["visit_start_date"] <= detail["visit_detail_start_date"]
        assert detail["visit_detail_start_date"] <= detail["visit_detail_end_date"] <= visit["visit_end_date"]
        assert visit["visit_start_datetime"] <= detail["visit_detail_start_datetime"]
        ends = (detail["visit_detail_end_datetime"], visit["visit_end_datetime"])
        assert None in ends or ends[0] <= ends[1]
    assert {detail["visit_occurrence_id"] for detail in found["cdm.visit_detail"]} == set(visits)


@examples(0.5)
@given(hospital=hospitals())
def test_each_visit_names_the_one_before_it(models: Modeller, hospital: Hospital) -> None:
    found = models.model(VOCABULARY | hospital, ["cdm.visit_occurrence"], {"cutoff_date": CUTOFF})
    for own in by(lambda row: row["person_id"], found["cdm.visit_occurrence"]).values():
        own.sort(key=lambda row: (row["visit_start_datetime"], row["visit_end_date"], row["visit_occurrence_id"]))
        ids = [row["visit_occurrence_id"] for row in own]
        assert [row["preceding_visit_occurrence_id"] for row in own] == [None, *ids][: len(ids)]
