"""The moment a release becomes the one that everybody reads: one transaction repoints all views of schema `cdm`."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from time import monotonic, sleep
from typing import Any, TypeVar

import psycopg2.errors

from etl.cdm import Table, quoted, tables
from etl.errors import CdmflowError
from etl.log import get_logger
from etl.postgres.roles import READER
from etl.publish.record import Release, insert_release

log = get_logger(__name__)

Report = Callable[[str], None]
Result = TypeVar("Result")

VIEWS_SCHEMA = "cdm"
# A reader's transaction that touched a view of `cdm` holds its lock until it ends. While the switch waits for that
# lock, other readers queue behind it: so it waits shortly, gives up, and comes again. Shorter than deadlock_timeout
# (1 s), so that in a deadlock with a reader it is always the switch that steps back.
LOCK_TIMEOUT_MS = 300
BLOCK_TIMEOUT_MS = 900  # all ~38 views together; they take 15 ms when nobody is in the way
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 10.0
SETTLE_PATIENCE_S = 3.0
# A session whose snapshot is from before the current release was written: the release's row tells its transaction.
OLD_SNAPSHOTS = """
    SELECT EXISTS (
        SELECT FROM pg_catalog.pg_stat_activity AS session
        CROSS JOIN (
            SELECT xmin FROM etl.release WHERE withdrawn_at IS NULL ORDER BY release_id DESC LIMIT 1
        ) AS current
        WHERE session.datname = current_database() AND session.pid <> pg_backend_pid()
            AND age(session.backend_xmin) >= age(current.xmin)
    )
"""
PATIENCE_S = 900.0  # how long a publish waits for a gap between readers before it gives up
BUSY = (psycopg2.errors.LockNotAvailable, psycopg2.errors.QueryCanceled, psycopg2.errors.DeadlockDetected)
STATE = "The last release stays published; nobody saw anything of the new one."


def served_tables() -> list[Table]:
    """The tables that have a view in `cdm`, by their standard names: all but the results tables."""
    return [table for table in tables().values() if table.schema != "RESULTS"]


# The vocabulary of the release that a reader's snapshot sees as the current one.
SEEN_VOCABULARY = (
    "(SELECT release.vocabulary_id FROM etl.release AS release "
    "WHERE release.withdrawn_at IS NULL ORDER BY release.release_id DESC LIMIT 1)"
)


@dataclass(frozen=True)
class Words:
    """A vocabulary version and its schema."""

    vocabulary_id: int
    schema: str


def view_statements(schema: str, vocabulary_schema: str, change: tuple[Words, Words] | None = None) -> list[str]:
    """CREATE OR REPLACE VIEW keeps grants and the analysts' own views on top, which renaming or dropping would not.

    `change` from one vocabulary to another, where rows change in the tables that are served already: a snapshot from
    before it reads these rows as they were, through views as they are now. So until all such snapshots are gone, the
    views give each reader the vocabulary of the release that he sees.
    """
    statements = []
    for table in served_tables():
        columns, name = ", ".join(quoted(column) for column in table.column_names), quoted(table.name)
        query = f"SELECT {columns} FROM {quoted(vocabulary_schema if table.schema == 'VOCAB' else schema)}.{name}"
        if table.schema == "VOCAB" and change:
            query = " UNION ALL ".join(
                f"SELECT {columns} FROM {quoted(words.schema)}.{name} WHERE {SEEN_VOCABULARY} = {words.vocabulary_id}"
                for words in change
            )
        statements.append(f"CREATE OR REPLACE VIEW {quoted(VIEWS_SCHEMA)}.{name} AS {query}")
    return statements


@dataclass(frozen=True)
class Candidate:
    """A loaded and proven schema that waits for its switch. `records`: {table: {"rows": n, "digest": text}}."""

    release_id: int
    run_id: str
    vocabulary_id: int
    schema: str
    vocabulary_schema: str
    records: Mapping[str, Mapping[str, Any]]
    verdict: Mapping[str, object]
    base_run: str | None = None


def switch(connection: Any, candidate: Candidate, *, patience_s: float, report: Report) -> Release:
    """Repoint all views and write the release row, both or neither.

    `connection` is the session that holds the publish lock. Tries again while readers are in the way, up to
    `patience_s`; nobody is interrupted.
    """
    number = candidate.release_id
    return between_readers(
        lambda: _attempt(connection, candidate),
        f"release {number} is loaded and proven, but not switched to",
        patience_s=patience_s,
        report=report,
    )


def between_readers(attempt: Callable[[], Result], otherwise: str, *, patience_s: float, report: Report) -> Result:
    """Do it in a gap between readers' transactions; `otherwise` says how things are when there is none."""
    deadline, pause = monotonic() + patience_s, FIRST_PAUSE_S
    while True:
        try:
            return attempt()
        except BUSY:
            if monotonic() + pause > deadline:
                raise CdmflowError(
                    f"Readers held views of {VIEWS_SCHEMA} for {patience_s:.0f} s without a gap: {otherwise}.",
                    state=STATE,
                    todo="End the long transactions on it (pg_stat_activity) and run the same again: it only switches.",
                ) from None
        report("switch waits")
        log.info("readers hold views of %s, next try in %.1f s", VIEWS_SCHEMA, pause)
        sleep(pause)
        pause = min(pause * 1.5, LONGEST_PAUSE_S)


