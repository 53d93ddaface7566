"""Some persons' rows put in place of their old ones, in one transaction on the current release's tables.

What differs is kept in a schema `cdm_d<N>` of the release: `old_<table>` has the rows as they were, `new_<table>` as
they are; so a rollback can put them back, and a diff can tell them. Rows that stay as they were are not touched.

Parents are written before their children and removed after them, since foreign keys are checked row by row. What they
look up on a removal has an index (`load.py`): without, each removed visit reads every event table once.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from etl import engine
from etl.cdm import Table, quoted, tables
from etl.config import Settings
from etl.engine import Digest, digest_sql_duckdb, digest_sql_postgres
from etl.errors import CdmflowError
from etl.log import get_logger
from etl.postgres import Database
from etl.publish.dashboard import ensure_dashboard_results
from etl.publish.keys import point_keys, prove_keys
from etl.publish.load import Report
from etl.publish.record import Release, current_release, insert_release, release_of_run, write_release_files
from etl.publish.retire import drop_old_releases, drop_unfinished, schemas_like
from etl.publish.session import publishing, translated
from etl.publish.switch import PATIENCE_S, Words, between_readers, refuse_zombie, repoint, settle_views
from etl.publish.transfer import CHUNK_BYTES, candidate_reader, csv_stream, reading
from etl.publish.vocabulary import complete_vocabulary, vocabulary_schema

log = get_logger(__name__)

STATE = "Nothing was changed; the last release stays published."
# Whole tables: every row is compared. All others are told by their person, cost by its event.
IN_PLACE = ("location", "care_site", "provider", "person", "cdm_source", "metadata")


@dataclass(frozen=True)
class Delta:
    """A delta under way: the schema with the release's tables, the one with what differs, where the new rows are."""

    schema: str
    kept: str
    cdm_dir: Path


@dataclass(frozen=True)
class Adopted:
    """The vocabulary that the release is served with, its schema, and how long to wait for a gap between readers."""

    vocabulary_id: int
    schema: str
    patience_s: float


def key_of(table: Table) -> str | None:
    """What a row is known by: death by its person; cdm_source and a few others by nothing."""
    return "person_id" if table.name == "death" else table.primary_key


def delta_tables() -> list[Table]:
    """The CDM's tables, each after those that it refers to."""
    waiting = {table.name: table for table in tables().values() if table.schema == "CDM"}
    ordered: list[Table] = []
    while waiting:
        ready = [
            table
            for table in waiting.values()
            if not {field.foreign_table for field in table.fields if field.foreign_table != table.name} & set(waiting)
        ]
        if not ready:
            raise AssertionError(f"{', '.join(waiting)} refer to each other in a circle")
        for table in ready:
            ordered.append(waiting.pop(table.name))
    return ordered


def publish_delta(
    settings: Settings,
    database: Database,
    run_id: str,
    cdm_dir: Path,
    vocabulary_id: int,
    verdict: Mapping[str, object],
    *,
    base_run: str,
    persons: Path,
    patience_s: float = PATIENCE_S,
    report: Report,
) -> Release:
    """Put the rows of `<cdm_dir>/<table>.parquet` in place of all rows of these persons, as the next release.

    `persons` is a file of person_ids, one a line. Tables of people and places are compared as a whole. The candidate
    was built on `base_run`'s release, which must be the current one. With another vocabulary than that release's, views
    and keys change to it with the rows. Publishing a run twice returns its release; a killed publish leaves the last
    one. Errors: Locked, DatabaseUnavailable, CdmflowError.
    """
    with publishing(database, run_id) as connection:
        report("locked")
        with translated("Publishing", state=STATE):
            release = release_of_run(connection, run_id)
            if release is None:
                drop_unfinished(connection)
                ensure_dashboard_results(connection)
                base = current_release(connection)
                if base is None or base.run_id != base_run:
                    raise CdmflowError(
                        f"Run {run_id} was built on run {base_run}, whose release is not the current one any more.",
                        state=STATE,
                        todo="Run again: it will start from the current release.",
                    )
                parquet_dir = settings.vocabulary_dir / str(vocabulary_id)
                words = complete_vocabulary(settings, database, connection, vocabulary_id, parquet_dir, report)
                point_keys(connection, base.schema_name, words, patience_s=patience_s, report=report)
                adopted = Adopted(vocabulary_id, words, patience_s)
                release = _publish(connection, run_id, cdm_dir, base, adopted, verdict, persons, report)
                report("switched")
        with translated("Tidying up", state=f"Release {release.release_id} is published.", todo="Publish it again."):
            settle_views(connection)
            drop_old_releases(connection, settings.kept_releases)
            write_release_files(settings, connection)
    return release


