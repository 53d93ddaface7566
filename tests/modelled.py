"""All SQL models of Synthea over small tables given as Python rows, in one DuckDB: no landing, no PostgreSQL.

    with modeller() as hospital:
        cdm = hospital.model({"landing.patients": [{"id": "p1", …}], …}, ["cdm.person", "cdm.drug_era"])
        cdm["cdm.person"]       # rows as dictionaries

Any relation may be given: source tables (`landing.…`, with their `source_row_id`), vocabulary, or what a model would
otherwise make (`cdm.drug_exposure`, to test eras alone). What is neither given nor made by a model is empty. Only what
`wanted` needs is computed: all models over 20 patients take 0.2 s (planning, hardly more for 200), eras alone 10 ms.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from functools import cache
from typing import Any

import duckdb
import pyarrow as pa

from etl.cdm import Column, quoted, source_models, tables
from etl.config import settings
from etl.engine import duckdb_type, render
from etl.land import landed_columns, load_contract
from etl.pipeline.models import Model, in_order, models, part_numbers
from etl.pipeline.runs import RUN_PARAMETER
from etl.vocabulary import variables

SOURCE = "synthea"
Row = Mapping[str, object]
Tables = Mapping[str, Sequence[Row]]
Found = dict[str, list[dict[str, Any]]]

PARAMETER: dict[str, object] = {
    "source": SOURCE,
    "cutoff_date": date(2024, 12, 31),
    "vocabulary_version": "v5.0",
    "cdm_version": "5.4",
    "code_version": "test",
    "observation_period": "ehr",
    "same_day_outpatient": "separate",
}
STATE_PERSON = (Column("person_id", "integer"), Column("person_key", "varchar"), Column("source_row_id", "bigint"))
# The numbers that etl.pipeline.people gives in PostgreSQL to persons who come for the first time.
FIRST_NUMBERS = """
    SELECT
        CAST(row_number() OVER (ORDER BY source_row_id, person_key) AS INTEGER) AS person_id,
        person_key,
        source_row_id
    FROM (SELECT person_key, min(source_row_id) AS source_row_id FROM source.src_person GROUP BY person_key)
"""


@cache
def declared() -> dict[str, tuple[Column, ...]]:
    """The columns of everything that can be given, by name; those of models without declared columns are not here."""
    contract = load_contract(settings(), SOURCE)
    known = {f"landing.{name}": landed_columns(table) for name, table in contract.tables.items()}
    known |= {f"source.{name}": tuple(columns) for name, columns in source_models().items()}
    for name, table in tables().items():
        known[f"{'vocabulary' if table.schema == 'VOCAB' else 'cdm'}.{name}"] = table.fields
    known["custom.source_to_concept_map"] = tables()["source_to_concept_map"].fields
    return known | {"run.parameter": tuple(RUN_PARAMETER), "state.person": STATE_PERSON}


@cache
def select_of(name: str) -> str:
    """The SELECT of a model, its parts as a union, its names replaced as a run does."""
    named = {"concept": variables(), "part": part_numbers()}
    texts = [render(file.read_text(encoding="utf-8"), named).strip().rstrip(";") for file in all_models()[name].files]
    return "\nUNION ALL\n".join(f"(\n{text}\n)" for text in texts) if len(texts) > 1 else texts[0]


@cache
def all_models() -> dict[str, Model]:
    return models(SOURCE)


@cache
def needed(wanted: frozenset[str], given: frozenset[str]) -> tuple[str, ...]:
    """The relations to fill, each after those it is made of; what is given is taken as it is."""
    known, found, waiting = all_models(), set[str](), set(wanted)
    while waiting:
        name = waiting.pop()
        found.add(name)
        if name == "state.person" and name not in given:
            waiting.add("source.src_person")
        elif name in known and name not in given:
            waiting |= known[name].inputs
        waiting -= found
    made = [model.name for model in in_order([known[name] for name in found - given if name in known])]
    sources = [name for name in made if name.startswith("source.")]
    numbers = sorted({"state.person"} & found - given)
    return (*sorted(found - set(made) - set(numbers)), *sources, *numbers, *(n for n in made if n not in sources))


def cdm_tables() -> tuple[str, ...]:
    """The CDM's tables that have a model."""
    return tuple(name for name in all_models() if name.startswith("cdm."))


