"""A vocabulary refresh: a version is loaded and looked at; a run of its own adopts it (`open_run(vocabulary_id=…)`)."""

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy

from etl import publish, state, vocabulary
from etl.cdm import source_models
from etl.config import settings
from etl.engine import attach, connection
from etl.errors import UsageError
from etl.pipeline.code_changes import Meaning, code_columns, compare_codes
from etl.pipeline.runs import Run, current_run, database, engine, kept_state, load_run, vocabulary_folder

Progress = Callable[[str], None]

EVENT_CODE = ("src_event", "source_code")
CODES_TOLD = 20
CSV_HEADER = (
    "source_vocabulary", "source_code", "rows", "persons", "concepts_before", "concepts_after", "rows_moving",
)  # fmt: skip


@dataclass(frozen=True)
class Version:
    """A loaded vocabulary. `is_current`: a served release has it; `is_in_database`: its tables are in PostgreSQL."""

    vocabulary_id: int
    version: str
    loaded_at: Any
    concepts: int
    warnings: tuple[str, ...]
    is_current: bool
    is_in_database: bool


@dataclass(frozen=True)
class CodeChange:
    """A code that means something else: `before` and `after` are concepts with name and domain, `; ` between them.

    `rows_moving`: events that go to another table; unmapped ones are in that of their origin.
    """

    vocabulary: str
    code: str
    rows: int
    persons: int
    before: str
    after: str
    rows_moving: int


@dataclass(frozen=True)
class EndedConcept:
    """A concept in use that the new version ends: how, and how many rows have it by their code."""

    concept_id: int
    name: str
    how: str
    rows: int


@dataclass(frozen=True)
class Coverage:
    """Rows and codes that are used, and how many of them mean a standard concept before and after."""

    total: int
    before: int
    after: int


@dataclass(frozen=True)
class Preview:
    """What adopting a version would change. `persons` and `rows` hold a changed code; `rows_moving` change their table.

    `concerns_everybody`: it describes a concept anew that the SQL names, so everybody would be made again.
    """

    before: Version
    after: Version
    codes: tuple[CodeChange, ...]
    persons: int
    rows: int
    rows_moving: int
    coverage_rows: Coverage
    coverage_codes: Coverage
    ended: tuple[EndedConcept, ...]
    concerns_everybody: bool


def load_version(bundle: Path, progress: Progress | None = None) -> Version:
    """Load a bundle into the lake and the database; no release uses it yet. The same content again is the same version.

    Errors: ContractError for a broken bundle; Locked while a publish is under way (the lake has it by then).
    """
    configured = settings()
    found = database(configured)
    loaded = vocabulary.load_bundle(configured, engine(found), bundle, progress)
    publish.publish_vocabulary(configured, found, loaded.vocabulary_id, loaded.path)
    return find_version(str(loaded.vocabulary_id))


def versions(source: str | None = None) -> list[Version]:
    """All loaded versions, newest first. `is_current`: of the source's release, or of any source's."""
    known = state.vocabulary.c
    db = engine(database(settings()))
    with db.connect() as con:
        rows = con.execute(sqlalchemy.select(state.vocabulary).order_by(known.vocabulary_id.desc())).all()
        sources = [source] if source else list(con.execute(sqlalchemy.select(state.run.c.source).distinct()).scalars())
    served = {load_run(run_id).vocabulary_id for run_id in map(current_run, sources) if run_id}
    return [
        Version(
            vocabulary_id=row.vocabulary_id,
            version=row.version,
            loaded_at=row.loaded_at,
            concepts=int(dict(row.counts).get("concept", 0)),
            warnings=tuple(row.warnings),
            is_current=row.vocabulary_id in served,
            is_in_database=row.schema_name is not None,
        )
        for row in rows
    ]


def find_version(name: str, source: str | None = None) -> Version:
    """The version with this number, or of this name; UsageError when there is none, or several have the name."""
    known = versions(source)
    found = [version for version in known if name == str(version.vocabulary_id)]
    found = found or [version for version in known if name == version.version]
    listed = "; ".join(f"{version.vocabulary_id} is {version.version}" for version in known)
    if not found:
        raise UsageError(f"There is no vocabulary {name}.", todo=f"Loaded: {listed}." if known else _LOAD_FIRST)
    if len(found) > 1:
        raise UsageError(f"Several vocabularies are called {name}.", todo=f"Give the number: {listed}.")
    return found[0]


_LOAD_FIRST = "Load one: ./cdmflow vocabulary load BUNDLE."


