"""Checks count persons apart: over two halves of a hospital, violated rows and denominators add up to the whole's."""

import tempfile
from pathlib import Path
from typing import Any

import pytest
from examples import examples
from hypothesis import given
from hypothesis import strategies as st
from quality_helpers import Cdm, hospital, write, write_vocabulary

from etl.config import settings
from etl.engine import connection
from etl.quality.compute import count_checks
from etl.quality.dqd.definition import Places
from etl.quality.suites import read_suites

pytestmark = pytest.mark.property

TYPES = ("not_in_future", "decodes", "plausible_value", "eras_apart", "no_repeat")
PERSONS = (1, 2, 3)
days = st.sampled_from(("2020-01-01", "2020-01-31", "2020-02-01", "2021-01-01", "2021-01-02"))
people = st.sampled_from(PERSONS)
ids = st.sampled_from((102_400, 202_400, 2_400, 109_900))
values = st.sampled_from((70.5, 705.0, None))
measurements = st.lists(st.tuples(people, ids, days, values, st.sampled_from((3025315, 0))), max_size=8)
eras = st.lists(st.tuples(people, st.sampled_from((7, 8)), days, days), max_size=6)


def hospital_of(measured: list[Any], taken: list[Any], scope: frozenset[int]) -> Cdm:
    return {
        "cdm_source": hospital()["cdm_source"],
        "measurement": [
            {
                "measurement_id": number, "person_id": person, "measurement_date": day, "value_as_number": value,
                "measurement_concept_id": concept, "unit_concept_id": 9529,
            }
            for person, number, day, value, concept in measured
            if person in scope
        ],
        "drug_era": [
            {"person_id": person, "drug_concept_id": drug, "drug_era_start_date": start, "drug_era_end_date": end}
            for person, drug, start, end in taken
            if person in scope
        ],
    }  # fmt: skip


@examples(0.3)
@given(measured=measurements, taken=eras, half=st.frozensets(people))
def test_counts_of_two_halves_of_the_persons_add_up_to_those_of_all(
    home: Path, measured: list[Any], taken: list[Any], half: frozenset[int]
) -> None:
    every = read_suites(settings().expectations_dir / "cdm")
    suites = {
        table: [check for check in every[table] if check.check_type in TYPES] for table in ("measurement", "drug_era")
    }
    assert {check.check_type for checks in suites.values() for check in checks} == set(TYPES)
    counted = []
    for scope in (frozenset(PERSONS), half, frozenset(PERSONS) - half):
        with tempfile.TemporaryDirectory() as name, connection(1) as con:
            folder, vocabulary = Path(name), write_vocabulary(Path(name) / "vocabulary")
            run = write(hospital_of(measured, taken, scope), folder)
            found, _ = count_checks(con, settings(), suites, [], run, vocabulary, (), Places())
            counted.append({check_id: (one.violated, one.denominator) for check_id, one in found.items()})
    whole, one, other = counted
    assert whole == {
        check_id: (one[check_id][0] + other[check_id][0], one[check_id][1] + other[check_id][1]) for check_id in one
    }