def _publish(
    connection: Any,
    run_id: str,
    cdm_dir: Path,
    base: Release,
    adopted: Adopted,
    verdict: Mapping[str, object],
    persons: Path,
    report: Report,
) -> Release:
    with connection, connection.cursor() as cursor:
        cursor.execute("SET LOCAL synchronous_commit = on")
        number = _next_number(cursor)
        refuse_zombie(cursor, run_id, number, base.run_id)
        delta = Delta(base.schema_name, f"cdm_d{number}", cdm_dir)
        _stage(cursor, delta, persons, report)
        _apply(cursor, delta)
        report("loaded")
        records = _records(cursor, delta, base)
        _prove(cursor, delta)
        prove_keys(cursor, delta.schema)
        report("proven")
        if adopted.vocabulary_id != base.vocabulary_id:
            _repoint(cursor, delta, Words(base.vocabulary_id, vocabulary_schema(base.vocabulary_id)), adopted, report)
        cursor.execute(f"COMMENT ON SCHEMA {quoted(delta.kept)} IS 'applied'")  # see chain.py
        return insert_release(
            cursor,
            release_id=number,
            run_id=run_id,
            vocabulary_id=adopted.vocabulary_id,
            schema=base.schema_name,
            tables=records,
            verdict=verdict,
        )


def _repoint(cursor: Any, delta: Delta, before: Words, adopted: Adopted, report: Report) -> None:
    """Point the views at the other vocabulary, in the delta's transaction; without a gap all of it is taken back."""

    def attempt() -> None:
        cursor.execute("SAVEPOINT repointing")
        try:
            repoint(cursor, delta.schema, adopted.schema, (before, Words(adopted.vocabulary_id, adopted.schema)))
        except Exception:
            cursor.execute("ROLLBACK TO SAVEPOINT repointing")
            raise

    otherwise = "the rows are not in place either"
    between_readers(attempt, otherwise, patience_s=adopted.patience_s, report=report)


def _next_number(cursor: Any) -> int:
    cursor.execute("SELECT coalesce(max(release_id), 0) FROM etl.release")
    newest = int(cursor.fetchone()[0])
    present = [int(schema[5:]) for schema in schemas_like(cursor, "^cdm_[rd][0-9]+$")]
    return max([newest, *present]) + 1


def _stage(cursor: Any, delta: Delta, persons: Path, report: Report) -> None:
    """Make `scope`, and `old_…` and `new_…` of every table with the rows that differ."""
    cursor.execute(f"CREATE SCHEMA {quoted(delta.kept)}")
    cursor.execute(f"CREATE TABLE {quoted(delta.kept)}.scope (person_id integer PRIMARY KEY)")
    with persons.open("rb") as ids:
        cursor.copy_expert(f"COPY {quoted(delta.kept)}.scope FROM STDIN", ids)
    cursor.execute(f"ANALYZE {quoted(delta.kept)}.scope")
    with candidate_reader(threads=1) as source:
        for table in delta_tables():
            staged = _copy_candidate(cursor, source, delta, table)
            _keep_what_differs(cursor, delta, table, staged)
            report(f"staged {table.name}")


def _copy_candidate(cursor: Any, source: Any, delta: Delta, table: Table) -> str:
    """The candidate's rows of the scope in a temporary table: most of them are in place already, and are not kept."""
    staged = _place("pg_temp", f"staged_{table.name}")
    name, like = quoted(f"staged_{table.name}"), _place(delta.schema, table.name)
    cursor.execute(f"CREATE TEMP TABLE {name} (LIKE {like}) ON COMMIT DROP")
    path = delta.cdm_dir / f"{table.name}.parquet"
    if not path.is_file():
        return staged
    names = ", ".join(quoted(field.name) for field in table.fields)
    with csv_stream(source, table, [path]) as stream:
        cursor.copy_expert(f"COPY {staged} ({names}) FROM STDIN WITH (FORMAT csv)", stream, size=CHUNK_BYTES)
    if table.name not in IN_PLACE and "person_id" in table.column_names:
        scope = _place(delta.kept, "scope")
        cursor.execute(f"DELETE FROM {staged} WHERE person_id NOT IN (SELECT person_id FROM {scope})")
    cursor.execute(f"ANALYZE {staged}")
    return staged