def preview(name: str, source: str) -> Preview:
    """Compare what every code of the current release's source rows means under its vocabulary and under this one.

    Nothing is written. UsageError: no such version, no release, or the release has this version.
    """
    after = find_version(name, source)
    run_id = current_run(source)
    if run_id is None:
        raise UsageError(f"Source {source} has no release to compare with.", todo="Load it: ./cdmflow run …")
    run = load_run(run_id)
    if run.vocabulary_id == after.vocabulary_id:
        raise UsageError(f"Vocabulary {after.vocabulary_id} is the current release's already.")
    before = find_version(str(run.vocabulary_id), source)
    folders = [vocabulary_folder(version.vocabulary_id) for version in (before, after)]
    with connection() as con:
        changed = _compare(con, run, folders)
        _count_uses(con, source)
        for side, folder in zip(("before", "after"), folders, strict=True):
            _tell(con, side, folder)
        codes = _codes(con)
        return Preview(
            before=before,
            after=after,
            codes=codes,
            persons=_one(con, "SELECT count(DISTINCT person_key) FROM meaning.changed_use")[0],
            rows=sum(code.rows for code in codes),
            rows_moving=sum(code.rows_moving for code in codes),
            coverage_rows=_coverage(con, "coalesce(sum(use.rows), 0)"),
            coverage_codes=_coverage(con, "count(*)"),
            ended=_ended(con, folders),
            concerns_everybody=changed.named_concepts > 0,
        )


def told(found: Preview) -> str:
    """The preview in Markdown, for whoever approves it: counts, and the codes of the most rows."""
    persons = "everybody" if found.concerns_everybody else f"{found.persons:,} persons"
    rows, codes = found.coverage_rows, found.coverage_codes
    lines = [
        f"Vocabulary {found.before.vocabulary_id} ({found.before.version}) → "
        f"{found.after.vocabulary_id} ({found.after.version}): {persons} would be made again.",
        "",
        f"- {len(found.codes):,} codes map differently, in {found.rows:,} rows",
        f"- {found.rows_moving:,} rows change their table",
        f"- rows mapped: {rows.before:,} → {rows.after:,} of {rows.total:,}",
        f"- codes mapped: {codes.before:,} → {codes.after:,} of {codes.total:,}",
        f"- {len(found.ended):,} concepts in use end",
        "",
    ]
    if found.codes:
        lines += ["| vocabulary | code | rows | now | then |", "| --- | --- | --- | --- | --- |"]
        lines += [
            f"| {code.vocabulary} | {code.code} | {code.rows:,} | {code.before} | {code.after} |"
            for code in found.codes[:CODES_TOLD]
        ]
    return "\n".join(lines)


def write_codes(found: Preview, output: Path) -> None:
    """All changed codes as CSV, those of the most rows first."""
    with output.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(CSV_HEADER)
        writer.writerows(
            (code.vocabulary, code.code, code.rows, code.persons, code.before, code.after, code.rows_moving)
            for code in found.codes
        )


def _compare(con: Any, run: Run, folders: Sequence[Path]) -> Any:
    custom, parameter = run.folder / "custom/source_to_concept_map.parquet", run.folder / "run/parameter.parquet"
    landed = kept_state(run)
    if landed is None or not custom.exists() or not parameter.exists():
        raise UsageError(
            f"The files of run {run.run_id}, which made the current release, are not in the lake any more.",
            todo="Make it anew: ./cdmflow rebuild, then look again.",
        )
    # the maps of the current release on both sides: a preview tells what the vocabulary changes
    return compare_codes(con, run.source, landed, parameter, *(Meaning(folder, custom) for folder in folders))


def _count_uses(con: Any, source: str) -> None:
    """`meaning.use`: rows by code; `meaning.changed_use`: one row per use of a changed code."""
    uses = " UNION ALL ".join(
        f"SELECT {_person(model)} AS person_key, "
        f"{vocabulary_column} AS source_vocabulary, {code} AS source_code, "
        f"{'origin_table' if (model, code) == EVENT_CODE else 'NULL'} AS origin_table FROM source.{model}"
        for model, vocabulary_column, code in code_columns(source)
    )
    con.execute(
        f"CREATE TABLE meaning.use AS SELECT source_vocabulary, source_code, count(*) AS rows FROM ({uses}) "
        "SEMI JOIN map.codes USING (source_vocabulary, source_code) GROUP BY ALL"
    )
    con.execute(
        f"CREATE TABLE meaning.changed_use AS SELECT * FROM ({uses}) "
        "SEMI JOIN meaning.changed_code USING (source_vocabulary, source_code)"
    )


