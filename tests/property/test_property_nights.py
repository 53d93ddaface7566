"""The law: after any nights, the CDM equals a full rebuild. Here in memory; through PostgreSQL in tests/integration.

A night changes rows of the landed tables. The persons whom that concerns are found as a run finds them, the models run
over what is narrowed to them, and their rows take the place of their old ones.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest
from examples import examples
from hospitals import CUTOFF, Hospital, Row, hospitals
from hypothesis import given
from hypothesis import strategies as st
from modelled import SOURCE, Found, Modeller, cdm_tables, declared
from tiny_vocabulary import VOCABULARY

from etl.cdm import tables
from etl.config import settings
from etl.land import load_contract
from etl.land.changes import write_affected_persons, write_rows_of
from etl.pipeline.scope import CUTOFF_PERSONS, DATES, ENDS, in_place_tables, narrowed_tables
from etl.publish import IN_PLACE
from etl.publish.delta import of_scope

pytestmark = pytest.mark.property

CONTRACT = load_contract(settings(), SOURCE)
Numbers = dict[str, int]


class Night:
    """A hospital as it was after a night: its rows, its cut-off, its CDM, and the numbers given so far."""

    def __init__(self, rows: Hospital, cutoff: Any, cdm: Found, numbers: Numbers, next_row: int) -> None:
        self.rows, self.cutoff, self.cdm, self.numbers, self.next_row = rows, cutoff, cdm, numbers, next_row


def numbered_persons(known: Numbers, rows: Hospital) -> Numbers:
    """Who has arrived gets the next number, in the order of arrival, and keeps it."""
    found = dict(known)
    for row in sorted(rows["landing.patients"], key=lambda row: row["source_row_id"]):
        found.setdefault(row["id"], len(found) + 1)
    return found


def build(models: Modeller, rows: Hospital, cutoff: Any, numbers: Numbers) -> Found:
    state = [{"person_id": number, "person_key": key, "source_row_id": number} for key, number in numbers.items()]
    return models.model(VOCABULARY | rows | {"state.person": state}, cdm_tables(), {"cutoff_date": cutoff})


def write(rows: Hospital, folder: Path) -> dict[str, list[Path]]:
    """The landed tables as Parquet files with the contract's columns, all as text but the row's number."""
    folder.mkdir(parents=True)
    files = {}
    for name in CONTRACT.tables:
        columns = [column.name for column in declared()[f"landing.{name}"]]
        given = rows.get(f"landing.{name}", [])
        data = {
            column: [None if row.get(column) is None else str(row[column]) for row in given]
            if column != "source_row_id"
            else [row["source_row_id"] for row in given]
            for column in columns
        }
        types = [(column, pa.int64() if column == "source_row_id" else pa.string()) for column in columns]
        path = folder / f"{name}.parquet"
        pyarrow.parquet.write_table(pa.table(data, schema=pa.schema(types)), path)
        files[name] = [path]
    return files


def hanging(models: Modeller, before: Night, cutoff: Any) -> list[str]:
    """What `etl.pipeline.scope` asks the published CDM, asked of the CDM in memory."""
    if before.cutoff == cutoff:
        return []
    models.con.execute("CREATE SCHEMA IF NOT EXISTS etl")
    models.con.execute("CREATE OR REPLACE TABLE etl.person (person_id INTEGER, person_key VARCHAR, source VARCHAR)")
    models.con.executemany(
        "INSERT INTO etl.person VALUES (?, ?, 'synthea')",
        [[number, key] for key, number in before.numbers.items()] or [[0, ""]],
    )
    for name, _ in (*ENDS, *DATES):
        models.fill(f"cdm.{name}", before.cdm.get(f"cdm.{name}", []))
    found: set[str] = set()
    for statement in CUTOFF_PERSONS:
        sql = statement.replace(":day", f"DATE '{min(before.cutoff, cutoff)}'").replace(":source", "'synthea'")
        found |= {key for (key,) in models.con.execute(sql).fetchall()}
    return sorted(found)


def in_place(models: Modeller, before: Night, after: Found, persons: set[int]) -> Found:
    """Take out the rows of these persons and put in those of the new candidate, as a delta does."""
    found = {}
    for name, rows in before.cdm.items():
        table = tables()[name.removeprefix("cdm.")]
        if table.name in IN_PLACE:
            found[name] = after[name]
        elif table.name == "cost":
            gone = costs_of(models, before.cdm, persons)
            found[name] = [row for row in rows if row["cost_id"] not in gone] + after[name]
        else:
            kept = [row for row in rows if row["person_id"] not in persons]
            found[name] = kept + [row for row in after[name] if row["person_id"] in persons]
    return found


def costs_of(models: Modeller, cdm: Found, persons: set[int]) -> set[int]:
    """The costs that `of_scope` takes for those of these persons."""
    for name, rows in cdm.items():
        models.fill(name, rows)
    for table in tables().values():
        if table.schema == "CDM" and f"cdm.{table.name}" not in cdm:
            models.fill(f"cdm.{table.name}", [])
    models.con.execute("CREATE OR REPLACE TABLE cdm.scope (person_id INTEGER)")
    models.con.executemany("INSERT INTO cdm.scope VALUES (?)", [[person] for person in persons] or [[-1]])
    chosen = of_scope(tables()["cost"], "cdm", "cdm.scope")
    return {row[0] for row in models.con.execute(f"SELECT cost_id FROM cdm.cost AS here WHERE {chosen}").fetchall()}


def next_night(models: Modeller, before: Night, rows: Hospital, cutoff: Any, next_row: int, folder: Path) -> Night:
    numbers = numbered_persons(before.numbers, rows)
    old, new = write(before.rows, folder / "before"), write(rows, folder / "after")
    new = {
        name: old[name] if before.rows.get(f"landing.{name}") == rows.get(f"landing.{name}") else new[name]
        for name in new
    }
    affected = folder / "person_key.parquet"
    found = write_affected_persons(
        CONTRACT, old, new, {}, in_place_tables(SOURCE), hanging(models, before, cutoff), affected
    )
    assert found is not None
    keys = {row["person_key"] for row in pyarrow.parquet.read_table(affected).to_pylist()}
    narrowed = dict(rows)
    for name, [path] in write_rows_of(narrowed_tables(CONTRACT), new, affected, folder / "narrowed").items():
        kept = {row["source_row_id"] for row in pyarrow.parquet.read_table(path).to_pylist()}
        narrowed[f"landing.{name}"] = [row for row in rows.get(f"landing.{name}", []) if row["source_row_id"] in kept]
    candidate = build(models, narrowed, cutoff, numbers)
    persons = {numbers[key] for key in keys if key in numbers}
    return Night(rows, cutoff, in_place(models, before, candidate, persons), numbers, next_row)


def contents(rows: list[Row]) -> Counter[tuple[Any, ...]]:
    return Counter(tuple(row.values()) for row in rows)


@st.composite
def changes(draw: Callable[..., Any], now: Mapping[str, list[Row]], other: Hospital, next_row: int) -> Any:
    """Rows removed, corrected and come late, in any table: what is new comes from another random hospital."""
    rows = {name: list(found) for name, found in now.items()}
    for _ in range(draw(st.integers(1, 4))):
        table = draw(st.sampled_from(sorted(rows)))
        kind = draw(st.sampled_from(("delete", "correct", "come", "come", "move", "rename")))
        key = CONTRACT.tables[table.removeprefix("landing.")].key
        here, there = rows[table], other.get(table, [])
        if kind == "delete" and here:
            here.pop(draw(st.integers(0, len(here) - 1)))
        elif kind == "move" and here and "patient" in here[0]:
            place = draw(st.integers(0, len(here) - 1))
            somebody = draw(st.sampled_from([row["id"] for row in rows["landing.patients"]] or ["ghost"]))
            here[place], next_row = changed(table, here[place], here[place] | {"patient": somebody}, next_row)
        elif kind == "rename" and here and "name" in here[0]:
            place = draw(st.integers(0, len(here) - 1))
            here[place] = here[place] | {"name": draw(st.sampled_from(("Renamed", "NO_INSURANCE")))}
        elif kind == "correct" and here and there:
            place, source = draw(st.integers(0, len(here) - 1)), draw(st.sampled_from(there))
            kept = {name: here[place][name] for name in (*key, "source_row_id") if name in here[place]}
            here[place], next_row = changed(table, here[place], source | kept, next_row)
        elif kind == "come" and there:
            row = draw(st.sampled_from(there))
            if not key or [row.get(name) for name in key] not in [[known.get(name) for name in key] for known in here]:
                here.append(row | {"source_row_id": next_row})
                next_row += 1
    return rows, next_row


def changed(table: str, old: Row, new: Row, next_row: int) -> tuple[Row, int]:
    """A row with a key keeps its number; of a table without one, another content is another row."""
    if CONTRACT.tables[table.removeprefix("landing.")].key or old == new:
        return new, next_row
    return new | {"source_row_id": next_row}, next_row + 1


@st.composite
def merging(draw: Callable[..., Any], hospital: st.SearchStrategy[Hospital]) -> Hospital:
    """A hospital in which some patients turned out to be others: chains, circles and unknown ones too."""
    rows: Hospital = draw(hospital)
    keys = st.sampled_from([*(row["id"] for row in rows["landing.patients"]), "p0", "p1", "ghost"])
    pairs = draw(st.lists(st.tuples(keys, keys), max_size=3, unique_by=lambda pair: pair[0]))
    merges = [
        {"source_row_id": number, "old_id": old, "surviving_id": new, "merged_on": None}
        for number, (old, new) in enumerate(pairs, 1)
    ]
    return rows | {"landing.patient_merges": merges}


@examples(0.84)
@given(data=st.data(), first=merging(hospitals()), other=merging(hospitals(persons=6)))
def test_nights_give_what_a_full_rebuild_gives(
    models: Modeller, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, first: Hospital, other: Hospital
) -> None:
    numbers = numbered_persons({}, first)
    night = Night(first, CUTOFF, build(models, first, CUTOFF, numbers), numbers, 1_000)
    for _ in range(data.draw(st.integers(1, 3))):
        rows, next_row = data.draw(changes(night.rows, other, night.next_row))
        cutoff = night.cutoff + timedelta(days=data.draw(st.sampled_from((0, 1, 30, -1, -400))))
        night = next_night(models, night, rows, cutoff, next_row, tmp_path_factory.mktemp("night"))
    rebuilt = build(models, night.rows, night.cutoff, night.numbers)
    for table in rebuilt:
        assert contents(night.cdm[table]) == contents(rebuilt[table]), table
