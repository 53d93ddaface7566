"""The candidate's tables as the checks read them: always there, always with the specification's columns and types.

A table without a file is empty, a missing column is NULL, a column of another type is cast where it can be (else NULL).
So one broken column is counted by its own checks and cannot hide what the others would have found.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from etl.cdm import Table, quoted, tables
from etl.engine import duckdb_type, empty_relation, quote_path
from etl.errors import ContractError

# Tables of the CDM that no SQL of ours fills: a release has them, empty.
NEVER_WRITTEN = ("episode", "episode_event", "fact_relationship", "note_nlp", "cohort", "cohort_definition")

# One row per person, with the days between two observation periods as gaps: a join with it never multiplies rows.
# Whoever died without being a person has a row too, in which `is_person` is NULL.
LIFE = """
CREATE TEMP TABLE life AS
SELECT
    coalesce(person.person_id, death.person_id) AS person_id,
    person.is_person,
    person.gender_concept_id,
    person.birth_date,
    person.birth_or_june,
    death.has_died,
    death.death_date,
    observed.observed_from,
    observed.observed_to,
    observed.gaps
FROM (
    SELECT
        person_id,
        true AS is_person,
        min(gender_concept_id) AS gender_concept_id,
        min(coalesce(
            CAST(birth_datetime AS DATE),
            CASE WHEN year_of_birth BETWEEN 1 AND 9999 THEN make_date(year_of_birth, 6, 1) END
        )) AS birth_or_june,
        min(coalesce(
            CAST(birth_datetime AS DATE),
            CASE WHEN year_of_birth BETWEEN 1 AND 9999 THEN
                TRY(make_date(year_of_birth, coalesce(month_of_birth, 1), coalesce(day_of_birth, 1)))
            END
        )) AS birth_date
    FROM cdm.person
    WHERE person_id IS NOT NULL
    GROUP BY person_id
) AS person
FULL JOIN (
    SELECT person_id, true AS has_died, min(death_date) AS death_date
    FROM cdm.death
    WHERE person_id IS NOT NULL
    GROUP BY person_id
) AS death
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


# Tables of the vocabulary that checks of the CDM's tables read.
VOCABULARY = ("concept", "domain", "vocabulary", "concept_ancestor")
INTEGERS = frozenset(
    f"{sign}{size}" for sign in ("", "U") for size in ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT")
)


class Connection(Protocol):
    """What the checks need of a DuckDB connection; `etl.engine` opens it."""

    def execute(self, query: str, /) -> "Connection": ...
    def fetchall(self) -> list[tuple[Any, ...]]: ...


@dataclass(frozen=True)
class Opened:
    """A table's file as found: its columns with DuckDB's types in file order, or None when there is no file.

    `exists` also holds for a table without a file that a release has nevertheless, empty.
    """

    table: Table
    columns: tuple[tuple[str, str], ...] | None
    path: Path | None = None
    exists: bool = True

    @property
    def fields(self) -> tuple[str, ...]:
        """The names of its columns; those of the specification where it exists without a file."""
        if self.columns is None:
            return self.table.column_names if self.exists else ()
        return tuple(name for name, _ in self.columns)

    @property
    def not_integers(self) -> tuple[str, ...]:
        """Columns of the specification, integers there, that the file has in another type."""
        return tuple(
            name for name, found in self.columns or () if name in self.table.column_names and found not in INTEGERS
        )

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


def open_candidate(
    con: Connection,
    cdm: Path,
    vocabulary: Path | None,
    names: Collection[str],
    *,
    empty_tables: Collection[str] = NEVER_WRITTEN,
) -> dict[str, Opened]:
    """Make each named table readable as `cdm.<table>`, the vocabulary's as `vocabulary.<table>`; what was found of it.

    `empty_tables` exist without a file; a vocabulary table without one is empty. Without a `vocabulary` there are only
    the CDM's tables.
    """
    # Every query of a table reads its file's footer otherwise.
    con.execute("SET parquet_metadata_cache = true")
    for schema in ("cdm", "vocabulary"):
        con.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
    wanted = {*names, "cdm_source", "person", "death", "observation_period", *VISIT_COLUMNS}
    opened = {
        name: _open(con, table, cdm / f"{name}.parquet", name in empty_tables)
        for name, table in tables().items()
        if name in wanted and table.schema != "VOCAB"
    }
    if vocabulary is None:
        return opened
    for required in ("concept", "domain"):
        vocabulary_file(vocabulary, required)
    words = {name: tables()[name] for name in {*names, *VOCABULARY} if tables()[name].schema == "VOCAB"}
    return opened | {name: _open(con, table, vocabulary / f"{name}.parquet", True) for name, table in words.items()}


def open_raw(con: Connection, opened: Opened) -> None:
    """Make a table's file readable as it is, as `raw.<table>`."""
    con.execute("CREATE SCHEMA IF NOT EXISTS raw")
    if opened.path:
        file = f"read_parquet({quote_path(opened.path)})"
        con.execute(f"CREATE VIEW IF NOT EXISTS raw.{quoted(opened.table.name)} AS SELECT * FROM {file}")


def relation_of(table: str) -> str:
    """Where an opened table is read from."""
    return f"{'vocabulary' if tables()[table].schema == 'VOCAB' else 'cdm'}.{quoted(table)}"


def _open(con: Connection, table: Table, path: Path, may_lack_file: bool) -> Opened:
    columns = None
    select = empty_relation(table.fields)
    if path.exists():
        file = f"read_parquet({quote_path(path)})"
        described = con.execute(f"DESCRIBE SELECT * FROM {file}").fetchall()
        columns = tuple((str(row[0]), str(row[1])) for row in described)
        found = dict(columns)
        select = f"SELECT {', '.join(_read(field.name, field.sql_type, found) for field in table.fields)} FROM {file}"
    con.execute(f"CREATE VIEW {relation_of(table.name)} AS {select}")
    return Opened(table, columns, path if columns is not None else None, columns is not None or may_lack_file)


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


def make_keys(con: Connection, parents: Collection[str]) -> set[str]:
    """`key_<parent>(key, …)` for each referenced table, without doubles: a join with it never multiplies rows.

    The names of those, and of person and death, that do have doubles.
    """
    doubled = {
        name
        for name in ("person", "death")
        for rows, persons in con.execute(
            f"SELECT count(person_id), count(DISTINCT person_id) FROM cdm.{name}"
        ).fetchall()
        if rows != persons
    }
    for name in sorted(parents):
        parent = tables()[name]
        key = parent.primary_key or parent.fields[0].name
        more = f", {VISIT_COLUMNS[name]}" if name in VISIT_COLUMNS else ""
        con.execute(
            f"CREATE TEMP TABLE key_{name} AS SELECT {quoted(key)} AS key{more} FROM {relation_of(name)} "
            f"WHERE {quoted(key)} IS NOT NULL GROUP BY 1"
        )
    return doubled | {
        name
        for name in sorted(parents)
        if name in VISIT_COLUMNS
        and con.execute(f"SELECT count({name}_id) FROM cdm.{name}").fetchall()
        != con.execute(f"SELECT count(*) FROM key_{name}").fetchall()
    }


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