def _keep_what_differs(cursor: Any, delta: Delta, table: Table, staged: str) -> None:
    """`old_…`: rows that go or change; `new_…`: rows that come or change."""
    here, old, new = _sides(delta.schema, delta.kept, table, "old", "new")
    key = key_of(table)
    if key is None:
        only = "" if table.name in IN_PLACE else " WHERE FALSE"
        cursor.execute(f"CREATE TABLE {old} AS SELECT * FROM {here}{only}")
        cursor.execute(f"CREATE TABLE {new} AS SELECT * FROM {staged}")
        return
    key, scope = quoted(key), _place(delta.kept, "scope")
    present = _place("pg_temp", f"present_{table.name}")
    cursor.execute(
        f"CREATE TEMP TABLE {quoted(f'present_{table.name}')} ON COMMIT DROP AS "
        f"SELECT here.* FROM {here} AS here WHERE {of_scope(table, delta.schema, scope)}"
    )
    cursor.execute(f"ANALYZE {present}")
    for kept, of, other in ((old, present, staged), (new, staged, present)):
        cursor.execute(
            f"CREATE TABLE {kept} AS SELECT a.* FROM {of} AS a LEFT JOIN {other} AS b ON a.{key} = b.{key} "
            "WHERE a IS DISTINCT FROM b"
        )
    cursor.execute(f"CREATE UNIQUE INDEX ON {old} ({key}); CREATE UNIQUE INDEX ON {new} ({key})")
    cursor.execute(f"ANALYZE {old}; ANALYZE {new}")


def of_scope(table: Table, schema: str, scope: str) -> str:
    """Which rows of a table (alias `here`) belong to the persons of `scope`. A cost is known by its event's person."""
    if table.name in IN_PLACE:
        return "TRUE"
    if "person_id" in table.column_names:
        return f"here.person_id IN (SELECT person_id FROM {scope})"
    if table.name == "cost":
        return f"here.cost_event_id IN ({_event_ids(schema, scope)})"
    return "FALSE"


def _event_ids(schema: str, scope: str) -> str:
    """The ids of all rows of these persons that may have a cost."""
    events = [
        table
        for table in delta_tables()
        if "person_id" in table.column_names
        and table.primary_key not in (None, "person_id")
        and not table.name.endswith(("_era", "_period"))
    ]
    return " UNION ALL ".join(
        f"SELECT event.{quoted(str(table.primary_key))} FROM {_place(schema, table.name)} AS event "
        f"WHERE event.person_id IN (SELECT person_id FROM {scope})"
        for table in events
    )


def _apply(cursor: Any, delta: Delta) -> None:
    """All that comes, parents first; all that changes; all that goes, children first."""
    put_in_place(cursor, delta.schema, delta.kept, came="new", went="old")


def put_in_place(cursor: Any, schema: str, kept: str, *, came: str, went: str) -> None:
    """Take the rows of `<went>_…` out of the release's tables and put those of `<came>_…` in; the reverse undoes it."""
    ordered = delta_tables()
    filled = [table for table in ordered if _has_rows(cursor, kept, table)]
    for table in filled:
        key = key_of(table)
        here, coming, going = _sides(schema, kept, table, came, went)
        if key is None:
            cursor.execute(f"DELETE FROM {here}; INSERT INTO {here} SELECT * FROM {coming}")
            continue
        cursor.execute(
            f"INSERT INTO {here} SELECT * FROM {coming} AS coming "
            f"WHERE NOT EXISTS (SELECT FROM {going} AS going WHERE going.{quoted(key)} = coming.{quoted(key)})"
        )
    for table in filled:
        key = key_of(table)
        if key is None:
            continue
        here, coming, going = _sides(schema, kept, table, came, went)
        values = ", ".join(f"{quoted(name)} = coming.{quoted(name)}" for name in table.column_names if name != key)
        cursor.execute(
            f"UPDATE {here} AS here SET {values} FROM {coming} AS coming JOIN {going} AS going USING ({quoted(key)}) "
            f"WHERE here.{quoted(key)} = coming.{quoted(key)}"
        )
    for table in reversed(filled):
        key = key_of(table)
        if key is None:
            continue
        here, coming, going = _sides(schema, kept, table, came, went)
        cursor.execute(
            f"DELETE FROM {here} AS here USING {going} AS going WHERE here.{quoted(key)} = going.{quoted(key)} "
            f"AND NOT EXISTS (SELECT FROM {coming} AS coming WHERE coming.{quoted(key)} = going.{quoted(key)})"
        )


