"""Every id is unique and says where its row comes from; every landed row is used, excluded by name or missing."""

from collections import Counter, defaultdict

import pytest
from examples import examples
from hospitals import CUTOFF, Hospital, hospitals
from hypothesis import given
from modelled import Modeller, cdm_tables
from tiny_vocabulary import VOCABULARY

from etl.cdm import tables
from etl.pipeline.models import source_parts

pytestmark = pytest.mark.property

DERIVED = ("observation_period", "condition_era", "drug_era", "dose_era")
NOT_BY_ROW = {"person", "death", "cdm_source", "metadata", *DERIVED}


def id_of(table: str) -> str:
    return f"{table}_id"


@examples(0.5)
@given(hospital=hospitals())
def test_ids_are_unique_and_decode_to_a_landed_row(models: Modeller, hospital: Hospital) -> None:
    found = models.model(VOCABULARY | hospital, parameter={"cutoff_date": CUTOFF})
    landed = {
        (number, row["source_row_id"])
        for number, part in source_parts().items()
        for row in hospital.get(f"landing.{part['table']}", [])
    }
    persons = {row["person_id"] for row in found["cdm.person"]}
    for name, rows in found.items():
        table = name.split(".")[1]
        if id_of(table) not in {field.name for field in tables()[table].fields}:
            continue
        ids = [row[id_of(table)] for row in rows]
        assert len(set(ids)) == len(ids), table
        if table in DERIVED:
            assert {number // 1_000_000 for number in ids} <= persons, table
        elif table not in NOT_BY_ROW:
            assert {(number // 100 % 1000, number // 100_000) for number in ids} <= landed, table


@examples(0.5)
@given(hospital=hospitals())
def test_the_ledger_adds_up_for_any_hospital(models: Modeller, hospital: Hospital) -> None:
    ledger = models.model(VOCABULARY | hospital, ["account.row_account"], {"cutoff_date": CUTOFF})
    totals: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for line in ledger["account.row_account"]:
        totals[line["table_name"]][line["kind"]] += line["rows"]
    for table, total in totals.items():
        assert total["landed"] == len(hospital.get(f"landing.{table}", [])), table
        assert total["unaccounted"] == 0, (table, dict(total))
        assert total["not_landed"] == 0, table
        assert total["landed"] == total["used"] + total["excluded"] + total.get("merged", 0), (table, dict(total))


def test_every_table_with_an_id_is_looked_at() -> None:
    made = {name.split(".")[1] for name in cdm_tables()}
    assert made >= NOT_BY_ROW