def repoint(cursor: Any, schema: str, vocabulary_schema: str, change: tuple[Words, Words] | None = None) -> None:
    """Point all views of `cdm` at these schemas, in the caller's transaction."""
    cursor.execute("SET LOCAL synchronous_commit = on")
    cursor.execute("SELECT set_config('lock_timeout', %s, true)", (f"{LOCK_TIMEOUT_MS}ms",))
    cursor.execute("SELECT set_config('statement_timeout', %s, true)", (f"{BLOCK_TIMEOUT_MS}ms",))
    cursor.execute(_block(view_statements(schema, vocabulary_schema, change)))
    _grant_new_views(cursor)


def _block(statements: Iterable[str]) -> str:
    """One statement of all of them: one round trip, and one timeout over the whole."""
    return "DO $views$ BEGIN " + "; ".join(statements) + "; END $views$"


def _attempt(connection: Any, candidate: Candidate) -> Release:
    with connection, connection.cursor() as cursor:
        refuse_zombie(cursor, candidate.run_id, candidate.release_id, candidate.base_run)
        repoint(cursor, candidate.schema, candidate.vocabulary_schema)
        return insert_release(
            cursor,
            release_id=candidate.release_id,
            run_id=candidate.run_id,
            vocabulary_id=candidate.vocabulary_id,
            schema=candidate.schema,
            tables=candidate.records,
            verdict=candidate.verdict,
        )


def refuse_zombie(cursor: Any, run_id: str, release_id: int, base_run: str | None) -> None:
    """Only a run that is still running may publish, above all releases there are, and on what it was built on."""
    cursor.execute("SELECT status FROM etl.run WHERE run_id = %s FOR SHARE", (run_id,))
    found = cursor.fetchone()
    status = found[0] if found else "unknown"
    if status != "running":
        raise CdmflowError(
            f"Run {run_id} is {status}, not running: it may not publish any more.",
            state=STATE,
            todo="Another run has taken over, or this one was ended; start a new run.",
        )
    cursor.execute("SELECT coalesce(max(release_id), 0) FROM etl.release")
    newest = cursor.fetchone()[0]
    if newest >= release_id:
        raise CdmflowError(
            f"Release {newest} was published while run {run_id} was loading release {release_id}.",
            state="The newer release stays published.",
            todo="Run again if this run's data are wanted on top.",
        )
    if base_run is None:
        return
    cursor.execute(
        "SELECT release_id, run_id FROM etl.release WHERE withdrawn_at IS NULL ORDER BY release_id DESC LIMIT 1"
    )
    current, current_run = cursor.fetchone()
    if current_run != base_run:
        raise CdmflowError(
            f"Run {run_id} was built on run {base_run}, but release {current} is current by now.",
            state="The current release stays published.",
            todo="Run again: it will start from the current release.",
        )


def settle_views(connection: Any, *, patience_s: float = SETTLE_PATIENCE_S) -> bool:
    """Let the views have one vocabulary again once no snapshot is left from before it changed; whether they have.

    Nobody waits for it: while such a reader goes on, the views stay right, and the next publish tries again.
    """
    deadline = monotonic() + patience_s
    while True:
        with connection, connection.cursor() as cursor:
            cursor.execute(f"SELECT pg_get_viewdef('{VIEWS_SCHEMA}.concept'::regclass) LIKE '%%withdrawn_at%%'")
            if not cursor.fetchone()[0]:
                return True
            cursor.execute(OLD_SNAPSHOTS)
            are_old = cursor.fetchone()[0]
            cursor.execute(
                "SELECT release.schema_name, vocabulary.schema_name FROM etl.release JOIN etl.vocabulary "
                "USING (vocabulary_id) WHERE withdrawn_at IS NULL ORDER BY release_id DESC LIMIT 1"
            )
            schema, words = cursor.fetchone()
        if not are_old:
            try:
                with connection, connection.cursor() as cursor:
                    repoint(cursor, schema, words)
                return True
            except BUSY:
                log.debug("readers hold views of %s", VIEWS_SCHEMA)
        if monotonic() > deadline:
            log.info("a reader's snapshot is older than the vocabulary; the next publish simplifies the views")
            return False
        sleep(FIRST_PAUSE_S)


def _grant_new_views(cursor: Any) -> None:
    """The reader may select from every view; a view that already allows it is left alone."""
    cursor.execute(
        "SELECT relname FROM pg_catalog.pg_class WHERE relnamespace = %s::regnamespace AND relkind = 'v' "
        "AND NOT has_table_privilege(%s, oid, 'SELECT')",
        (VIEWS_SCHEMA, READER),
    )
    ours = {table.name for table in served_tables()}
    missing = [f"{quoted(VIEWS_SCHEMA)}.{quoted(name)}" for (name,) in cursor.fetchall() if name in ours]
    if missing:
        cursor.execute(f"GRANT SELECT ON {', '.join(missing)} TO {quoted(READER)}")
