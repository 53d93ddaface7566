"""Which of a source's codes mean something else under another vocabulary or other maps, and whose codes they are.

Every source model is a view over the landed files, so only the columns with codes are read: no row is built for it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from etl import vocabulary
from etl.cdm import source_models, tables
from etl.engine import attach, define_model
from etl.pipeline.models import Model, in_order, models, part_numbers

Files = Mapping[str, Sequence[Path]]

# SQL files that read the vocabulary's tables: what they look at is what `_make_facts` compares. The last is a report.
READERS = ("map.map_source_code", "map.visit_kind", "cdm.drug_era", "cdm.dose_era", "account.mapping_coverage")


@dataclass(frozen=True)
class Meaning:
    """What gives codes their meaning: the folder of a vocabulary's tables, and the custom maps before it."""

    vocabulary: Path
    custom: Path


@dataclass(frozen=True)
class ChangedCodes:
    """How many codes mean something else, and how many concepts that the SQL names itself are described otherwise."""

    codes: int
    named_concepts: int


def compare_codes(
    con: Any, source: str, landed: Files, parameter: Path, before: Meaning, after: Meaning
) -> ChangedCodes:
    """Compare what all codes of the landed rows mean; leaves these tables in the connection.

    `meaning.before`, `meaning.after`: rows of map.map_source_code. `meaning.changed_concept`: concepts in use of which
    the versions tell different things that rows or checks depend on. `meaning.changed_code` (source_vocabulary,
    source_code): codes with other map rows, or with such a concept.
    """
    read_codes(con, source, landed, parameter)
    con.execute("CREATE SCHEMA IF NOT EXISTS meaning")
    for side, meaning in (("before", before), ("after", after)):
        _make_meaning(con, source, meaning, side)
    named = ", ".join(str(number) for number in vocabulary.variables().values())
    con.execute(
        "CREATE TABLE meaning.used AS "
        + " UNION ".join(
            f"SELECT {column} AS concept_id FROM meaning.{side}"
            for side in ("before", "after")
            for column in ("source_concept_id", "target_concept_id", "value_as_concept_id")
        )
        + f" UNION SELECT unnest([{named}])"
    )
    for side, meaning in (("before", before), ("after", after)):
        _make_facts(con, meaning, side, named)
    con.execute(f"CREATE TABLE meaning.changed_concept AS SELECT DISTINCT concept_id FROM ({_differing('fact_')})")
    con.execute(
        f"""
        CREATE TABLE meaning.changed_code AS
        SELECT DISTINCT source_vocabulary, source_code FROM ({_differing("")})
        UNION
        SELECT code.source_vocabulary, code.source_code
        FROM (SELECT * FROM meaning.before UNION ALL SELECT * FROM meaning.after) AS code
        JOIN meaning.changed_concept AS concept
            ON concept.concept_id IN (code.source_concept_id, code.target_concept_id, code.value_as_concept_id)
        """
    )
    counted = con.execute(
        "SELECT (SELECT count(*) FROM meaning.changed_code), "
        f"(SELECT count(*) FROM meaning.changed_concept WHERE concept_id IN ({named}))"
    ).fetchone()
    return ChangedCodes(*counted)


def persons_of_changed_codes(con: Any, source: str) -> list[str]:
    """The keys of all persons with a row that holds a changed code, after `compare_codes`."""
    uses = " UNION ALL ".join(
        f"SELECT person_key, {vocabulary_column} AS source_vocabulary, {code_column} AS source_code FROM source.{model}"
        for model, vocabulary_column, code_column in code_columns(source)
        if any(column.name == "person_key" for column in source_models()[model])
    )
    changed = f"FROM ({uses}) SEMI JOIN meaning.changed_code USING (source_vocabulary, source_code)"
    rows = con.execute(f"SELECT DISTINCT person_key {changed}").fetchall()
    return [key for (key,) in rows if key is not None]


def code_columns(source: str) -> list[tuple[str, str, str]]:
    """Every pair of columns with a code of a source row: source model, column of its vocabulary, column of the code."""
    known = models(source)
    return [
        (model, f"{role}_vocabulary", f"{role}_code")
        for model, columns in source_models().items()
        if f"source.{model}" in known and any(column.name == "source_row_id" for column in columns)
        for role in (
            column.name.removesuffix("_vocabulary") for column in columns if column.name.endswith("_vocabulary")
        )
    ]


