"""A source database's table read by an extraction, against PostgreSQL's own COPY of it to a file, in one run.

A second embedded server is the hospital: one table of 10 million observations. Each way runs in a process of its own,
whose largest memory is told; then the same table is landed from the files. The extraction's worker count is one, so
that one session stands against one session.
"""

import argparse
import csv
import json
import os
import resource
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import psycopg2

from etl import land, state
from etl.config import PROJECT, Settings, settings
from etl.land import as_extracted, extract_database, land_folder, load_contract
from etl.postgres import ensure_server, remove_server

MAKE = """
    CREATE TABLE observations AS
    SELECT timestamp '2015-01-01' + n * interval '20 seconds' AS date, md5((n % 100000)::text) AS patient,
        md5((n / 12)::text) AS encounter, 'laboratory' AS category, (n % 9000)::text || '-4' AS code,
        'Observation number ' || n % 300 AS description, round((random() * 200)::numeric, 1)::text AS value,
        'mg/dL' AS units, 'numeric' AS type
    FROM generate_series(1, {rows}) AS n
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--way", choices=("copy", "extract", "stream", "land"), help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, default=None, help="for the database and the files; removed at the end")
    chosen = parser.parse_args()
    if chosen.way:
        print(json.dumps(measured(chosen.way, chosen.url, chosen.folder)))
        return
    root = chosen.folder or Path(tempfile.mkdtemp(prefix="bench-extract-"))
    root.chmod(0o711)
    hospital = replace(settings(), home=root / "hospital", database_url=None)
    try:
        compare(hospital, chosen.rows, root)
    finally:
        remove_server(hospital)
        remove_server(replace(settings(), home=root / "home", database_url=None))
        shutil.rmtree(root, ignore_errors=True)


def compare(hospital: Settings, rows: int, root: Path) -> None:
    url = ensure_server(hospital).etl_url
    with psycopg2.connect(url.replace("+psycopg2", "")) as connection, connection.cursor() as cursor:
        cursor.execute("SET search_path = public")
        cursor.execute(MAKE.format(rows=rows))
    told = {way: in_own_process(way, url, root) for way in ("copy", "extract", "copy", "extract", "land")}
    lite = make_sqlite(root / "copy" / "observations.csv", root / "hospital.db")
    told["stream"] = in_own_process("stream", lite, root)
    print(f"{rows:,} rows of 9 columns, {told['copy']['bytes'] / 1e9:.2f} GB of CSV")
    print(f"{'':<34}{'seconds':>8}{'rows/s':>12}{'peak MB':>9}{'ratio':>7}")
    names = {
        "copy": "COPY … TO STDOUT into a file", "extract": "extraction (PostgreSQL)",
        "stream": "extraction (SQLite, a cursor)", "land": "landing what was extracted",
    }  # fmt: skip
    for way, name in names.items():
        one = told[way]
        print(
            f"{name:<34}{one['seconds']:>8.1f}{rows / one['seconds']:>12,.0f}{one['peak_mb']:>9.0f}"
            f"{one['seconds'] / told['copy']['seconds']:>7.2f}"
        )


def in_own_process(way: str, url: str, root: Path) -> dict[str, float]:
    environment = os.environ | {"PYTHONPATH": str(PROJECT), "CDMFLOW_HOME": str(root / "home")}
    command = [sys.executable, "-m", "bench.extract", "--way", way, "--url", url, "--folder", str(root)]
    done = subprocess.run(command, env=environment, cwd=PROJECT, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def measured(way: str, url: str, root: Path) -> dict[str, float]:
    """Seconds of one way, bytes of its file, and the most memory that its process had."""
    contract = load_contract(settings(), "synthea")
    contract = replace(contract, tables={"observations": contract.tables["observations"]})
    folder = root / ("extract" if way == "land" else way)
    folder.mkdir(exist_ok=True)
    output = folder / "observations.csv"
    engine = None
    if way == "land":
        engine = state.connect(ensure_server(settings()).etl_url)
        state.create_tables(engine)
    began = time.perf_counter()
    if way == "copy":
        with (
            psycopg2.connect(url.replace("+psycopg2", "")) as connection,
            connection.cursor() as cursor,
            output.open("wb") as file,
        ):
            cursor.copy_expert("COPY public.observations TO STDOUT (FORMAT csv, HEADER)", file)
    elif way == "extract":
        extract_database(url, public(contract), folder)
    elif way == "stream":
        extract_database(url, contract, folder)
    else:
        assert engine is not None
        land_folder(settings(), engine, as_extracted(contract), folder, run_id="bench")
    seconds = time.perf_counter() - began
    return {
        "seconds": seconds,
        "bytes": output.stat().st_size,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def make_sqlite(rows: Path, file: Path) -> str:
    """The same table as a SQLite database; its URL."""
    with rows.open(encoding="utf-8", newline="") as lines, sqlite3.connect(file) as connection:
        reader = csv.reader(lines)
        names = next(reader)
        connection.execute(f"CREATE TABLE observations ({', '.join(names)})")
        connection.executemany(f"INSERT INTO observations VALUES ({', '.join('?' * len(names))})", reader)
    connection.close()
    return f"sqlite:///{file}"


def public(contract: land.Contract) -> land.Contract:
    tables = {name: replace(table, relation=f"public.{name}") for name, table in contract.tables.items()}
    return replace(contract, tables=tables)


if __name__ == "__main__":
    main()
