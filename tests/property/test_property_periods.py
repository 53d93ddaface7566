"""Observation periods and insured periods against their definition by hand."""

from datetime import date, timedelta
from typing import Any

import pytest
from examples import examples
from hypothesis import given
from hypothesis import strategies as st
from modelled import Modeller
from naive import apart, by, reach, within

pytestmark = pytest.mark.property

FIRST = date(2020, 1, 1)
CUTOFF = FIRST + timedelta(days=1300)
persons = st.sampled_from((1, 2))
starts = st.sampled_from(
    (0, 1, 2, 60, 61, 546, 547, 548, 549, 550, 608, 1094, 1095, 1096, 1097, 1200, 1240, 1290, 1300)
)
lengths = st.sampled_from((0, 0, 0, 1, 2, 59, 60, 61, 400, 600))
spans = st.lists(st.tuples(persons, starts, lengths), max_size=8)
days = st.lists(st.tuples(persons, starts), max_size=5)
deaths = st.dictionaries(persons, starts, max_size=2)
insurances = st.lists(
    st.tuples(
        persons,
        starts,
        lengths,
        st.sampled_from(("Aetna", "Humana", "NO_INSURANCE")),
        st.sampled_from(("Self", None)),
    ),
    max_size=8,
)
Spans = list[tuple[int, int, int]]
Days = list[tuple[int, int]]
Found = list[tuple[int, date, date]]
# given empty, so that nothing behind them is computed
NOTHING: dict[str, Any] = {
    name: () for name in ("map.visit", "map.event", "cdm.note", "map.payer_plan", "cdm.death", "map.map_source_code")
}


def day(number: int) -> date:
    return FIRST + timedelta(days=number)


def given_visits(listed: Spans) -> list[dict[str, Any]]:
    return [
        {"visit_occurrence_id": number, "person_id": person, "start_date": day(start), "end_date": day(start + length)}
        for number, (person, start, length) in enumerate(listed, 1)
    ]


def periods(models: Modeller, relations: dict[str, Any], kind: str) -> Found:
    empty = {name: rows for name, rows in NOTHING.items() if name != "map.payer_plan" or kind != "enrolment"}
    found = models.model(
        empty | relations, ["cdm.observation_period"], {"observation_period": kind, "cutoff_date": CUTOFF}
    )["cdm.observation_period"]  # fmt: skip
    assert len({row["observation_period_id"] for row in found}) == len(found)
    return sorted(
        (row["person_id"], row["observation_period_start_date"], row["observation_period_end_date"]) for row in found
    )


def bounded(person: int, first: date, last: date, dead: dict[int, int]) -> Found:
    """The period up to the cut-off and 60 days after death; none that would begin after that."""
    end = min(last, CUTOFF, day(dead[person] + 60) if person in dead else CUTOFF)
    return [(person, first, end)] if first <= end else []


def death_rows(dead: dict[int, int]) -> list[dict[str, Any]]:
    return [{"person_id": person, "death_date": day(number)} for person, number in dead.items()]


@examples(2)
@given(visits=spans, events=days, notes=days, dead=deaths)
def test_periods_by_records_are_those_by_hand(
    models: Modeller, visits: Spans, events: Days, notes: Days, dead: dict[int, int]
) -> None:
    relations = {
        "map.visit": given_visits(visits),
        "map.event": [{"person_id": person, "start_date": day(number)} for person, number in events],
        "cdm.note": [{"person_id": person, "note_date": day(number)} for person, number in notes],
        "cdm.death": death_rows(dead),
    }
    records = [(person, (day(start), day(start + length))) for person, start, length in visits]
    records += [(person, (day(number), day(number))) for person, number in [*events, *notes]]
    expected = []
    for person, items in by(lambda item: item[0], records).items():
        for period in within(547, [span for _, span in items]):
            first, last = reach(period)
            expected += bounded(person, first, last + timedelta(days=60), dead)
    found = periods(models, relations, "ehr")
    assert found == sorted(expected)
    for own in by(lambda row: row[0], found).values():
        assert all(apart(one[1:], two[1:]) > 0 for one in own for two in own if one is not two)


@examples(1)
@given(visits=spans, events=days, dead=deaths)
def test_periods_by_encounters_are_those_by_hand(
    models: Modeller, visits: Spans, events: Days, dead: dict[int, int]
) -> None:
    relations = {
        "map.visit": given_visits(visits),
        "map.event": [{"person_id": person, "start_date": day(number)} for person, number in events],
        "cdm.death": death_rows(dead),
    }
    expected: Found = []
    for person, items in by(lambda item: item[0], visits).items():
        first, last = reach((day(start), day(start + length)) for _, start, length in items)
        expected += bounded(person, first, last, dead)
    assert periods(models, relations, "encounters") == sorted(expected)


Insurances = list[tuple[int, int, int, str, str | None]]


def insured_rows(listed: Insurances) -> dict[str, Any]:
    return {
        "map.map_source_code": (),
        "map.person": [{"person_id": number, "person_key": f"p{number}"} for number in (1, 2)],
        "source.src_payer_plan": [
            {
                "source_part_no": 90, "source_row_id": number, "person_key": f"p{person}",
                "payer_vocabulary": "payer", "payer_code": payer, "family_source_value": family,
                "start_datetime": day(start), "end_datetime": day(start + length),
                "is_insured": payer != "NO_INSURANCE",
            }
            for number, (person, start, length, payer, family) in enumerate(listed, 1)
        ],
    }  # fmt: skip


@examples(2)
@given(listed=insurances)
def test_insured_periods_are_those_by_hand(models: Modeller, listed: Insurances) -> None:
    found = models.model(insured_rows(listed), ["map.payer_plan"], {"cutoff_date": CUTOFF})["map.payer_plan"]
    expected = []
    for (person, payer, family), items in by(lambda item: (item[0], item[3], item[4]), listed).items():
        for period in within(1, [(day(start), day(start + length)) for _, start, length, _, _ in items]):
            expected.append((person, payer, str(family), *reach(period)))
    assert sorted(
        (row["person_id"], row["payer_code"], str(row["family_source_value"]), row["start_date"], row["end_date"])
        for row in found
    ) == sorted(expected)
    assert len({row["payer_plan_period_id"] for row in found}) == len(found)


@examples(1)
@given(listed=insurances, dead=deaths)
def test_periods_by_enrolment_are_those_by_hand(models: Modeller, listed: Insurances, dead: dict[int, int]) -> None:
    relations = insured_rows(listed) | {"cdm.death": death_rows(dead)}
    known = [item for item in listed if item[3] != "NO_INSURANCE"]
    expected: Found = []
    for person, items in by(lambda item: item[0], known).items():
        for period in within(1, [(day(start), day(start + length)) for _, start, length, _, _ in items]):
            expected += bounded(person, *reach(period), dead)
    assert periods(models, relations, "enrolment") == sorted(expected)