def read_codes(con: Any, source: str, landed: Files, parameter: Path) -> None:
    """Make the source models readable, and `map.source_code` as a table."""
    known = models(source)
    own = in_order([model for model in known.values() if model.stage == "2_source"])
    inputs: dict[str, Sequence[Path]] = {f"landing.{name}": paths for name, paths in landed.items()}
    inputs["run.parameter"] = [parameter]
    for model in own:
        _define(con, model, inputs)
    missing = [name for name in known["map.source_code"].inputs if name not in known]
    for name in missing:
        schema, table = name.split(".")
        columns = ", ".join(f"CAST(NULL AS VARCHAR) AS {column.name}" for column in source_models()[table])
        con.execute(f"CREATE OR REPLACE VIEW {schema}.{table} AS SELECT {columns} WHERE FALSE")
    _define(con, known["map.source_code"], inputs)
    con.execute("CREATE TABLE map.codes AS SELECT * FROM map.source_code")
    con.execute("CREATE OR REPLACE VIEW map.source_code AS SELECT * FROM map.codes")


def _make_meaning(con: Any, source: str, meaning: Meaning, side: str) -> None:
    """What every code means: `meaning.<side>`."""
    inputs = {"custom.source_to_concept_map": [meaning.custom]}
    for name, table in tables().items():
        if table.schema == "VOCAB":
            inputs[f"vocabulary.{name}"] = [meaning.vocabulary / f"{name}.parquet"]
    _define(con, models(source)["map.map_source_code"], inputs)
    con.execute(f"CREATE TABLE meaning.{side} AS SELECT * FROM map.map_source_code")


def _make_facts(con: Any, meaning: Meaning, side: str, named: str) -> None:
    """What rows or checks depend on, of each concept in use: `meaning.fact_<side>` (concept_id, fact).

    What it is; the ingredients that eras are made of, and the kinds of visits, that it is a descendant of; strengths.
    """
    for name in ("concept", "concept_ancestor", "drug_strength"):
        attach(con, f"vocabulary.{name}", [meaning.vocabulary / f"{name}.parquet"])
    told = "concat_ws('|', {0}.vocabulary_id, {0}.concept_code, {0}.domain_id, {0}.concept_class_id, " \
           "coalesce({0}.standard_concept, '-'), coalesce({0}.invalid_reason, '-'))"  # fmt: skip
    strength = ", ".join(
        f"coalesce(CAST(strength.{field.name} AS VARCHAR), '-')" for field in tables()["drug_strength"].fields
    )
    con.execute(
        f"""
        CREATE TABLE meaning.fact_{side} AS
        SELECT concept.concept_id, {told.format("concept")} AS fact
        FROM vocabulary.concept AS concept SEMI JOIN meaning.used AS used ON concept.concept_id = used.concept_id
        UNION ALL
        SELECT ancestor.descendant_concept_id, concat_ws('|', 'below', above.concept_id, {told.format("above")})
        FROM vocabulary.concept_ancestor AS ancestor
        SEMI JOIN meaning.used AS used ON ancestor.descendant_concept_id = used.concept_id
        JOIN vocabulary.concept AS above ON ancestor.ancestor_concept_id = above.concept_id
        WHERE above.concept_class_id = 'Ingredient' OR above.concept_id IN ({named})
        UNION ALL
        SELECT strength.drug_concept_id, concat_ws('|', 'strength', {strength})
        FROM vocabulary.drug_strength AS strength
        SEMI JOIN meaning.used AS used ON strength.drug_concept_id = used.concept_id
        """
    )


def _differing(table: str) -> str:
    """Rows that only one side has."""
    before, after = f"meaning.{table}before", f"meaning.{table}after"
    return (
        f"(SELECT * FROM {before} EXCEPT ALL SELECT * FROM {after}) UNION ALL "
        f"(SELECT * FROM {after} EXCEPT ALL SELECT * FROM {before})"
    )


def _define(con: Any, model: Model, inputs: Mapping[str, Sequence[Path]]) -> None:
    names = {"concept": vocabulary.variables(), "part": part_numbers()}
    define_model(con, model.name, [file.read_text(encoding="utf-8") for file in model.files], inputs, names)
