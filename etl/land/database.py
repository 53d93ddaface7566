"""A live source database → CSV files of one consistent snapshot, which are landed like any delivery.

Rows are streamed, so memory does not depend on their number: PostgreSQL's by COPY, other databases' by a server-side
cursor. The transaction is read-only; nothing is ever written to the source.
"""

import csv
import queue
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg2
import sqlalchemy
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError

from etl.errors import CdmflowError, ContractError, DatabaseUnavailable, UsageError
from etl.land.contract import Contract, SourceTable

# How each database begins a read-only transaction that sees all tables as of one moment. True: the driver must not
# begin one by itself; on Oracle it must, since in autocommit mode it would end the transaction at once.
SNAPSHOTS: dict[str, tuple[bool, tuple[str, ...]]] = {
    "postgresql": (
        True,
        (
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
            "SET LOCAL TimeZone = 'UTC'",
            "SET LOCAL DateStyle = 'ISO'",
            # an unchanged table gives the same bytes every night, so it is landed once
            "SET LOCAL synchronize_seqscans = off",
        ),
    ),
    "sqlite": (True, ("PRAGMA query_only = ON", "BEGIN")),
    "mysql": (
        True,
        (
            "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
            "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
        ),
    ),
    "oracle": (False, ("SET TRANSACTION READ ONLY",)),
    "mssql": (False, ("SET TRANSACTION ISOLATION LEVEL SNAPSHOT",)),
}
SNAPSHOTS["mariadb"] = SNAPSHOTS["mysql"]
ROWS_AT_A_TIME = 5_000
NOTHING_LOADED = "Nothing of the source database was loaded; the published release stays as it is."

Progress = Callable[[str, int], None]  # table, bytes written


@dataclass(frozen=True)
class Extracted:
    """What was read: bytes by table, and the optional tables that the database lacks."""

    sizes: Mapping[str, int]
    missing: tuple[str, ...]


@dataclass(frozen=True)
class _Relation:
    """A table or view of the database and its columns by the contract's names."""

    table: SourceTable
    schema: str | None
    name: str
    columns: Mapping[str, str]


def extract_database(
    url: str,
    contract: Contract,
    folder: Path,
    *,
    since: Mapping[str, date | datetime | int | None] | None = None,
    until: date | None = None,
    workers: int = 1,
    progress: Progress | None = None,
) -> Extracted:
    """Write `<file>.csv` in UTF-8 for every table of the contract that the database has, all as of one moment.

    Of a table with a watermark only rows from `since[table]` on are read, that value included, and only those
    before `until`, if it is given. All faults of the
    contract come before anything is read. On PostgreSQL `workers` tables are read at a time, in one snapshot.
    Errors: UsageError for the URL, ContractError for tables and columns, DatabaseUnavailable.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tell = progress or (lambda *_: None)
    with _translated(url), ExitStack() as stack:
        engine = _engine(url)
        stack.callback(engine.dispose)
        connections = stack.enter_context(_snapshot(engine, workers))
        found, missing = _relations(connections[0], contract)
        free: queue.SimpleQueue[sqlalchemy.Connection] = queue.SimpleQueue()
        for connection in connections:
            free.put(connection)

        def read(relation: _Relation) -> int:
            connection = free.get()
            try:
                output = folder / f"{relation.table.file}.csv"
                _read(connection, relation, (since or {}).get(relation.table.name), until, output)
                tell(relation.table.name, output.stat().st_size)
                return output.stat().st_size
            finally:
                free.put(connection)

        with ThreadPoolExecutor(len(connections), thread_name_prefix="extract") as pool:
            sizes = dict(zip((each.table.name for each in found), pool.map(read, found), strict=True))
    return Extracted(sizes, missing)


def as_extracted(contract: Contract) -> Contract:
    """The contract of the files that an extraction writes: UTF-8, whatever the source's own files have."""
    tables = {name: replace(table, encoding="utf-8") for name, table in contract.tables.items()}
    return replace(contract, tables=tables)


def _engine(url: str) -> sqlalchemy.Engine:
    try:
        parsed = sqlalchemy.make_url(url)
        dialect = parsed.get_backend_name()
        if dialect == "postgresql":
            parsed = parsed.set(drivername="postgresql+psycopg2")
        if dialect not in SNAPSHOTS:
            raise UsageError(
                f"A database of the kind {dialect} cannot be read consistently.",
                state=NOTHING_LOADED,
                todo=f"Kinds that can: {', '.join(sorted(SNAPSHOTS))}.",
            )
        return sqlalchemy.create_engine(parsed, hide_parameters=True, poolclass=sqlalchemy.NullPool)
    except (ArgumentError, NoSuchModuleError):
        raise UsageError(
            "CDMFLOW_SOURCE_URL is not a database URL.",
            state=NOTHING_LOADED,
            todo="Write it as SQLAlchemy does: postgresql://USER:PASSWORD@HOST:PORT/DATABASE, sqlite:////FILE.",
        ) from None
    except ImportError as error:
        raise UsageError(
            f"The driver of this kind of database is not installed ({error.name}).",
            state=NOTHING_LOADED,
            todo="Install it beside cdmflow: docs/how-to/data-engineer.md names the drivers.",
        ) from None


