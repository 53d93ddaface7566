"""A Great Expectations data source that reads Parquet through one DuckDB connection.

Great Expectations closes the connection after every query of a dialect it does not know, and an in-memory DuckDB dies
with its connection. These few lines keep it open; a test fails when Great Expectations changes what they replace.
"""

import atexit
import gc
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import sqlalchemy
from great_expectations.datasource.fluent.sql_datasource import SQLDatasource
from great_expectations.execution_engine import SqlAlchemyExecutionEngine

from etl.cdm import quoted
from etl.engine import quote_path

# The version whose `get_connection` and `get_execution_engine` were read when these lines were written.
WRITTEN_FOR = "1.24.1"


class StayingConnectionEngine(SqlAlchemyExecutionEngine):  # type: ignore[misc]
    """The SQL execution engine, with one connection for its lifetime."""

    _connection: Any

    @contextmanager
    def get_connection(self) -> Iterator[Any]:
        if self._connection is None or self._connection.closed:
            self._connection = self.engine.connect()
        yield self._connection


class ParquetDatasource(SQLDatasource):  # type: ignore[misc]
    """Tables are views over Parquet files in an in-memory DuckDB."""

    type: Literal["parquet"] = "parquet"
    connection_string: str = "duckdb:///:memory:"

    @property
    def execution_engine_type(self) -> Any:
        return StayingConnectionEngine

    def _create_engine(self) -> sqlalchemy.Engine:
        # A static pool has one connection: views made on it are there for every query.
        return sqlalchemy.create_engine(
            self.connection_string, poolclass=sqlalchemy.StaticPool, connect_args={"config": self.kwargs}
        )

    def get_execution_engine(self) -> Any:
        opened: Any = getattr(self, "_execution_engine", None)
        if opened is None:
            opened = StayingConnectionEngine(engine=self.get_engine(), create_temp_table=False)
            self._execution_engine = opened
        return opened


def add_parquet_source(
    ctx: Any, files: Mapping[str, Path], duckdb_config: Mapping[str, Any]
) -> tuple[Any, dict[str, Any]]:
    """A data source with a view and a whole-table batch definition per file; close it with `close_source`."""
    atexit.register(release_driver)
    source = ctx.data_sources.add_parquet(name="landing", kwargs=dict(duckdb_config))
    with source.get_engine().connect() as connection:
        for name, path in files.items():
            connection.exec_driver_sql(f"CREATE VIEW {quoted(name)} AS SELECT * FROM read_parquet({quote_path(path)})")
        connection.commit()
    batches = {
        name: source.add_table_asset(name, table_name=name).add_batch_definition_whole_table("batch") for name in files
    }
    return source, batches


def release_driver() -> None:
    """Let go of DuckDB before the interpreter ends.

    Great Expectations keeps SQLAlchemy's types alive to the end, those keep duckdb_engine, and DuckDB's binding then
    writes 43 lines about leaks to the user's terminal. Nothing uses the driver any more when this runs.
    """
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == "duckdb_engine":
            vars(module).clear()
    gc.collect()


def close_source(source: Any) -> None:
    """Close the connection, let go of the files, and of DuckDB's types that the dialect remembers per column."""
    engine = source.get_execution_engine()
    engine.engine.dialect._type_memos.clear()
    engine.close()