def _sides(schema: str, kept: str, table: Table, came: str, went: str) -> tuple[str, str, str]:
    return _place(schema, table.name), _place(kept, f"{came}_{table.name}"), _place(kept, f"{went}_{table.name}")


def _has_rows(cursor: Any, kept: str, table: Table) -> bool:
    cursor.execute(
        f"SELECT EXISTS (SELECT FROM {_place(kept, f'old_{table.name}')}) "
        f"OR EXISTS (SELECT FROM {_place(kept, f'new_{table.name}')})"
    )
    return bool(cursor.fetchone()[0])


def _records(cursor: Any, delta: Delta, base: Release) -> dict[str, dict[str, object]]:
    """Rows and digest of every table: the base's without what went, with what came. Digests are sums: they add up."""
    found = {}
    for table in delta_tables():
        before = _parsed(str(base.tables[table.name]["digest"]))
        went, came = (_digest(cursor, _place(delta.kept, f"{side}_{table.name}"), table) for side in ("old", "new"))
        after = Digest(before.rows - went.rows + came.rows, before.a - went.a + came.a, before.b - went.b + came.b)
        found[table.name] = {"rows": after.rows, "digest": str(after)}
    return found


def _parsed(digest: str) -> Digest:
    rows, a, b = digest.split(":")
    return Digest(int(rows), int(a, 16), int(b, 16))


def _digest(cursor: Any, relation: str, table: Table) -> Digest:
    cursor.execute(digest_sql_postgres(relation, table.fields))
    return Digest(*(int(value) for value in cursor.fetchone()))


def _prove(cursor: Any, delta: Delta) -> None:
    """Compare what the release's tables now hold of these persons with the candidate's Parquet, table by table."""
    scope = _place(delta.kept, "scope")
    with candidate_reader(threads=1) as source:
        cursor.execute(f"SELECT person_id FROM {scope}")
        source.execute("CREATE TABLE scope (person_id INTEGER)")
        numbers = [row[0] for row in cursor.fetchall()]
        source.execute("INSERT INTO scope SELECT unnest(?)", [numbers])
        for table in delta_tables():
            here = _place(delta.schema, table.name)
            rows = f"SELECT here.* FROM {here} AS here WHERE {of_scope(table, delta.schema, scope)}"
            published = _digest(cursor, f"({rows}) AS here", table)
            candidate = _candidate_digest(source, delta, table)
            if published != candidate:
                raise CdmflowError(
                    f"{table.name} would hold {published.rows} rows of this run's persons, the candidate has "
                    f"{candidate.rows}{'' if published.rows != candidate.rows else ', with other contents'}.",
                    state=STATE,
                    todo="Make the release anew from its batches: ./cdmflow rebuild.",
                )


def _candidate_digest(source: Any, delta: Delta, table: Table) -> Digest:
    path = delta.cdm_dir / f"{table.name}.parquet"
    if not path.is_file():
        return Digest(0, 0, 0)
    rows = f"(SELECT * FROM {engine.relation([path])}"
    if table.name not in IN_PLACE and "person_id" in table.column_names:
        rows += " WHERE person_id IN (SELECT person_id FROM scope)"
    with reading(source, table.name) as con:
        row = con.execute(digest_sql_duckdb(f"{rows})", table.fields)).fetchone()
    return Digest(*(int(value) for value in row))


def _place(schema: str, name: str) -> str:
    return f"{quoted(schema)}.{quoted(name)}"
