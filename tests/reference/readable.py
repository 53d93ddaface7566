"""A DuckDB in which a comparison's SQL reads the source files, the published output and a run's own tables by name.

src.encounters                the source's CSV, every column as text
ref.visit_occurrence          the published CSV, every column as text
cdm.…, map.…, source.…, vocabulary.…    the Parquet files of our run
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import duckdb

from etl.engine import attach, quote_path


def csv_stem(path: Path) -> str:
    return path.name.split(".")[0].lower()


def read_csv_folder(con: duckdb.DuckDBPyConnection, schema: str, folder: Path, delimiter: str = ",") -> None:
    """Each file a table of texts; an empty cell is NULL. gzip is read as it is."""
    con.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
    for path in sorted(folder.iterdir()):
        if path.name.endswith((".csv", ".csv.gz")):
            con.execute(
                f"CREATE OR REPLACE TABLE {schema}.{csv_stem(path)} AS SELECT * FROM "
                f"read_csv({quote_path(path)}, header = true, all_varchar = true, delim = {quote_path(delimiter)})"
            )


def read_run(con: duckdb.DuckDBPyConnection, relations: Mapping[str, Sequence[Path]]) -> None:
    """Every relation of a run that has its files."""
    for name, paths in relations.items():
        if paths and all(path.exists() for path in paths):
            attach(con, name, paths)
