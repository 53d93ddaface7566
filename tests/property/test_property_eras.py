"""Eras against their definition by hand, over exposures that touch, nest, chain and just miss each other."""

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

import pytest
from examples import examples
from hypothesis import given
from hypothesis import strategies as st
from modelled import Modeller
from naive import by, days_of, reach, within

pytestmark = pytest.mark.property

FIRST = date(2020, 1, 1)
A, B, EXTENSION, BRAND, PACK, SOLUTION, NOT_STANDARD = 101, 102, 103, 201, 202, 203, 204
INGREDIENTS = {A: "RxNorm", B: "RxNorm", EXTENSION: "RxNorm Extension"}
# what each drug contains, itself included
CONTAINS = {
    A: {A},
    B: {B},
    EXTENSION: {EXTENSION},
    BRAND: {A},
    PACK: {A, B},
    SOLUTION: {EXTENSION},
    NOT_STANDARD: set(),
}
MILLIGRAM, GRAM = 8576, 8504
STRENGTHS = (  # drug, ingredient, amount, unit, withdrawn
    (BRAND, A, 10, MILLIGRAM, None),
    (A, A, 10, MILLIGRAM, None),
    (PACK, A, 20, MILLIGRAM, None),
    (PACK, B, 1, GRAM, None),
    (SOLUTION, EXTENSION, None, None, None),
    (B, B, 5, MILLIGRAM, "D"),
)
VOCABULARY: Mapping[str, Any] = {
    "vocabulary.concept": tuple(
        {
            "concept_id": concept,
            "concept_class_id": "Ingredient" if concept in (*INGREDIENTS, NOT_STANDARD) else "Clinical Drug",
            "standard_concept": None if concept == NOT_STANDARD else "S",
            "vocabulary_id": INGREDIENTS.get(concept, "RxNorm"),
        }
        for concept in CONTAINS
    ),
    "vocabulary.concept_ancestor": tuple(
        {"descendant_concept_id": drug, "ancestor_concept_id": part}
        for drug, parts in CONTAINS.items()
        for part in parts | {drug}
    ),
    "vocabulary.drug_strength": tuple(
        {
            "drug_concept_id": drug, "ingredient_concept_id": part, "amount_value": amount,
            "amount_unit_concept_id": unit, "invalid_reason": withdrawn,
        }
        for drug, part, amount, unit, withdrawn in STRENGTHS
    ),
}  # fmt: skip

persons = st.sampled_from((1, 2))
starts = st.sampled_from((0, 1, 2, 5, 29, 30, 31, 32, 33, 60, 61, 62, 63, 90, 95))
lengths = st.sampled_from((0, 0, 1, 2, 28, 29, 30, 31, 70))
exposures = st.lists(st.tuples(persons, st.sampled_from((0, *CONTAINS)), starts, lengths), max_size=9)
# one person and mostly one dose, so that three exposures of it meet often
doses = st.lists(
    st.tuples(st.just(1), st.sampled_from((BRAND, A, BRAND, PACK, SOLUTION, B)), starts, lengths), max_size=9
)
occurrences = st.lists(
    st.tuples(persons, st.sampled_from((0, 7, 8)), starts, st.one_of(st.none(), lengths)), max_size=9
)
Listed = list[tuple[int, int, int, Any]]


def span(start: int, length: int) -> tuple[date, date]:
    first = FIRST + timedelta(days=start)
    return first, first + timedelta(days=length)


def drug_rows(listed: Listed) -> list[dict[str, Any]]:
    return [
        {
            "drug_exposure_id": number, "person_id": person, "drug_concept_id": drug,
            "drug_exposure_start_date": span(start, length)[0], "drug_exposure_end_date": span(start, length)[1],
        }
        for number, (person, drug, start, length) in enumerate(listed, 1)
    ]  # fmt: skip


@examples(2)
@given(listed=exposures)
def test_drug_eras_are_those_by_hand(models: Modeller, listed: Listed) -> None:
    found = models.model(VOCABULARY | {"cdm.drug_exposure": drug_rows(listed)}, ["cdm.drug_era"])["cdm.drug_era"]
    taken = by(
        lambda item: item[0],
        [
            ((person, part), span(start, length))
            for person, drug, start, length in listed
            for part in CONTAINS.get(drug, ())
        ],
    )
    expected = []
    for (person, part), items in taken.items():
        for era in within(30, [dates for _, dates in items]):
            first, last = reach(era)
            covered = set().union(*(days_of(one) for one in era))
            expected.append((person, part, first, last, len(era), len(days_of((first, last)) - covered)))
    assert sorted(
        (
            row["person_id"], row["drug_concept_id"], row["drug_era_start_date"], row["drug_era_end_date"],
            row["drug_exposure_count"], row["gap_days"],
        )
        for row in found
    ) == sorted(expected)  # fmt: skip
    assert len({row["drug_era_id"] for row in found}) == len(found)


@examples(2)
@given(listed=occurrences)
def test_condition_eras_are_those_by_hand(models: Modeller, listed: Listed) -> None:
    rows = [
        {
            "condition_occurrence_id": number, "person_id": person, "condition_concept_id": concept,
            "condition_start_date": span(start, 0)[0],
            "condition_end_date": None if length is None else span(start, length)[1],
        }
        for number, (person, concept, start, length) in enumerate(listed, 1)
    ]  # fmt: skip
    found = models.model({"cdm.condition_occurrence": rows}, ["cdm.condition_era"])["cdm.condition_era"]
    expected = [
        (person, concept, *reach(era), len(era))
        for (person, concept), items in by(lambda item: item[:2], listed).items()
        if concept
        for era in within(30, [span(start, 1 if length is None else length) for _, _, start, length in items])
    ]
    assert sorted(
        (
            row["person_id"], row["condition_concept_id"], row["condition_era_start_date"],
            row["condition_era_end_date"], row["condition_occurrence_count"],
        )
        for row in found
    ) == sorted(expected)  # fmt: skip


@examples(2)
@given(listed=doses)
def test_dose_eras_are_those_by_hand(models: Modeller, listed: Listed) -> None:
    """Without quantity and days of supply: one unit a day."""
    found = models.model(VOCABULARY | {"cdm.drug_exposure": drug_rows(listed)}, ["cdm.dose_era"])["cdm.dose_era"]
    given_doses = by(
        lambda item: item[0],
        [
            ((person, part, unit, amount), span(start, length))
            for person, drug, start, length in listed
            for of, part, amount, unit, withdrawn in STRENGTHS
            if of == drug and amount and not withdrawn
        ],
    )
    expected = [
        (*dose, *reach(era)) for dose, items in given_doses.items() for era in within(30, [dates for _, dates in items])
    ]
    assert sorted(
        (
            row["person_id"], row["drug_concept_id"], row["unit_concept_id"], row["dose_value"],
            row["dose_era_start_date"], row["dose_era_end_date"],
        )
        for row in found
    ) == sorted(expected)  # fmt: skip


@examples(1)
@given(listed=exposures)
def test_no_two_eras_of_a_person_and_ingredient_overlap(models: Modeller, listed: Listed) -> None:
    found = models.model(VOCABULARY | {"cdm.drug_exposure": drug_rows(listed)}, ["cdm.drug_era"])["cdm.drug_era"]
    for eras in by(lambda row: (row["person_id"], row["drug_concept_id"]), found).values():
        spans = [days_of((row["drug_era_start_date"], row["drug_era_end_date"])) for row in eras]
        assert sum(map(len, spans)) == len(set().union(*spans))
    assert 0 not in {row["drug_concept_id"] for row in found}
