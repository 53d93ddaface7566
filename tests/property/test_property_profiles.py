"""Profiles add up: the last release's, without some persons' rows, with their new ones, is that of the whole."""

import tempfile
from pathlib import Path
from typing import Any

import pytest
from examples import examples
from hypothesis import given
from hypothesis import strategies as st
from quality_helpers import Cdm, write

from etl.config import settings
from etl.quality.profile import make_profile, merge_profiles, read_profile

pytestmark = pytest.mark.property

PERSONS = (1, 2, 3, 4)
PLACES = (100_400, 200_400)
WHOLE = ("person", "care_site")  # not narrowed to a scope, like all tables of people and places
days = st.sampled_from(("2019-12-31", "2020-01-01", "2020-01-31", "2020-02-01", None))
concepts = st.sampled_from((0, 7, 8, None))
places = st.sampled_from((*PLACES, None))
events = st.lists(st.tuples(st.sampled_from(PERSONS), concepts, days, places), max_size=8)
persons = st.lists(st.tuples(st.sampled_from(PERSONS), places), max_size=4, unique_by=lambda person: person[0])
scopes = st.sets(st.sampled_from(PERSONS))


def hospital_of(people: list[Any], happened: list[Any], sites: int) -> Cdm:
    return {
        "person": [{"person_id": person, "gender_concept_id": 7, "care_site_id": place} for person, place in people],
        "care_site": [{"care_site_id": place} for place in PLACES[:sites]],
        "measurement": [
            {
                "person_id": person,
                "measurement_concept_id": concept,
                "unit_concept_id": concept,
                "measurement_date": day,
            }
            for person, concept, day, _ in happened
        ],
        "visit_occurrence": [
            {"person_id": person, "visit_concept_id": concept, "visit_start_date": day, "care_site_id": place}
            for person, concept, day, place in happened
        ],
    }


def of_persons(cdm: Cdm, scope: set[int]) -> Cdm:
    return {table: [row for row in rows if table in WHOLE or row["person_id"] in scope] for table, rows in cdm.items()}


@examples(0.2)
@given(
    people=persons, others=persons, before=events, after=events, sites=st.tuples(*[st.integers(0, 2)] * 2), scope=scopes
)
def test_a_profile_with_some_persons_replaced_is_the_profile_of_the_whole(
    home: Path, people: list[Any], others: list[Any], before: list[Any], after: list[Any], sites: Any, scope: set[int]
) -> None:
    # Nobody outside of the scope may differ: his new rows are his old ones.
    people_now = [one for one in people if one[0] not in scope] + [one for one in others if one[0] in scope]
    happened = [event for event in before if event[0] not in scope] + [event for event in after if event[0] in scope]
    release, candidate = hospital_of(people, before, sites[0]), hospital_of(people_now, happened, sites[1])
    given_cdms = {
        "base": release,
        "before": of_persons(release, scope),
        "now": of_persons(candidate, scope),
        "whole": candidate,
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = {
            which: make_profile(settings(), write(cdm, folder / which), folder / f"{which}.parquet")
            for which, cdm in given_cdms.items()
        }
        merged = merge_profiles(files["base"], files["before"], files["now"], folder / "merged.parquet")
        assert read_profile(merged) == read_profile(files["whole"])