@contextmanager
def _snapshot(engine: sqlalchemy.Engine, workers: int) -> Iterator[list[sqlalchemy.Connection]]:
    """Connections whose transactions see the same moment: several of PostgreSQL, one of any other database."""
    by_itself, statements = SNAPSHOTS[engine.dialect.name]
    wanted = max(1, workers) if engine.dialect.name == "postgresql" else 1
    with ExitStack() as stack:
        opened: list[sqlalchemy.Connection] = []
        shared: str | None = None
        for _ in range(wanted):
            connection = stack.enter_context(engine.connect())
            if by_itself:
                connection = connection.execution_options(isolation_level="AUTOCOMMIT")
            for number, statement in enumerate(statements):
                connection.exec_driver_sql(statement)
                if number == 0 and shared is not None:
                    connection.exec_driver_sql(f"SET TRANSACTION SNAPSHOT '{shared}'")
            if wanted > 1 and shared is None:
                shared = str(connection.exec_driver_sql("SELECT pg_export_snapshot()").scalar_one())
            opened.append(connection)
        yield opened


def _relations(connection: sqlalchemy.Connection, contract: Contract) -> tuple[list[_Relation], tuple[str, ...]]:
    """The contract's tables in the database; ContractError with all faults of tables and columns at once."""
    inspector = sqlalchemy.inspect(connection)
    names: dict[str | None, dict[str, str]] = {}
    found, missing, faults = [], [], []
    for table in contract.tables.values():
        schema, _, name = (table.relation or table.name).rpartition(".")
        if (schema or None) not in names:
            listed = [*inspector.get_table_names(schema or None), *inspector.get_view_names(schema or None)]
            names[schema or None] = {each.lower(): each for each in listed}
        actual = names[schema or None].get(name.lower())
        if actual is None:
            if table.required:
                faults.append(f"the table {table.relation or table.name} is missing")
            elif not table.merges:
                missing.append(table.name)
            continue
        if table.change == "append" and not table.key:
            faults.append(f"{table.name} is appended to and has no key, so its rows would come again every night")
        columns, lacking = _columns(table, [each["name"] for each in inspector.get_columns(actual, schema or None)])
        if lacking:
            faults.append(f"{actual} has no column {', '.join(lacking)}")
        found.append(_Relation(table, schema or None, actual, columns))
    if not found and not faults:
        faults.append("it has none of the contract's tables")
    if faults:
        raise ContractError(
            f"The source database does not fit {contract.path}: {'; '.join(faults)}.",
            state=NOTHING_LOADED,
            todo=f"Adapt {contract.path} (`relation` names a table or view, `change` how it is read), or the database.",
        )
    return found, tuple(missing)


def _columns(table: SourceTable, present: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """The database's columns by the contract's names, and the required ones that it lacks."""
    lowered = {name.lower(): name for name in present}
    columns: dict[str, str] = {}
    lacking = []
    for column in table.columns:
        spelling = next((s.lower() for s in (column.name, *column.aliases) if s.lower() in lowered), None)
        if spelling is not None:
            columns[column.name] = lowered[spelling]
        elif not column.optional:
            lacking.append(" or ".join((column.name, *column.aliases)))
    return columns, lacking


def _read(
    connection: sqlalchemy.Connection, relation: _Relation, since: object, until: date | None, output: Path
) -> None:
    own = sqlalchemy.table(
        relation.name, *(sqlalchemy.column(name) for name in relation.columns.values()), schema=relation.schema
    )
    query = sqlalchemy.select(*(own.c[actual].label(name) for name, actual in relation.columns.items()))
    watermark = relation.table.watermark
    if watermark is not None and since is not None:
        named = next(actual for name, actual in relation.columns.items() if name.lower() == watermark)
        query = query.where(own.c[named] >= since)
        if until is not None:
            query = query.where(own.c[named] < until)
    if connection.dialect.name == "postgresql":
        _copy(connection, query, output)
    else:
        _stream(connection, query, list(relation.columns), output)


def _copy(connection: sqlalchemy.Connection, query: sqlalchemy.Select[Any], output: Path) -> None:
    text = str(query.compile(connection, compile_kwargs={"literal_binds": True})).replace("%%", "%")
    cursor = connection.connection.cursor()
    with output.open("wb") as file:
        cursor.copy_expert(f"COPY ({text}) TO STDOUT (FORMAT csv, HEADER, ENCODING 'UTF8')", file)


def _stream(
    connection: sqlalchemy.Connection, query: sqlalchemy.Select[Any], names: Sequence[str], output: Path
) -> None:
    streaming = connection.execution_options(stream_results=True, yield_per=ROWS_AT_A_TIME)
    with output.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(names)
        for rows in streaming.execute(query).partitions():
            writer.writerows([_text(value) for value in row] for row in rows)


def _text(value: object) -> object:
    """As the contract's types are written: plain decimals, ISO dates and times, 1 and 0 for true and false."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, float):
        return format(Decimal(repr(value)), "f")
    if isinstance(value, Decimal):
        return format(value, "f")
    return value.isoformat(sep=" ") if isinstance(value, datetime) else value


@contextmanager
def _translated(url: str) -> Iterator[None]:
    """Driver errors by their class only: their text may hold a value or the URL's password."""
    try:
        yield
    except CdmflowError:
        raise
    except (SQLAlchemyError, psycopg2.Error) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        kind = type(cause).__name__
        where = sqlalchemy.make_url(url).set(query={}).render_as_string(hide_password=True)
        if kind in ("OperationalError", "InterfaceError", "DatabaseError", "AdminShutdown"):
            raise DatabaseUnavailable(
                f"The source database {where} cannot be reached, or the connection broke ({kind}).",
                state=NOTHING_LOADED,
                todo="Check CDMFLOW_SOURCE_URL, the server and the account's rights, then run again.",
            ) from None
        raise ContractError(
            f"The source database {where} cannot be read ({kind}).",
            state=NOTHING_LOADED,
            todo="Check that the account may read every table of the contract.",
        ) from None
