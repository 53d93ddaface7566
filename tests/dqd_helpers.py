"""Candidates to count DQD's checks on, held as DuckDB tables: the direct SQL reads these, the fused one their Parquet.

`fill` loads Eunomia's CDM, `add_odd_rows` puts in each table rows that break something in every field.
"""

import random
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb

from etl.cdm import Field, Table, quoted, tables
from etl.engine import connection, duckdb_type, empty_relation, quote_path
from etl.quality.candidate import relation_of
from etl.quality.dqd.catalogue import DqdCheck
from etl.quality.dqd.definition import HERE, Places, denominator, violated_count

Direct = dict[str, tuple[int, int] | None]

# Known and standard, unknown, withdrawn, of the gender and unit checks, of other domains.
CONCEPTS = (
    *(0, None, 777, 8507, 8532, 8521, 9201, 32817, 4000001, 4000002, 26662, 26935, 30969, 4090861, 4025213, 193262),
    *(3013682, 3016723, 3023103, 3000963, 8840, 8554, 8876, 1112807, 254761, 4041261, 4250917, 4077750),
)
KNOWN = [
    (0, "Metadata", "Undefined", None, None),
    (8507, "Gender", "Gender", "S", None),
    (8532, "Gender", "Gender", "S", None),
    (9201, "Visit", "Visit", "S", None),
    (32817, "Type Concept", "Type Concept", "S", None),
    (4000001, "Condition", "Clinical Finding", None, None),
    (4000002, "Drug", "Ingredient", "S", "D"),
    (254761, "Condition", "Clinical Finding", "S", None),
    (193262, "Condition", "Clinical Finding", "C", None),
    (1112807, "Drug", "Ingredient", "S", None),
    (8840, "Unit", "Unit", "S", None),
]
# (ancestor, descendant): one concept below two ancestors of the same list counts twice.
ANCESTORS = [(4090861, 193262), (4025213, 193262), (4041261, 4041261), (4250917, 26662), (4077750, 26662)]
DATES = (
    None,
    "1890-05-01",
    "1949-12-31",
    "1985-06-01",
    "2019-12-31",
    "2020-01-01",
    "2020-03-08",
    "2020-06-01",
    "2999-01-01",
)
NUMBERS = (None, -3, 0, 1, 6, 24, 25, 31, 365, 366, 1985, 2020, 2999)
TEXTS = (None, "", "a", "b", "R05")


@contextmanager
def candidate() -> Iterator[duckdb.DuckDBPyConnection]:
    """All tables of the CDM, empty, in the schemas cdm and vocabulary."""
    with connection(2) as con:
        for schema in ("cdm", "vocabulary"):
            con.execute(f"CREATE SCHEMA {schema}")
        for name, table in tables().items():
            con.execute(f"CREATE TABLE {relation_of(name)} AS {empty_relation(table.fields)}")
        yield con


def fill(con: duckdb.DuckDBPyConnection, source: Path) -> None:
    """Eunomia's CDM, whose files and headers are in capitals; CONCEPT_RELATIONSHIP is left out."""
    for name, table in tables().items():
        files = sorted(source.glob(f"{name.upper()}.csv*"))
        if not files or name == "concept_relationship":
            continue
        read = f"read_csv({quote_path(files[0])}, all_varchar = true, header = true)"
        found = {row[0].lower() for row in con.execute(f"DESCRIBE SELECT * FROM {read}").fetchall()}
        values = ", ".join(
            f"TRY_CAST({quoted(f.name) if f.name in found else 'NULL'} AS {duckdb_type(f.sql_type)})"
            for f in table.fields
        )
        con.execute(f"INSERT INTO {relation_of(name)} SELECT {values} FROM {read}")


def add_vocabulary(con: duckdb.DuckDBPyConnection) -> None:
    """The concepts above, where the vocabulary does not have them, and all their domains and ancestors."""
    columns = "concept_id, domain_id, concept_class_id, standard_concept, invalid_reason"
    con.execute("DELETE FROM vocabulary.concept WHERE concept_id IN (SELECT unnest(?))", [[one[0] for one in KNOWN]])
    con.executemany(f"INSERT INTO vocabulary.concept ({columns}) VALUES (?, ?, ?, ?, ?)", KNOWN)
    con.execute("INSERT INTO vocabulary.domain (domain_id) SELECT DISTINCT domain_id FROM vocabulary.concept")
    con.executemany(
        "INSERT INTO vocabulary.concept_ancestor (ancestor_concept_id, descendant_concept_id) VALUES (?, ?)", ANCESTORS
    )


def add_odd_rows(con: duckdb.DuckDBPyConnection, seed: int, rows: int, *, doubled: bool = False) -> None:
    """`rows` random rows in each table, most of them at odds with something.

    Persons, deaths and visits stay unique by key unless `doubled`: with doubles, a joined row counts several times.
    """
    chance = random.Random(seed)
    for name, table in tables().items():
        if table.schema == "VOCAB" and name not in ("drug_strength", "source_to_concept_map"):
            continue
        values = [[_value(field, table, chance) for field in table.fields] for _ in range(rows)]
        if not doubled and name in ("person", "death", "visit_occurrence"):
            for number, row in enumerate(values):
                row[0] = 100 + number if name != "death" else 105 + number
        marks = ", ".join("?" for _ in table.fields)
        con.executemany(f"INSERT INTO {relation_of(name)} VALUES ({marks})", values)


def _value(field: Field, table: Table, chance: random.Random) -> Any:
    if field.sql_type in ("date", "timestamp"):
        return chance.choice(DATES)
    if "concept_id" in field.name:
        return chance.choice(CONCEPTS)
    if field.name == table.primary_key or field.name.endswith("_id") or field.name.startswith("fact_id"):
        # Domains and vocabularies have ids that are texts.
        return chance.choice(TEXTS) if "char" in field.sql_type else chance.choice((None, *range(100, 120)))
    if "char" in field.sql_type or field.sql_type == "text":
        return chance.choice(TEXTS)
    return chance.choice(NUMBERS)


def write_candidate(con: duckdb.DuckDBPyConnection, folder: Path, lost: Collection[str] = ()) -> tuple[Path, Path]:
    """Every table but the lost ones as Parquet; the run's folder and the vocabulary's."""
    for name, table in tables().items():
        if name in lost:
            continue
        place = folder / ("vocabulary" if table.schema == "VOCAB" else "run/cdm")
        place.mkdir(parents=True, exist_ok=True)
        con.execute(f"COPY {relation_of(name)} TO {quote_path(place / f'{name}.parquet')} (FORMAT parquet)")
    return folder / "run", folder / "vocabulary"


def count_directly(con: duckdb.DuckDBPyConnection, checks: Sequence[DqdCheck], places: Places = HERE) -> Direct:
    """Violated rows and denominator of each check by its own SQL, None where the database refuses it."""
    found: Direct = {}
    for check in checks:
        both = f"SELECT ({violated_count(check, places)}), ({denominator(check, places)})"
        try:
            ((violated, rows),) = con.execute(both).fetchall()
        except (duckdb.CatalogException, duckdb.BinderException):
            found[check.check_id] = None
        else:
            found[check.check_id] = (int(violated), int(rows))
    return found
