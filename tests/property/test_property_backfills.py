"""Nights delivered in any order, some several times: the state is that of the last deliveries in their order."""

from dataclasses import replace
from datetime import date, timedelta

import pytest
from examples import examples
from hypothesis import given
from hypothesis import strategies as st

from etl.config import settings
from etl.land import load_contract
from etl.pipeline.nights import Delivered, Nights, placed

pytestmark = pytest.mark.property

TABLE = load_contract(settings(), "synthea").tables["conditions"]
FIRST = date(2024, 6, 1)

# Of each delivery its night, and which version of that night's folder it is: an older version may come again.
DELIVERIES = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 2)), min_size=1, max_size=12)


def batch_of(night: int, version: int) -> int:
    """The same content lands as the same batch."""
    return 10 * night + version + 1


def state_after(change: str, deliveries: list[tuple[int, int]]) -> list[int]:
    """What `placed` makes of dated folders, one run after the other."""
    table, state, told = replace(TABLE, change=change), [], []
    for night, version in deliveries:
        day, landed = FIRST + timedelta(days=night), [batch_of(night, version)]
        state = placed(table, state, landed, day, is_dated=True, known=Nights(tuple(told)))
        told.append(Delivered(day, True, tuple(landed)))
    return state


@examples(1.0)
@given(DELIVERIES)
def test_what_is_appended_is_the_last_delivery_of_each_night_in_the_order_of_nights(
    deliveries: list[tuple[int, int]],
) -> None:
    last = {night: batch_of(night, version) for night, version in deliveries}
    assert state_after("append", deliveries) == [last[night] for night in sorted(last)]


@examples(1.0)
@given(DELIVERIES)
def test_a_snapshot_is_the_last_delivery_of_the_newest_night(deliveries: list[tuple[int, int]]) -> None:
    newest = max(night for night, _ in deliveries)
    last = {night: batch_of(night, version) for night, version in deliveries}
    assert state_after("snapshot", deliveries) == [last[newest]]