class Modeller:
    """One in-memory database that is filled again for each `model`."""

    def __init__(self, con: duckdb.DuckDBPyConnection) -> None:
        self.con = con
        for schema in ("landing", "source", "state", "run", "vocabulary", "custom", "map", "cdm", "account"):
            con.execute(f"CREATE SCHEMA {schema}")
        self.filled: dict[str, Sequence[Row]] = {}
        self.told: dict[str, tuple[Column, ...]] = {}

    def model(self, given: Tables, wanted: Collection[str] | None = None, parameter: Row | None = None) -> Found:
        """The rows of the `wanted` relations (None: all tables of the CDM) over the given ones.

        Values are given as Python values or as their text; columns that a row does not name are NULL. `parameter`
        changes single columns of `run.parameter`.
        """
        unknown = set(given) - set(declared()) - set(all_models())
        assert not unknown, f"no such relation: {', '.join(sorted(unknown))}"
        chosen = tuple(wanted) if wanted is not None else cdm_tables()
        columns = {name: self.columns(name) for name in given}
        for name in needed(frozenset(chosen), frozenset(given)):
            if name == "run.parameter":
                self._fill(name, [PARAMETER | dict(parameter or {})], declared()[name])
            elif name in given:
                self._fill(name, given[name], columns[name])
            elif name == "state.person":
                self._make(name, FIRST_NUMBERS)
            elif name in all_models():
                self._make(name, select_of(name))
            else:
                self._fill(name, (), declared()[name])
        return {name: self.rows(name) for name in chosen}

    def fill(self, name: str, rows: Sequence[Row]) -> None:
        """Put these rows into a declared relation."""
        self._fill(name, rows, declared()[name])

    def rows(self, name: str) -> list[dict[str, Any]]:
        """The rows of a relation that the last `model` filled."""
        found = self.con.execute(f"SELECT * FROM {name}")
        names = [column[0] for column in found.description]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]

    def columns(self, name: str) -> tuple[Column, ...]:
        """The declared columns, or those that the model's SQL gives."""
        if name not in declared():
            if name not in self.told:
                self.model({}, [name])
                described = self.con.execute(f"DESCRIBE {name}").fetchall()
                self.told[name] = tuple(Column(row[0], row[1]) for row in described)
            return self.told[name]
        return declared()[name]

    def _make(self, name: str, select: str) -> None:
        self.filled.pop(name, None)
        self.con.execute(f"CREATE OR REPLACE TABLE {name} AS {select}")

    def _fill(self, name: str, rows: Sequence[Row], columns: Sequence[Column]) -> None:
        """Write these rows, unless the table holds them from before: a tuple cannot have changed."""
        if isinstance(rows, tuple) and self.filled.get(name) is rows:
            return
        strange = {key for row in rows for key in row} - {column.name for column in columns}
        assert not strange, f"{name} has no column {', '.join(sorted(strange))}"
        casts = ", ".join(
            f"CAST({quoted(column.name)} AS {duckdb_type(column.sql_type)}) AS {quoted(column.name)}"
            for column in columns
        )
        text = {column.name: [_text(row.get(column.name)) for row in rows] for column in columns}
        schema = pa.schema([(column.name, pa.string()) for column in columns])
        self.con.register("given_rows", pa.table(text, schema=schema))
        self.con.execute(f"CREATE OR REPLACE TABLE {name} AS SELECT {casts} FROM given_rows")
        self.con.unregister("given_rows")
        self.filled[name] = rows


def _text(value: object) -> str | None:
    return None if value is None else str(value)


@contextmanager
def modeller() -> Iterator[Modeller]:
    """A modeller with a DuckDB of its own, as the engine's: UTC, one thread (small tables gain nothing by more)."""
    con = duckdb.connect(config={"threads": 1, "autoinstall_known_extensions": False})
    try:
        con.execute("SET TimeZone = 'UTC'")
        yield Modeller(con)
    finally:
        con.close()
