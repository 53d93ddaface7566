"""PostgreSQL sessions of a publish: settings, the publish lock, and errors that hold no value of a row."""

import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from typing import Any

import psycopg2
import psycopg2.errors
from sqlalchemy.engine import make_url

from etl.errors import CdmflowError, DatabaseUnavailable, DiskFull, Locked
from etl.postgres import Database
from etl.postgres.database import open_connection, to_text
from etl.state.locks import LOADERS_LOCK, PUBLISH_LOCK

# a backend notices its killed client within client_connection_check_interval (1 s) and needs a moment to roll back
LOADERS_GRACE_MS = 15_000

APPLICATION = "cdmflow publish "
# A night looks up the rows of a few persons, in tables that are read every night. At PostgreSQL's 4, made for disks
# that turn, it reads all of a table for 1 % of the persons: 500 of 50,000 took 6.0 s to judge and 7.4 s to put in place
# instead of 5.0 s and 5.7 s.
SESSION_SETTINGS = {
    "random_page_cost": "1.1",
    "client_connection_check_interval": "1s",
    "statement_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "lock_timeout": "60s",
    "timezone": "UTC",
    "datestyle": "ISO, YMD",
    "client_encoding": "UTF8",
    "jit": "off",
}
# The loading sessions keep all cores busy: parallel workers inside a statement would only add their start-up.
# Their commits need no flush of their own: the switch flushes the log after them, and nobody reads them before.
LOADER_SETTINGS = {
    "synchronous_commit": "off",
    "maintenance_work_mem": "256MB",
    "max_parallel_maintenance_workers": "0",
    "max_parallel_workers_per_gather": "0",
}
KEEPALIVE = {"keepalives": "1", "keepalives_idle": "30", "keepalives_interval": "10", "keepalives_count": "3"}

COPY_PLACE = re.compile(r"COPY \w+, line (\d+)(?:, column (\w+))?")


@contextmanager
def translated(doing: str, *, state: str, todo: str = "") -> Iterator[None]:
    """Turn psycopg2's errors into ours: SQLSTATE and names of table, column and constraint.

    PostgreSQL's message, DETAIL and CONTEXT quote values of rows and are dropped.
    """
    try:
        yield
    except psycopg2.Error as error:
        raise explained(error, doing, state, todo) from None


def explained(error: psycopg2.Error, doing: str, state: str, todo: str) -> CdmflowError:
    """Our error for PostgreSQL's; a lost connection is the one that is worth a retry, a full disk has its own words."""
    code = error.pgcode
    lost = code is None and isinstance(error, (psycopg2.OperationalError, psycopg2.InterfaceError))
    if lost or (code or "").startswith(("08", "57P")):
        return DatabaseUnavailable(
            f"{doing}: the connection to PostgreSQL was lost ({code or 'no answer'}).",
            state=state,
            todo="Check that the server runs, then run the same command again.",
        )
    if isinstance(error, psycopg2.errors.DiskFull):
        return DiskFull(
            f"{doing}: PostgreSQL's disk is full (SQLSTATE {code}).",
            state=state,
            todo="Make space on the disk of its data folder, then run the same command again.",
        )
    diag = error.diag
    place = COPY_PLACE.match(diag.context or "")
    details = [f"SQLSTATE {code or 'none'}, {type(error).__name__}"]
    details += [
        f"{word} {name}"
        for word, name in (
            ("table", diag.table_name),
            ("column", diag.column_name or (place and place[2])),
            ("constraint", diag.constraint_name),
            ("row", place and place[1]),
        )
        if name
    ]
    return CdmflowError(f"{doing} failed: {', '.join(details)}.", state=state, todo=todo)


def open_session(database: Database, run_id: str, settings: dict[str, str] | None = None) -> Any:
    """A psycopg2 connection as the ETL role, not in autocommit mode: every piece of work is `with connection:`."""
    url = make_url(database.etl_url)
    wanted = SESSION_SETTINGS | (settings or {})
    extra = KEEPALIVE | {"application_name": f"{APPLICATION}{run_id}"[:63]}
    connection = open_connection(to_text(url.update_query_dict(extra)))
    with connection, connection.cursor() as cursor:
        for name, value in wanted.items():
            cursor.execute("SELECT set_config(%s, %s, false)", (name, value))
    return connection


@contextmanager
def publishing(database: Database, run_id: str) -> Iterator[Any]:
    """The session that holds the publish lock; Locked when another one does.

    The switch runs on this very session: whoever loses the lock loses the means to publish.
    """
    with closing(open_session(database, run_id)) as connection:
        with connection, connection.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_lock(%s)", (PUBLISH_LOCK,))
            if not cursor.fetchone()[0]:
                raise Locked(
                    f"Another publish is under way: {_holder(cursor)}.",
                    state="Nothing was changed.",
                    todo="Wait until it ends (./cdmflow status) and run the same command again.",
                )
        _wait_for_loaders(connection)
        yield connection


def _holder(cursor: Any) -> str:
    """Who holds the publish lock, as far as this account may see it."""
    cursor.execute(
        """
        SELECT activity.application_name, to_char(activity.backend_start, 'YYYY-MM-DD HH24:MI:SS TZ')
        FROM pg_catalog.pg_locks AS held
        JOIN pg_catalog.pg_stat_activity AS activity ON activity.pid = held.pid
        WHERE held.locktype = 'advisory' AND held.granted AND held.classid = 0 AND held.objid = %s AND held.objsubid = 1
          AND held.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
        """,
        (PUBLISH_LOCK,),
    )
    row = cursor.fetchone()
    if row is None or not (row[0] or "").startswith(APPLICATION):
        return "its holder has just ended or belongs to another account"
    return f"run {row[0].removeprefix(APPLICATION)} since {row[1]}"


def _wait_for_loaders(connection: Any) -> None:
    """Wait until no loading session of an earlier, killed publisher is left; Locked when one stays."""
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute("SELECT set_config('lock_timeout', %s, true)", (f"{LOADERS_GRACE_MS}ms",))
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", (LOADERS_LOCK,))
    except psycopg2.errors.LockNotAvailable:
        raise Locked(
            "Sessions of an earlier publish that lost its lock are still loading.",
            state="Nothing was changed.",
            todo="Wait until that process ends, or end it, and run the same command again.",
        ) from None


@contextmanager
def loaders(database: Database, run_id: str, count: int) -> Iterator[Sequence[Any]]:
    """`count` sessions for parallel loading; open only while the publish lock is held."""
    with ExitStack() as stack:
        opened = []
        for _ in range(count):
            connection = stack.enter_context(closing(open_session(database, run_id, LOADER_SETTINGS)))
            with connection, connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_lock_shared(%s)", (LOADERS_LOCK,))
            opened.append(connection)
        yield opened
