"""Loads tables into a new schema: COPY, keys, indexes, statistics, foreign keys, and the proof that all arrived.

The order of the work of one table T, and what it locks:

    copy T ─► index T (each) ─► finish T ─► reconcile T
                                   └─► foreign keys of all tables, not yet valid ─► validate T

- Indexes of one table are built by several sessions at once (SHARE does not conflict with itself); the primary key is
  one of them and becomes a key afterwards, in no time.
- A foreign key takes SHARE ROW EXCLUSIVE on *both* tables, so two sessions that add and check keys to `concept` wait
  for each other. NOT VALID adds them without looking at a row, all 130 in 0.03 s; VALIDATE takes only ROW SHARE on
  the referenced table, so tables are validated side by side.
- The digests read while others validate: ACCESS SHARE conflicts with neither.

Measured, 2.5 million rows in 27 tables, 2 cores, 2 sessions: 7.1 s without the digests, which add 5 s (both sides).
Seconds of all sessions together: COPY 7.5, indexes 2.4, statistics 1.5, foreign keys 2.8, digests 10.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2.errors

from etl.cdm import Table, foreign_key_clauses, index_ddl, indexes, quoted
from etl.engine import Digest
from etl.errors import CdmflowError
from etl.log import get_logger
from etl.publish.schedule import Task, run_tasks
from etl.publish.session import translated
from etl.publish.transfer import candidate_digest, candidate_reader, create_and_copy, published_digest, row_counts

log = get_logger(__name__)

Report = Callable[[str], None]

FOREIGN_KEYS = "foreign keys"
REMOVED_BY_NIGHT = ("person", "visit_occurrence", "visit_detail", "payer_plan_period")
# seconds per row or value, measured on 2 cores; only their proportions matter, for the order of the work
COPY_PER_VALUE = 1.0e-7
INDEX_PER_ROW = 4e-7
VALIDATE_PER_ROW = 1.5e-7
DIGEST_PER_VALUE = 1.5e-7
STATE = "Nothing of this load is visible to anyone; the last release stays published."


@dataclass(frozen=True)
class Plan:
    """What to load where. `sources` has the Parquet files of every table, () for an empty one.

    `lenient_keys`: a violated foreign key stays unvalidated and is warned of instead of failing the load.
    """

    schema: str
    vocabulary_schema: str
    tables: tuple[Table, ...]
    sources: dict[str, tuple[Path, ...]]
    lenient_keys: bool = False


@dataclass(frozen=True)
class Job:
    """A plan under way: the DuckDB connection that reads, the rows of every table's files, the digests found so far."""

    plan: Plan
    source: Any
    rows: Mapping[str, int]
    digests: dict[str, Digest]
    report: Report


def files_of(tables: Iterable[Table], folder: Path) -> dict[str, tuple[Path, ...]]:
    """`<folder>/<table>.parquet` of every table that has one."""
    paths = {table.name: folder / f"{table.name}.parquet" for table in tables}
    return {name: (path,) if path.is_file() else () for name, path in paths.items()}


def load(plan: Plan, connections: Sequence[Any], report: Report) -> dict[str, Digest]:
    """Create, fill, index and prove all tables of the plan; the digest of every table.

    The schema exists and is empty. Errors leave it half-done: dropping it is the caller's.
    """
    with candidate_reader(threads=len(connections)) as source:
        job = Job(plan, source, row_counts(source, plan.sources), {}, report)
        tasks = [task for table in plan.tables for task in _table_tasks(job, table)]
        finished = tuple(f"finish {table.name}" for table in plan.tables)
        tasks.append(Task(FOREIGN_KEYS, lambda connection: _add_foreign_keys(job, connection), 0.3, finished))
        run_tasks(tasks, connections)
    return {table.name: job.digests[table.name] for table in plan.tables}


def _table_tasks(job: Job, table: Table) -> list[Task]:
    plan, rows = job.plan, job.rows[table.name]
    name, values = table.name, rows * len(table.fields)
    copy, finish = f"copy {name}", f"finish {name}"
    builds = _index_statements(table, plan.schema)
    if rows == 0:  # nothing to sort: all indexes in one go
        builds = {name: "; ".join(builds.values())} if builds else {}
    indexes = {f"index {index}": statement for index, statement in builds.items()}
    return [
        Task(copy, lambda c: _copy(job, table, c), values * COPY_PER_VALUE),
        *(
            Task(index, _statement(statement, f"Indexing {name}"), rows * INDEX_PER_ROW, (copy,))
            for index, statement in indexes.items()
        ),
        Task(finish, lambda c: _finish(plan, table, c), rows * 2e-7, tuple(indexes) or (copy,)),
        Task(f"reconcile {name}", lambda c: _reconcile(job, table, c), values * DIGEST_PER_VALUE, (finish,)),
        Task(
            f"validate {name}",
            lambda c: _validate(plan, table, c),
            rows * VALIDATE_PER_ROW * sum(1 for field in table.fields if field.foreign_table),
            (FOREIGN_KEYS,),
        ),
    ]


def _key_name(table: Table) -> str:
    return f"xpk_{table.name}"


