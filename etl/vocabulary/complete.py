"""From parsed files to nine tables whose foreign keys all hold."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from etl.cdm import Table, quoted, tables
from etl.engine import connection, empty_relation, quote_path, write_parquet
from etl.errors import ContractError
from etl.vocabulary.bundle import BUNDLE_TABLES, NOTHING_LOADED
from etl.vocabulary.named import NamedConcept, named_concepts

# A row whose concept is not in the bundle says nothing, so it is kept out. Everywhere else an unknown concept
# (a unit, a language, a domain's own concept) becomes 0 and the row stays.
ENDS = {
    "concept_relationship": ("concept_id_1", "concept_id_2"),
    "concept_ancestor": ("ancestor_concept_id", "descendant_concept_id"),
    "concept_synonym": ("concept_id",),
    "drug_strength": ("drug_concept_id", "ingredient_concept_id"),
}
# table, its key, and where that key is used
REFERENCES = {
    "domain": ("domain_id", "concept"),
    "vocabulary": ("vocabulary_id", "concept"),
    "concept_class": ("concept_class_id", "concept"),
    "relationship": ("relationship_id", "concept_relationship"),
}
MISSING_FILE = {
    "concept_ancestor": "there will be no drug eras, no dose eras, and no search by ancestor",
    "concept_synonym": "concepts have no synonyms",
    "drug_strength": "there will be no dose eras",
    "vocabulary": "the vocabulary's version is unknown",
    "domain": "domains have no names of their own",
    "concept_class": "concept classes have no names of their own",
    "relationship": "relationships have no names of their own",
}
NAMES_SHOWN = 8


class _Connection(Protocol):
    def execute(self, query: str, /) -> "_Connection": ...
    def fetchall(self) -> list[tuple[object, ...]]: ...


@dataclass
class Completed:
    """Rows per table, and what had to be done to them."""

    counts: dict[str, int] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def complete(parsed: Mapping[str, Path], output: Path) -> Completed:
    """Write all nine tables to `output`/<table>.parquet with the CDM's columns.

    `parsed` holds the Parquet of the files that the bundle has. Errors: no concept, a concept or a key twice.
    """
    done = Completed()
    done.warnings += [
        f"The bundle has no {table.upper()}.csv: {MISSING_FILE[table]}."
        for table in BUNDLE_TABLES
        if table not in parsed
    ]
    with connection() as con:
        con.execute("SET preserve_insertion_order = false")
        for table in BUNDLE_TABLES:
            rows = f"SELECT * FROM read_parquet({quote_path(parsed[table])})" if table in parsed else None
            con.execute(f"CREATE VIEW parsed_{table} AS {rows or empty_relation(tables()[table].fields)}")
        _check_keys(con)
        _write_concepts(con, output, done)
        for table in BUNDLE_TABLES[1:]:
            _write_table(con, tables()[table], output, done)
    return done


def _check_keys(con: _Connection) -> None:
    if not con.execute("SELECT 1 FROM parsed_concept LIMIT 1").fetchall():
        raise ContractError(
            "CONCEPT.csv holds no concept, only a header.",
            state=NOTHING_LOADED,
            todo="Unpack the whole Athena download and give its folder.",
        )
    for table, key in [("concept", "concept_id"), *((name, key) for name, (key, _) in REFERENCES.items())]:
        twice = con.execute(
            f"SELECT {key} FROM parsed_{table} GROUP BY {key} HAVING count(*) > 1 ORDER BY {key} LIMIT {NAMES_SHOWN}"
        ).fetchall()
        if twice:
            raise ContractError(
                f"{table.upper()}.csv, column {key}: {_shown(str(row[0]) for row in twice)} comes more than once.",
                state=NOTHING_LOADED,
                todo="Two downloads were probably joined: load one Athena bundle.",
            )


def _shown(names: Iterable[str]) -> str:
    listed = list(names)
    more = f" and {len(listed) - NAMES_SHOWN} more" if len(listed) > NAMES_SHOWN else ""
    return ", ".join(listed[:NAMES_SHOWN]) + more


def _write_concepts(con: _Connection, output: Path, done: Completed) -> None:
    """The bundle's concepts, and those that SQL names and the bundle lacks: they must exist to be pointed at."""
    ids = ", ".join(str(concept.concept_id) for concept in named_concepts().values())
    present = {
        row[0] for row in con.execute(f"SELECT concept_id FROM parsed_concept WHERE concept_id IN ({ids})").fetchall()
    }
    added = [concept for concept in named_concepts().values() if concept.concept_id not in present]
    if added:
        names = _shown(f"{concept.concept_id} {concept.concept_name}" for concept in added)
        done.warnings.append(f"The bundle lacks {len(added)} concepts that the SQL names; they were added: {names}.")
    select = " UNION ALL ".join(["SELECT * FROM parsed_concept", *(_as_select(concept) for concept in added)])
    path = output / "concept.parquet"
    done.counts["concept"] = write_parquet(con, select, path)
    con.execute(f"CREATE VIEW concept AS SELECT * FROM read_parquet({quote_path(path)})")


