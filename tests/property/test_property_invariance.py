"""What must not matter does not: the order of rows, the names of keys, somebody else's records."""

from collections import Counter
from collections.abc import Collection
from typing import Any

import pytest
from examples import examples
from hospitals import CUTOFF, Hospital, Row, hospitals, numbered, renamed
from hypothesis import given
from hypothesis import strategies as st
from modelled import Found, Modeller, cdm_tables
from tiny_vocabulary import VOCABULARY

pytestmark = pytest.mark.property

# Columns that hold a key of the source as it was written (of a payer without a name, its key).
NAMED_AFTER_KEYS = {"person_source_value", "provider_source_value", "care_site_source_value", "payer_source_value"}


OF_NOBODY = {"cdm.location", "cdm.care_site", "cdm.provider", "cdm.cdm_source", "cdm.metadata"}
# A cost of the CDM does not say whose it is.
WITH_PERSON = {*cdm_tables(), "map.cost"} - {"cdm.cost"}


def run(models: Modeller, hospital: Hospital, wanted: Collection[str] | None = None) -> Found:
    return models.model(VOCABULARY | hospital, wanted, {"cutoff_date": CUTOFF})


def person_of(models: Modeller, person_key: str) -> int:
    """The number of a person in the last run; 0 when he is unknown."""
    numbers = {row["person_key"]: row["person_id"] for row in models.rows("state.person")}
    return int(numbers.get(person_key, 0))


def counts(found: Found) -> dict[str, int]:
    return {name: len(rows) for name, rows in found.items()}


def contents(rows: list[Row], without: frozenset[str] | set[str] = frozenset()) -> Counter[tuple[Any, ...]]:
    return Counter(tuple(value for name, value in row.items() if name not in without) for row in rows)


def shuffled(hospital: Hospital, order: Any) -> Hospital:
    return {table: sorted(rows, key=lambda row: order.random()) for table, rows in hospital.items()}


@examples(0.1)
@given(hospital=hospitals(), order=st.randoms(use_true_random=True))
def test_shuffled_rows_give_the_same_rows(models: Modeller, hospital: Hospital, order: Any) -> None:
    before, after = run(models, hospital), run(models, shuffled(hospital, order))
    for table in before:
        assert contents(after[table]) == contents(before[table]), table


@examples(0.1)
@given(hospital=hospitals(), order=st.randoms(use_true_random=True))
def test_rows_that_arrive_in_another_order_give_the_same_counts(
    models: Modeller, hospital: Hospital, order: Any
) -> None:
    before, after = run(models, hospital), run(models, numbered(shuffled(hospital, order)))
    assert counts(after) == counts(before)


@examples(0.1)
@given(hospital=hospitals(), length=st.integers(1, 60))
def test_renamed_keys_change_nothing_but_the_keys(models: Modeller, hospital: Hospital, length: int) -> None:
    def name(kind: str, key: str) -> str:
        # reversed, so that the order of keys is another one too, and of another length
        return f"{kind[0] * length}-{key[::-1]}"

    before, after = run(models, hospital), run(models, renamed(hospital, name))
    for table in before:
        assert contents(after[table], NAMED_AFTER_KEYS) == contents(before[table], NAMED_AFTER_KEYS), table


def assert_others_unchanged(before: Found, after: Found, person_id: int) -> None:
    """Rows of other persons are the same; of tables that belong to nobody none is gone or changed."""
    for table in before:
        others = [[row for row in rows[table] if row.get("person_id") != person_id] for rows in (before, after)]
        if table in OF_NOBODY:
            assert not contents(others[0]) - contents(others[1]), table
        else:
            assert contents(others[1]) == contents(others[0]), table


@examples(0.1)
@given(hospital=hospitals(persons=3, records=5), more=hospitals(persons=3, records=2), table=st.data())
def test_a_row_more_changes_no_row_of_another_person(
    models: Modeller, hospital: Hospital, more: Hospital, table: Any
) -> None:
    choices = [(name, row) for name, rows in more.items() for row in rows if "patient" in row]
    if not choices:
        return
    name, row = table.draw(st.sampled_from(choices))
    row = row | {"source_row_id": 1000} | ({"id": "e-new"} if "id" in row else {})
    before = run(models, hospital, WITH_PERSON)
    after = run(models, hospital | {name: [*hospital[name], row]}, WITH_PERSON)
    assert_others_unchanged(before, after, person_of(models, row["patient"]))


@examples(0.1)
@given(hospital=hospitals(persons=3, records=5), more=hospitals(persons=1, records=1))
def test_a_person_more_changes_no_row_of_another_person(models: Modeller, hospital: Hospital, more: Hospital) -> None:
    patient = more["landing.patients"][0] | {"id": "p-new", "source_row_id": 1000}
    before = run(models, hospital, WITH_PERSON)
    after = run(models, hospital | {"landing.patients": [*hospital["landing.patients"], patient]}, WITH_PERSON)
    assert_others_unchanged(before, after, person_of(models, "p-new"))
