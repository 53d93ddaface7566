"""DuckDB connections and the model runner: one SELECT over Parquet in, one Parquet out."""

import errno
import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

import duckdb
import pyarrow.parquet

from etl.cdm import Column, quoted
from etl.config import settings
from etl.engine.dependencies import inputs_of
from etl.engine.template import render
from etl.errors import CdmflowError

# Files of a run live days: Snappy takes 1.7 s CPU to write 2 million events and 0.9 s to read them, ZSTD level 1
# 2.6 s and 1.4 s for a quarter less bytes (67 MB and 51 MB).
PARQUET = "FORMAT parquet, COMPRESSION snappy"

# What DuckDB says of a full disk: the system's words where it writes a result, its own where it spills.
NO_SPACE = (os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT), "max_temp_directory_size")

DUCKDB_TYPES = {"timestamp": "TIMESTAMP", "date": "DATE", "integer": "INTEGER", "bigint": "BIGINT", "text": "VARCHAR"}


def quote_path(path: Path | str) -> str:
    """A SQL string literal."""
    return "'" + str(path).replace("'", "''") + "'"


def duckdb_type(sql_type: str) -> str:
    """DuckDB's name of a declared type: lengths of text are not its business."""
    lowered = sql_type.lower()
    if lowered.startswith("varchar"):
        return "VARCHAR"
    if lowered in ("double", "double precision"):
        return "DOUBLE"
    return DUCKDB_TYPES.get(lowered, lowered.replace(" ", "").upper())


@contextmanager
def connection(threads: int | None = None, memory_limit: str | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
    """An in-memory DuckDB in UTC that spills into the lake and never loads an extension from the network."""
    configured = settings()
    spill = configured.lake / "spill"
    spill.mkdir(parents=True, exist_ok=True)
    opened = duckdb.connect(
        config={
            "threads": threads or configured.workers,
            "memory_limit": memory_limit or configured.memory_limit,
            "temp_directory": str(spill),
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        }
    )
    try:
        opened.execute("SET TimeZone = 'UTC'")
        yield opened
    finally:
        opened.close()


def relation(paths: Sequence[Path]) -> str:
    """The FROM clause text of the union of these Parquet files."""
    return f"read_parquet([{', '.join(quote_path(path) for path in paths)}])"


def empty_relation(columns: Sequence[Column]) -> str:
    """A SELECT with these columns and no row: what a table without a file is."""
    casts = ", ".join(f"CAST(NULL AS {duckdb_type(column.sql_type)}) AS {quoted(column.name)}" for column in columns)
    return f"SELECT {casts} WHERE false"


def write_parquet(con: duckdb.DuckDBPyConnection, select: str, output: Path) -> int:
    """Run a SELECT into a Parquet file beside its place and rename it; the number of rows.

    A kill leaves at most a `.part` file that nobody reads. Order of rows is not kept: nothing may depend on it.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    with written_beside(output) as beside:
        row = con.execute(f"COPY ({select}) TO {quote_path(beside)} ({PARQUET})").fetchone()
    return int(row[0]) if row else 0


@contextmanager
def written_beside(output: Path) -> Iterator[Path]:
    """Where to write a file that gets its name when it is whole; what an error leaves of it is removed."""
    beside = output.with_name(f".{output.name}.{secrets.token_hex(4)}.part")
    try:
        yield beside
        beside.replace(output)
    finally:
        beside.unlink(missing_ok=True)


def is_disk_full(error: BaseException) -> bool:
    """Whether it says that a disk has no space left: Python's and Arrow's errors by number, DuckDB's in words."""
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return isinstance(error, duckdb.Error) and any(text in str(error) for text in NO_SPACE)


def attach(con: duckdb.DuckDBPyConnection, name: str, paths: Sequence[Path]) -> None:
    """Make the files readable as `schema.table`."""
    schema, table = name.split(".")
    con.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted(schema)}")
    con.execute(f"CREATE OR REPLACE VIEW {quoted(schema)}.{quoted(table)} AS SELECT * FROM {relation(paths)}")