def _as_select(concept: NamedConcept) -> str:
    def text(value: str) -> str:
        return quote_path(value) if value else "NULL"

    texts = (
        concept.concept_name,
        concept.domain_id,
        concept.vocabulary_id,
        concept.concept_class_id,
        concept.standard_concept,
        concept.concept_code,
    )
    listed = ", ".join(text(value) for value in texts)
    return f"SELECT {concept.concept_id}, {listed}, DATE '1970-01-01', DATE '2099-12-31', NULL"


def _write_table(con: _Connection, table: Table, output: Path, done: Completed) -> None:
    ends = ENDS.get(table.name, ())
    softened = [f.name for f in table.fields if f.foreign_table == "concept" and f.name not in ends]
    joins = " ".join(f"SEMI JOIN concept AS end_{n} ON t.{end} = end_{n}.concept_id" for n, end in enumerate(ends))
    columns = ", ".join(_known(name) if name in softened else f"t.{quoted(name)}" for name in table.column_names)
    select = f"SELECT {columns} FROM parsed_{table.name} AS t {joins}"
    if table.name in REFERENCES:
        select = f"{select} UNION ALL {_completing(con, table, done)}"
    done.counts[table.name] = write_parquet(con, select, output / f"{table.name}.parquet")
    if ends:
        kept_out = _count(con, f"parsed_{table.name}") - done.counts[table.name]
        if kept_out:
            done.warnings.append(
                f"{kept_out:,} rows of {table.name.upper()} point to concepts that the bundle lacks: kept out."
            )
    for name in softened:
        unknown = _count(
            con, f"parsed_{table.name} AS t ANTI JOIN concept AS c ON t.{name} = c.concept_id WHERE t.{name} > 0"
        )
        if unknown:
            done.warnings.append(f"{unknown:,} values of {table.name.upper()}.{name} are not in the bundle: set to 0.")


def _known(name: str) -> str:
    """The concept id, 0 when the bundle lacks it, NULL when there was none."""
    return (
        f"CASE WHEN t.{name} IS NULL OR EXISTS (SELECT 1 FROM concept AS c WHERE c.concept_id = t.{name})"
        f" THEN t.{name} ELSE 0 END AS {name}"
    )


def _completing(con: _Connection, table: Table, done: Completed) -> str:
    """A SELECT of the reference rows that are used but missing: their key as name, concept 0."""
    key, used_in = REFERENCES[table.name]
    used_in = "concept" if used_in == "concept" else f"parsed_{used_in}"
    lacking = f"SELECT DISTINCT u.{key} FROM {used_in} AS u ANTI JOIN parsed_{table.name} AS t ON u.{key} = t.{key}"
    names = sorted(str(row[0]) for row in con.execute(lacking).fetchall())
    if names:
        done.warnings.append(
            f"{table.name.upper()}.csv lacks {len(names)} {key}s that are used; they were added: {_shown(names)}."
        )
    values = {
        "vocabulary_reference": "NULL",
        "vocabulary_version": "NULL",
        "is_hierarchical": "'0'",
        "defines_ancestry": "'0'",
    }
    columns = ", ".join(
        "0" if name.endswith("_concept_id") else values.get(name, f"l.{key}") for name in table.column_names
    )
    return f"SELECT {columns} FROM ({lacking}) AS l"


def _count(con: _Connection, relation: str) -> int:
    return int(str(con.execute(f"SELECT count(*) FROM {relation}").fetchall()[0][0]))
