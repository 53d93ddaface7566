"""Whom a change of the landed tables concerns, and that the short way for appended tables finds the same."""

from pathlib import Path

import pytest
from landing_helpers import CONTRACT, Clinic, csv, make_contract, rows, stays

from etl.land import current_tables
from etl.land.changes import write_affected_persons


def concerned(clinic: Clinic, before: list[int], after: list[int], arrived: dict[str, list[Path]]) -> list[str]:
    states = [
        current_tables(clinic.settings, clinic.engine, clinic.contract, ids, clinic.root / name)
        for name, ids in (("before", before), ("after", after))
    ]
    output = clinic.root / "person_key.parquet"
    write_affected_persons(clinic.contract, *states, arrived, (), (), output)
    return sorted(key for (key,) in rows(output, "person_key"))


@pytest.mark.parametrize("short_way", [True, False])
def test_who_has_a_row_that_came_or_changed_is_concerned(clinic: Clinic, tmp_path: Path, short_way: bool) -> None:
    clinic.contract = make_contract(tmp_path, CONTRACT.replace("change: snapshot", "change: append"))
    first = clinic.land({"stays.csv": csv(*stays(2), "a,2020-01-01,,p8,1,1,x", "b,2020-01-01,,p9,1,1,x")})
    night = clinic.land({"stays.csv": csv("a,2020-01-01,,p7,1,1,moved", "c,2020-01-01,,p6,1,1,new")})
    arrived = {batch.table: [batch.path] for batch in night.batches} if short_way else {}
    before, after = list(first.batch_ids), [*first.batch_ids, *night.batch_ids]
    assert concerned(clinic, before, after, arrived) == ["p6", "p7", "p8"]


def test_a_snapshot_concerns_who_lost_a_row_too(clinic: Clinic) -> None:
    first = clinic.land(
        {"stays.csv": csv("a,2020-01-01,,p1,1,1,x", "b,2020-01-01,,p2,1,1,x", "c,2020-01-01,,p3,1,1,x")}
    )
    night = clinic.land({"stays.csv": csv("a,2020-01-01,,p1,1,1,x", "c,2020-01-01,,p3,1,1,y")})
    stays_only = [batch.batch_id for batch in (*first.batches, *night.batches) if batch.table == "stays"]
    assert concerned(clinic, stays_only[:1], stays_only, {}) == ["p2", "p3"]