def define_model(
    con: duckdb.DuckDBPyConnection,
    name: str,
    sql_texts: Sequence[str],
    inputs: Mapping[str, Sequence[Path]],
    variables: Mapping[str, Mapping[str, object]],
) -> None:
    """Make a model readable as `schema.table` without writing it: a view of the union of its SQL files.

    What it reads is attached from `inputs` (replacing what was there by that name), else must be defined already.
    """
    selects = [render(text, variables).strip().rstrip(";") for text in sql_texts]
    for read in sorted(frozenset[str]().union(*(inputs_of(select) for select in selects))):
        if read in inputs:
            attach(con, read, inputs[read])
    schema, table = name.split(".")
    con.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted(schema)}")
    union = " UNION ALL ".join(f"({select})" for select in selects)
    con.execute(f"CREATE OR REPLACE VIEW {quoted(schema)}.{quoted(table)} AS {union}")


def run_model(
    sql_text: str,
    inputs: Mapping[str, Sequence[Path]],
    output: Path,
    *,
    columns: Sequence[Column] | None,
    variables: Mapping[str, Mapping[str, object]],
    con: duckdb.DuckDBPyConnection | None = None,
) -> int:
    """Run one SQL file over its inputs and write its output; the number of rows.

    `inputs` gives the Parquet files of every relation by name and may name more than the file reads.
    `columns` are the declared ones: other names, order or types are an error before anything is written.
    `con` is a connection to use again (opening one takes 12 ms).
    """
    select = render(sql_text, variables).strip().rstrip(";")
    wanted = inputs_of(select)
    missing = sorted(wanted - set(inputs))
    if missing:
        raise CdmflowError(
            f"{output.stem} reads {', '.join(missing)}, which this run does not have.",
            state="Nothing was written.",
            todo="Check the spelling in the SQL file, or add the SQL file that makes it.",
        )
    with nullcontext(con) if con is not None else connection() as used:
        used.execute("SET preserve_insertion_order = false")
        for name in sorted(wanted):
            attach(used, name, inputs[name])
        try:
            if columns is not None:
                check_columns(used, select, columns, output.stem)
            return write_parquet(used, select, output)
        except duckdb.Error as error:
            if is_disk_full(error):
                raise
            # DuckDB's message may quote a value of a row (a failed cast does); its class does not.
            raise CdmflowError(
                f"The SQL of {output.stem} failed: {describe(error)}.",
                state="Nothing of it was written; earlier outputs of the run are kept.",
                todo="Run the model on its inputs in a DuckDB shell to see the row.",
            ) from None


def describe(error: duckdb.Error) -> str:
    """What may be told of a DuckDB error: for mistakes in the SQL its message, for data errors its class only."""
    if isinstance(error, (duckdb.BinderException, duckdb.CatalogException, duckdb.ParserException)):
        return str(error).splitlines()[0]
    if isinstance(error, (duckdb.OutOfMemoryException, duckdb.IOException)):
        return f"{type(error).__name__}: {str(error).splitlines()[0]}"
    return type(error).__name__


def check_columns(con: duckdb.DuckDBPyConnection, select: str, columns: Sequence[Column], model: str) -> None:
    """Compare the SELECT's columns with the declared ones: names, order and types."""
    found = [(row[0], row[1]) for row in con.execute(f"DESCRIBE {select}").fetchall()]
    declared = [(column.name, duckdb_type(column.sql_type)) for column in columns]
    if found == declared:
        return
    differing = [
        f"{' '.join(have) if have else 'nothing'} instead of {' '.join(want) if want else 'nothing'}"
        for have, want in _side_by_side(found, declared)
        if have != want
    ]
    raise CdmflowError(
        f"{model} does not give its declared columns: {'; '.join(differing[:5])}.",
        state="Nothing of it was written.",
        todo="Cast every output column to its declared type, in the declared order.",
    )


def _side_by_side(
    found: list[tuple[str, str]], declared: list[tuple[str, str]]
) -> Iterator[tuple[tuple[str, str] | None, tuple[str, str] | None]]:
    for position in range(max(len(found), len(declared))):
        yield (
            found[position] if position < len(found) else None,
            declared[position] if position < len(declared) else None,
        )


def count_rows(paths: Sequence[Path]) -> int:
    """Rows of Parquet files, from their footers."""
    return sum(pyarrow.parquet.read_metadata(path).num_rows for path in paths)