def _index_statements(table: Table, schema: str) -> dict[str, str]:
    statements = {f"{table.name} {n}": statement for n, statement in enumerate(index_ddl(table, schema), 1)}
    for column in unindexed_references(table):
        statements[f"{table.name} {column}"] = (
            f"CREATE INDEX {quoted(f'idx_{table.name}_{column}'[:63])} ON {quoted(schema)}.{quoted(table.name)} "
            f"({quoted(column)}) WHERE {quoted(column)} IS NOT NULL"
        )
    if table.primary_key is not None:
        statements[f"{table.name} key"] = (
            f"CREATE UNIQUE INDEX {quoted(_key_name(table))} "
            f"ON {quoted(schema)}.{quoted(table.name)} ({quoted(table.primary_key)})"
        )
    return statements


def unindexed_references(table: Table) -> list[str]:
    """Columns that refer to rows which a night may remove, and for which OHDSI's list has no index.

    Each removed row looks its referrers up, by a scan of the whole table if it has to.
    """
    named = indexes().get(table.name, ())
    return [field.name for field in table.fields if field.foreign_table in REMOVED_BY_NIGHT and field.name not in named]


def _statement(statement: str, doing: str) -> Callable[[Any], None]:
    def work(connection: Any) -> None:
        with translated(doing, state=STATE), connection, connection.cursor() as cursor:
            cursor.execute(statement)

    return work


def _copy(job: Job, table: Table, connection: Any) -> None:
    todo = "Correct the SQL file of the table (a text too long for its column is the usual reason) and run again."
    with (
        translated(f"Loading {table.name}", state=STATE, todo=todo),
        connection,
        connection.cursor() as cursor,
    ):
        rows = create_and_copy(cursor, job.source, table, job.plan.schema, job.plan.sources[table.name])
    if rows != job.rows[table.name]:
        raise CdmflowError(
            f"Of {job.rows[table.name]} rows of {table.name} {rows} arrived.", state=STATE, todo="Run again."
        )
    job.report(f"loaded {table.name}")


def _finish(plan: Plan, table: Table, connection: Any) -> None:
    """The primary key from its index, and the statistics: the planner needs them to validate and to serve."""
    place = f"{quoted(plan.schema)}.{quoted(table.name)}"
    with translated(f"Finishing {table.name}", state=STATE), connection, connection.cursor() as cursor:
        if table.primary_key is not None:
            key = quoted(_key_name(table))
            cursor.execute(f"ALTER TABLE {place} ADD CONSTRAINT {key} PRIMARY KEY USING INDEX {key}")
        cursor.execute(f"ALTER TABLE {place} RESET (autovacuum_enabled)")
        cursor.execute(f"ANALYZE {place}")


def _add_foreign_keys(job: Job, connection: Any) -> None:
    plan = job.plan
    with translated("Adding the foreign keys", state=STATE), connection, connection.cursor() as cursor:
        for table in plan.tables:
            clauses = foreign_key_clauses(table, plan.schema, plan.vocabulary_schema).values()
            if clauses:
                additions = ", ".join(f"{clause} NOT VALID" for clause in clauses)
                cursor.execute(f"ALTER TABLE {quoted(plan.schema)}.{quoted(table.name)} {additions}")
    job.report("indexed")


def _validate(plan: Plan, table: Table, connection: Any) -> None:
    """Prove every foreign key of the table. One statement each: it scans the table once per key anyway."""
    place = f"{quoted(plan.schema)}.{quoted(table.name)}"
    for name in foreign_key_clauses(table, plan.schema, plan.vocabulary_schema):
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(f"ALTER TABLE {place} VALIDATE CONSTRAINT {quoted(name)}")
        except psycopg2.errors.ForeignKeyViolation:
            if not plan.lenient_keys:
                raise CdmflowError(
                    f"{table.name} has a row that refers to nothing: constraint {name}.",
                    state=STATE,
                    todo="The gate's foreign key check of this table counts them; correct the SQL file and run again.",
                ) from None
            log.warning("%s: constraint %s does not hold in this bundle and stays unvalidated", table.name, name)
        except psycopg2.Error as error:
            with translated(f"Validating {name}", state=STATE):
                raise error


def _reconcile(job: Job, table: Table, connection: Any) -> None:
    """Compare what PostgreSQL holds with the candidate's Parquet, row count and digest."""
    with translated(f"Reconciling {table.name}", state=STATE), connection, connection.cursor() as cursor:
        published = published_digest(cursor, table, job.plan.schema)
    candidate = candidate_digest(job.source, table, job.plan.sources[table.name])
    if published != candidate:
        raise CdmflowError(
            f"{table.name} in PostgreSQL is not what was loaded: {published.rows} rows there, {candidate.rows} in the "
            f"candidate, {'other contents' if published.rows == candidate.rows else 'rows missing or too many'}.",
            state=STATE,
            todo="Something else wrote to the new schema, or the server lost data: check it, then run again.",
        )
    job.digests[table.name] = published


def records(digests: Mapping[str, Digest]) -> dict[str, dict[str, object]]:
    """What `etl.release` and `release.json` keep of every table."""
    return {name: {"rows": digest.rows, "digest": str(digest)} for name, digest in digests.items()}
