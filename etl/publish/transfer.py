"""One table from Parquet to PostgreSQL: a stream of CSV through a pipe, and a digest on both sides.

Measured on 800,000 measurement rows, 2 cores: DuckDB's CSV into COPY 1.6–2.0 s whatever the size of the pipe or the
number of DuckDB threads; PostgreSQL's text format 1.7–2.1 s with a third more of DuckDB's time, since it must then
escape every text itself. So: CSV, one thread.
"""

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from etl import engine
from etl.cdm import Table, ddl, quoted
from etl.engine import Digest, check_columns, digest_sql_duckdb, digest_sql_postgres
from etl.errors import CdmflowError

# NULL is an empty field and '' is "": both sides of the pipe agree on it. Everything else that needs quotes gets them.
CSV_OUT = "FORMAT csv, HEADER false, NULLSTR '', QUOTE '\"', ESCAPE '\"', DELIMITER ','"
CSV_IN = "FORMAT csv, FREEZE"
CHUNK_BYTES = 1 << 18
DUCKDB_MEMORY = "512MB"  # a stream holds a few row groups; one per session runs beside PostgreSQL


@contextmanager
def candidate_reader(threads: int) -> Iterator[Any]:
    """The DuckDB that all streams of a load read with, in memory that does not grow with the candidate.

    Rows come in no order: to keep that of the file, DuckDB takes in what PostgreSQL has not taken yet, without end. Of
    two streams of 12 million measurements it held all 488 MB, then failed; without their order 195 MB.
    """
    with engine.connection(threads=threads, memory_limit=DUCKDB_MEMORY) as source:
        source.execute("SET preserve_insertion_order = false")
        yield source


def selected(table: Table, paths: Sequence[Path]) -> str:
    """The table's columns in the specification's order, from its Parquet files."""
    columns = ", ".join(quoted(field.name) for field in table.fields)
    return f"SELECT {columns} FROM {engine.relation(paths)}"


@contextmanager
def csv_stream(source: Any, table: Table, paths: Sequence[Path]) -> Iterator[BinaryIO]:
    """The rows as CSV, made by DuckDB while they are read. Leaving the context raises what went wrong in DuckDB.

    A reader that stops early closes the pipe, which ends the writer.
    """
    reader, writer = os.pipe()
    failures: list[CdmflowError] = []
    feeder = threading.Thread(target=_feed, args=(source, table, paths, writer, failures), name=f"csv-{table.name}")
    feeder.start()
    try:
        with os.fdopen(reader, "rb", buffering=0) as stream:
            yield stream
    finally:
        feeder.join()
    if failures:
        raise failures[0]


def _feed(source: Any, table: Table, paths: Sequence[Path], writer: int, failures: list[CdmflowError]) -> None:
    try:
        with reading(source, table.name) as con:
            check_columns(con, selected(table, paths), table.fields, table.name)
            con.execute(f"COPY ({selected(table, paths)}) TO '/dev/fd/{writer}' ({CSV_OUT})")
    except CdmflowError as error:
        failures.append(error)
    finally:
        os.close(writer)


@contextmanager
def reading(source: Any, name: str) -> Iterator[Any]:
    """A DuckDB cursor of the load's one connection (a connection of its own costs 18 ms a table).

    What goes wrong is told by the class of the error, since DuckDB's message may quote a value.
    """
    try:
        with closing(source.cursor()) as cursor:
            yield cursor
    except CdmflowError:
        raise
    except Exception as error:  # noqa: BLE001 - the class of DuckDB's errors belongs to etl.engine
        raise CdmflowError(
            f"Reading the candidate's {name} failed: {type(error).__name__}.",
            state="Nothing of this release is visible to anyone.",
            todo="Run again; if it stays, delete the run's folder so that the table is made anew.",
        ) from None


def create_and_copy(cursor: Any, source: Any, table: Table, schema: str, paths: Sequence[Path]) -> int:
    """CREATE TABLE and COPY … FREEZE in the caller's transaction; the number of rows.

    FREEZE makes the rows visible to every snapshot, also to a REPEATABLE READ transaction that began before the
    switch, and spares them their vacuum. Autovacuum stays off until the table is finished: an index build waits a
    second (deadlock_timeout) for an autovacuum that is in its way.
    """
    cursor.execute(ddl(table, schema) + " WITH (autovacuum_enabled = false)")
    if not paths:
        return 0
    names = ", ".join(quoted(field.name) for field in table.fields)
    with csv_stream(source, table, paths) as stream:
        copy = f"COPY {quoted(schema)}.{quoted(table.name)} ({names}) FROM STDIN WITH ({CSV_IN})"
        cursor.copy_expert(copy, stream, size=CHUNK_BYTES)
        rows = int(cursor.rowcount)
    return rows


def candidate_digest(source: Any, table: Table, paths: Sequence[Path]) -> Digest:
    """The digest of the Parquet side."""
    if not paths:
        return Digest(0, 0, 0)
    with reading(source, table.name) as con:
        row = con.execute(digest_sql_duckdb(engine.relation(paths), table.fields)).fetchone()
    return Digest(*(int(value) for value in row))


def published_digest(cursor: Any, table: Table, schema: str) -> Digest:
    """The digest of the PostgreSQL side."""
    cursor.execute(digest_sql_postgres(f"{quoted(schema)}.{quoted(table.name)}", table.fields))
    return Digest(*(int(value) for value in cursor.fetchone()))


def row_counts(source: Any, sources: dict[str, tuple[Path, ...]]) -> dict[str, int]:
    """Rows per table, from the Parquet footers; 0 for a table without a file."""
    counts = dict.fromkeys(sources, 0)
    for name, paths in sources.items():
        if paths:
            with reading(source, name) as con:
                row = con.execute(f"SELECT count(*) FROM {engine.relation(paths)}").fetchone()
            counts[name] = int(row[0])
    return counts
