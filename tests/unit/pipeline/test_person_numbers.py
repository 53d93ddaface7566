"""Persons are numbered in the order of their first arrival, and a batch is read for it once."""

from pathlib import Path

import pytest
from landing_helpers import Clinic, make_contract, open_clinic

from etl.pipeline.people import number_landed_persons
from etl.postgres import Database

CONTRACT = """
source: clinic
reject_limit: {share: 0.1, rows: 3}
tables:
  patients:
    file: patients
    key: [Id]
    person: Id
    change: snapshot
    columns:
      Id: {type: text, required: true}
      OTHER: {type: text}
"""


@pytest.fixture
def clinic(home: Path, fresh_database: Database, tmp_path: Path) -> Clinic:
    return open_clinic(fresh_database, tmp_path, CONTRACT)


def land(clinic: Clinic, *keys: str) -> Path:
    """A snapshot of these patients; the batch's file."""
    return clinic.land({"patients.csv": "Id,OTHER\n" + "".join(f"{key},x{key}\n" for key in keys)}).batches[0].path


def number(clinic: Clinic) -> int:
    return number_landed_persons(clinic.engine, clinic.contract, clinic.settings)


def numbers(clinic: Clinic) -> list[tuple[int, str]]:
    with clinic.engine.connect() as con:
        rows = con.exec_driver_sql("SELECT person_id, person_key FROM etl.person ORDER BY person_id")
        return [(row[0], row[1]) for row in rows]


def test_a_batch_that_was_numbered_is_not_read_again(clinic: Clinic) -> None:
    first = land(clinic, "b", "a")
    assert number(clinic) == 2
    first.unlink()
    land(clinic, "a", "c")
    assert (number(clinic), number(clinic)) == (1, 0)
    assert numbers(clinic) == [(1, "b"), (2, "a"), (3, "c")]


def test_batches_that_a_killed_process_left_are_numbered_in_their_order(clinic: Clinic) -> None:
    for keys in (("b",), ("c", "a"), ("a", "d", "b")):
        land(clinic, *keys)
    assert number(clinic) == 4
    assert numbers(clinic) == [(1, "b"), (2, "c"), (3, "a"), (4, "d")]


def test_another_column_of_persons_is_numbered_too(clinic: Clinic, tmp_path: Path) -> None:
    land(clinic, "a")
    assert number(clinic) == 1
    told = CONTRACT.replace("key: [Id]", "key: [OTHER]").replace("person: Id", "person: OTHER")
    clinic.contract = make_contract(tmp_path, told)
    assert number(clinic) == 1
    assert numbers(clinic) == [(1, "a"), (2, "xa")]
