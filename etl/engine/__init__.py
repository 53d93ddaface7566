"""Runs SQL files over Parquet. The only package that knows DuckDB and sqlglot."""

from etl.engine.dependencies import inputs_of
from etl.engine.digest import Digest, digest_sql_duckdb, digest_sql_postgres
from etl.engine.duck import (
    attach,
    check_columns,
    connection,
    count_rows,
    define_model,
    describe,
    duckdb_type,
    empty_relation,
    is_disk_full,
    quote_path,
    relation,
    run_model,
    write_parquet,
    written_beside,
)
from etl.engine.lint import Finding, lint
from etl.engine.template import names_in, render

__all__ = [
    "Digest",
    "Finding",
    "attach",
    "check_columns",
    "connection",
    "count_rows",
    "define_model",
    "describe",
    "digest_sql_duckdb",
    "digest_sql_postgres",
    "duckdb_type",
    "empty_relation",
    "inputs_of",
    "is_disk_full",
    "lint",
    "names_in",
    "quote_path",
    "relation",
    "render",
    "run_model",
    "write_parquet",
    "written_beside",
]