def _person(model: str) -> str:
    return "person_key" if any(column.name == "person_key" for column in source_models()[model]) else "NULL"


def _tell(con: Any, side: str, folder: Path) -> None:
    """`meaning.told_<side>`: each changed code's concepts in words, and the tables that they lead to."""
    attach(con, "vocabulary.concept", [folder / "concept.parquet"])
    con.execute(
        f"""
        CREATE TABLE meaning.told_{side} AS
        SELECT code.source_vocabulary, code.source_code,
            coalesce(string_agg(
                DISTINCT concat(concept.concept_id, ' ', concept.concept_name, ' (', concept.domain_id, ')'), '; '
                ORDER BY concat(concept.concept_id, ' ', concept.concept_name, ' (', concept.domain_id, ')')
            ) FILTER (WHERE code.target_concept_id <> 0), '0') AS concepts,
            string_agg(DISTINCT coalesce(code.target_table, '-'), ',' ORDER BY coalesce(code.target_table, '-'))
                AS target_tables
        FROM meaning.{side} AS code
        SEMI JOIN meaning.changed_code USING (source_vocabulary, source_code)
        LEFT JOIN vocabulary.concept AS concept ON code.target_concept_id = concept.concept_id
        GROUP BY ALL
        """
    )


def _codes(con: Any) -> tuple[CodeChange, ...]:
    rows = con.execute(
        """
        SELECT source_vocabulary, source_code, count(*), count(DISTINCT person_key), old.concepts, new.concepts,
            count(*) FILTER (
                WHERE replace(old.target_tables, '-', origin_table) <> replace(new.target_tables, '-', origin_table)
            )
        FROM meaning.changed_use
        JOIN meaning.told_before AS old USING (source_vocabulary, source_code)
        JOIN meaning.told_after AS new USING (source_vocabulary, source_code)
        GROUP BY ALL ORDER BY 3 DESC, 1, 2
        """
    ).fetchall()
    return tuple(CodeChange(*row) for row in rows)


def _coverage(con: Any, counted: str) -> Coverage:
    numbers = [
        _one(
            con,
            f"SELECT {counted} FROM meaning.use AS use SEMI JOIN (SELECT * FROM meaning.{side} WHERE {only}) AS code "
            "USING (source_vocabulary, source_code)",
        )[0]
        for side, only in (
            ("before", "TRUE"),
            ("before", "target_concept_id <> 0"),
            ("after", "target_concept_id <> 0"),
        )
    ]
    return Coverage(*(int(number) for number in numbers))


def _ended(con: Any, folders: Sequence[Path]) -> tuple[EndedConcept, ...]:
    for side, folder in zip(("before", "after"), folders, strict=True):
        attach(con, f"vocabulary.concept_{side}", [folder / "concept.parquet"])
    rows = con.execute(
        """
        WITH used AS (
            SELECT target_concept_id AS concept_id, source_vocabulary, source_code FROM meaning.before
            UNION SELECT source_concept_id, source_vocabulary, source_code FROM meaning.before
        ),
        ended AS (
            SELECT old.concept_id, old.concept_name,
                CASE WHEN new.concept_id IS NULL THEN 'not in it any more'
                    WHEN old.invalid_reason IS NULL AND new.invalid_reason IS NOT NULL THEN 'no longer valid'
                    WHEN old.standard_concept = 'S' AND new.standard_concept IS DISTINCT FROM 'S'
                        THEN 'no longer standard'
                END AS how
            FROM vocabulary.concept_before AS old
            SEMI JOIN used ON old.concept_id = used.concept_id
            LEFT JOIN vocabulary.concept_after AS new ON old.concept_id = new.concept_id
            WHERE old.concept_id <> 0
        )
        SELECT ended.concept_id, ended.concept_name, ended.how, CAST(coalesce(sum(use.rows), 0) AS BIGINT)
        FROM ended
        LEFT JOIN used USING (concept_id)
        LEFT JOIN meaning.use AS use USING (source_vocabulary, source_code)
        WHERE ended.how IS NOT NULL
        GROUP BY ALL ORDER BY 4 DESC, 1
        """
    ).fetchall()
    return tuple(EndedConcept(*row) for row in rows)


def _one(con: Any, query: str) -> tuple[Any, ...]:
    row: tuple[Any, ...] = con.execute(query).fetchone()
    return row
