"""The candidate's tables as the checks read them: always there, always with the specification's columns and types.

A table without a file is empty, a missing column is NULL, a column of another type is cast where it can be (else NULL).
So one broken column is counted by its own checks and cannot hide what the others would have found.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from etl.cdm import Table, quoted, tables
from etl.engine import duckdb_type, empty_relation, quote_path
from etl.errors import ContractError

# One row per person, with the days between two observation periods as gaps: a join with it never multiplies rows.
LIFE = """
CREATE TEMP TABLE life AS
SELECT
    person.person_id, person.birth_date, death.death_date, observed.observed_from, observed.observed_to, observed.gaps
FROM (
    SELECT
        person_id,
        min(coalesce(
            CAST(birth_datetime AS DATE),
            TRY(make_date(year_of_birth, coalesce(month_of_birth, 1), coalesce(day_of_birth, 1)))
        )) AS birth_date
    FROM cdm.person
    WHERE person_id IS NOT NULL
    GROUP BY person_id
) AS person
LEFT JOIN (SELECT person_id, min(death_date) AS death_date FROM cdm.death GROUP BY person_id) AS death
    ON person.person_id = death.person_id
LEFT JOIN (
    SELECT
        person_id,
        min(starts) AS observed_from,
        max(ends) AS observed_to,
        list({'after': ended, 'before': starts}) FILTER (WHERE starts > ended + 1) AS gaps
    FROM (
        SELECT
            person_id,
            observation_period_start_date AS starts,
            observation_period_end_date AS ends,
            max(observation_period_end_date) OVER (
                PARTITION BY person_id ORDER BY observation_period_start_date, observation_period_end_date
                ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
            ) AS ended
        FROM cdm.observation_period
    )
    GROUP BY person_id
) AS observed
    ON person.person_id = observed.person_id
"""
# What else a child's checks ask of its visit.
VISIT_COLUMNS = {
    name: f"min(person_id) AS person_id, min({prefix}_start_date) AS start_date, max({prefix}_end_date) AS end_date"
    for name, prefix in (("visit_occurrence", "visit"), ("visit_detail", "visit_detail"))
}


class Connection(Protocol):
    """What the checks need of a DuckDB connection; `etl.engine` opens it."""

    def execute(self, query: str, /) -> "Connection": ...
    def fetchall(self) -> list[tuple[Any, ...]]: ...


@dataclass(frozen=True)
class Opened:
    """A table's file as found: its columns with DuckDB's types in file order, or None when there is no file."""

    table: Table
    columns: tuple[tuple[str, str], ...] | None

    @property
    def wrong_columns(self) -> int:
        """Positions where the file's column is not the specification's, by name."""
        if self.columns is None:
            return 0
        found, wanted = [name for name, _ in self.columns], list(self.table.column_names)
        longer = max(len(found), len(wanted))
        padded = zip(found + [""] * (longer - len(found)), wanted + [""] * (longer - len(wanted)), strict=True)
        return sum(have != want for have, want in padded)

    @property
    def wrong_types(self) -> int:
        """Columns of the specification that the file has in another type."""
        found = dict(self.columns or ())
        return sum(
            field.name in found and found[field.name] != duckdb_type(field.sql_type) for field in self.table.fields
        )


def open_candidate(con: Connection, cdm: Path, names: Mapping[str, object]) -> dict[str, Opened]:
    """Make each named table readable as `cdm.<table>`; what was found of it."""
    con.execute("CREATE SCHEMA IF NOT EXISTS cdm")
    wanted = {*names, "person", "death", "observation_period", *VISIT_COLUMNS}
    return {name: _open(con, table, cdm / f"{name}.parquet") for name, table in tables().items() if name in wanted}


def _open(con: Connection, table: Table, path: Path) -> Opened:
    columns = None
    select = empty_relation(table.fields)
    if path.exists():
        described = con.execute(f"DESCRIBE SELECT * FROM read_parquet({quote_path(path)})").fetchall()
        columns = tuple((str(row[0]), str(row[1])) for row in described)
        found = dict(columns)
        select = f"SELECT {', '.join(_read(field.name, field.sql_type, found) for field in table.fields)}"
        select += f" FROM read_parquet({quote_path(path)})"
    con.execute(f"CREATE VIEW cdm.{quoted(table.name)} AS {select}")
    return Opened(table, columns)


def _read(name: str, sql_type: str, found: Mapping[str, str]) -> str:
    wanted = duckdb_type(sql_type)
    if name not in found:
        return f"CAST(NULL AS {wanted}) AS {quoted(name)}"
    if found[name] != wanted:
        return f"TRY_CAST({quoted(name)} AS {wanted}) AS {quoted(name)}"
    return quoted(name)


def make_life(con: Connection) -> None:
    """`life`: a person's birth (the year's first day where only that is known), death and observed time."""
    con.execute(LIFE)


def make_keys(con: Connection, parents: set[str], vocabulary: Path) -> None:
    """`key_<parent>(key, …)` for each referenced table, without doubles: a join with it never multiplies rows."""
    for name in sorted(parents):
        parent = tables()[name]
        key = quoted(parent.primary_key or parent.fields[0].name)
        relation = f"cdm.{quoted(name)}"
        if parent.schema == "VOCAB":
            relation = f"read_parquet({quote_path(vocabulary_file(vocabulary, name))})"
        more = f", {VISIT_COLUMNS[name]}" if name in VISIT_COLUMNS else ""
        con.execute(
            f"CREATE TEMP TABLE key_{name} AS "
            f"SELECT {key} AS key{more} FROM {relation} WHERE {key} IS NOT NULL GROUP BY 1"
        )


def vocabulary_file(directory: Path, name: str) -> Path:
    """The Parquet of a vocabulary table; ContractError when there is none."""
    path = directory / f"{name}.parquet"
    if not path.exists():
        raise ContractError(
            f"The vocabulary {directory.name} has no {name}.parquet, so concepts cannot be checked.",
            state="Nothing was checked, so nothing is published.",
            todo="Load the vocabulary again.",
        )
    return path
