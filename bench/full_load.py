"""From CSV to a published release, against the limit of what it is made of, in one run.

The limit: DuckDB reading the contract's columns of the same CSV files, then the same CDM rows into the same PostgreSQL:
two COPY streams, primary keys, indexes, foreign keys, two sessions at a time. Nothing of ours is in it but the DDL.
The load runs twice into fresh homes: with the gates, and with their verdicts given.
"""

import argparse
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

from etl.cdm import foreign_key_clauses, index_ddl, primary_key_ddl, quoted, tables
from etl.config import settings
from etl.demo import demo_vocabulary_folder, write_hospital
from etl.engine import connection, count_rows, duckdb_type
from etl.land import load_contract, plan_folder
from etl.land.parsing import read_text
from etl.pipeline import runs, tasks
from etl.pipeline.execute import run_steps
from etl.postgres import remove_server
from etl.postgres.database import open_connection
from etl.publish.transfer import create_and_copy

WORKERS = 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patients", type=int, default=10_000)
    parser.add_argument("--folder", type=Path, required=True, help="for the CSV files (kept) and two homes (removed)")
    chosen = parser.parse_args()
    source = chosen.folder / f"hospital-{chosen.patients}"
    if not (source / "manifest.json").exists():
        write_hospital(source, patients=chosen.patients)
    size = sum(path.stat().st_size for path in source.glob("*.csv"))
    print(f"{chosen.patients:,} patients, {size / 1e9:.2f} GB of CSV, {WORKERS} workers, {os.cpu_count()} cores")
    read = reading(source)
    print(f"limit: reading             {read:6.1f} s")
    gated, rows, database_limit = measure(chosen.folder / "home-gated", source, gates=True, with_limit=True)
    ungated, _, _ = measure(chosen.folder / "home-ungated", source, gates=False)
    limit = read + database_limit
    print(f"limit: COPY, keys, indexes {database_limit:6.1f} s\nlimit, together            {limit:6.1f} s")
    for name, seconds in (("with the gates", gated), ("without the gates", ungated)):
        print(
            f"{name:<26} {seconds:6.1f} s = {seconds / limit:.2f} × the limit, {rows / seconds:,.0f} CDM rows a second"
        )


def reading(source: Path) -> float:
    """Seconds to read the contract's columns of all files, typed, on all cores, in any order, keeping nothing."""
    contract = load_contract(settings(), "synthea")
    plan = plan_folder(contract, source)
    started = time.monotonic()
    with connection(threads=WORKERS) as con:
        con.execute("SET preserve_insertion_order = false")
        for name, parts in plan.files.items():
            table = contract.tables[name]
            typed = ", ".join(
                f"count(try_cast({quoted(column.lower)} AS {duckdb_type(column.sql_type)}))" for column in table.columns
            )
            for path in parts:
                con.execute(f"SELECT {typed} FROM {read_text(path, plan.headers[name], table, 100)}").fetchall()
    return time.monotonic() - started


def measure(home: Path, source: Path, *, gates: bool, with_limit: bool = False) -> tuple[float, int, float]:
    """Seconds of a whole load into a fresh home, its CDM rows, and the database's part of the limit for these rows."""
    with home_at(home):
        runs.database(settings())
        run_id = runs.open_run(
            source="synthea", input_folder=str(source), vocabulary_folder=str(demo_vocabulary_folder())
        )
        with peak_memory() as peak, given_verdicts(not gates):
            started = time.monotonic()
            results = run_steps(run_id, workers=WORKERS)
            seconds = time.monotonic() - started
        title = "with the gates" if gates else "without the gates"
        print(f"\n{title}: {seconds:.1f} s, peak memory {peak() / 1e9:.2f} GB (this process and PostgreSQL)")
        groups: dict[str, float] = {}
        known = {step.name: step for step in tasks.steps("synthea")}
        for result in results:
            step = known[result.step]
            name = result.step if step.group in ("land", "gate", "publish", "vocabulary") else step.group
            groups[name] = groups.get(name, 0.0) + result.seconds
        for name, spent in groups.items():
            print(f"  {name:<20} {spent:6.1f} s")
        run = runs.load_run(run_id)
        rows = sum(count_rows([path]) for path in (run.folder / "cdm").glob("*.parquet"))
        limit = loading(run.folder / "cdm", f"vocabulary_v{run.vocabulary_id}") if with_limit else 0.0
    return seconds, rows, limit


def loading(cdm: Path, vocabulary: str) -> float:
    """Seconds for the same rows into new tables of the same server, with all keys and indexes, on two sessions."""
    database = runs.database(settings())
    chosen = [table for table in tables().values() if table.schema == "CDM"]
    files = {table.name: [path] if (path := cdm / f"{table.name}.parquet").exists() else [] for table in chosen}
    largest_first = sorted(chosen, key=lambda table: -count_rows(files[table.name]))
    execute(database.etl_url, ["CREATE SCHEMA bench_limit"])

    def fill(table) -> None:  # type: ignore[no-untyped-def]
        opened = closing(open_connection(database.etl_url))
        with opened as con, connection(threads=1) as duck, con, con.cursor() as cursor:
            create_and_copy(cursor, duck, table, "bench_limit", files[table.name])
        statements = [primary_key_ddl(table, "bench_limit"), *index_ddl(table, "bench_limit")]
        execute(database.etl_url, [statement for statement in statements if statement])

    def validate(table) -> None:  # type: ignore[no-untyped-def]
        keys = foreign_key_clauses(table, "bench_limit", vocabulary)
        execute(
            database.etl_url,
            [f"ALTER TABLE bench_limit.{quoted(table.name)} VALIDATE CONSTRAINT {quoted(key)}" for key in keys],
        )

    started = time.monotonic()
    in_parallel(fill, largest_first)
    execute(
        database.etl_url,
        [
            f"ALTER TABLE bench_limit.{quoted(table.name)} {clause} NOT VALID"
            for table in chosen
            for clause in foreign_key_clauses(table, "bench_limit", vocabulary).values()
        ],
    )
    in_parallel(validate, largest_first)
    return time.monotonic() - started


def in_parallel(work: Callable[..., None], items: list) -> None:  # type: ignore[type-arg]
    with ThreadPoolExecutor(WORKERS) as pool:
        for _ in pool.map(work, items):
            pass


def execute(url: str, statements: list[str]) -> None:
    with closing(open_connection(url)) as con, con, con.cursor() as cursor:
        cursor.execute("SET maintenance_work_mem = '256MB'")
        cursor.execute("SET max_parallel_maintenance_workers = 0")
        for statement in statements:
            cursor.execute(statement)


@contextmanager
def home_at(home: Path) -> Iterator[None]:
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    home.chmod(0o711)
    os.environ["CDMFLOW_HOME"] = str(home)
    try:
        yield
    finally:
        remove_server(settings())
        shutil.rmtree(home, ignore_errors=True)


@contextmanager
def given_verdicts(given: bool) -> Iterator[None]:
    """Replace the gates by a verdict that says what a clean run's would: what they cost is the difference."""
    passed = {"passed": True, "expected": 1, "evaluated": 1, "failed": [], "warnings": [], "reasons": []}
    before = dict(tasks.WORK)

    def give(column: str) -> Callable[[runs.Run], tuple[None, None, str]]:
        def verdict(run: runs.Run) -> tuple[None, None, str]:
            runs.record(run.run_id, **{column: passed})
            return None, None, "given"

        return verdict

    if given:
        tasks.WORK.update(landing_gate=give("landing_verdict"), gate=give("verdict"), drift_gate=give("drift_verdict"))
    try:
        yield
    finally:
        tasks.WORK.update(before)


@contextmanager
def peak_memory() -> Iterator[Callable[[], int]]:
    """The highest proportional set size of this process and the home's PostgreSQL, in bytes, sampled twice a second."""
    highest = 0
    done = threading.Event()

    def sample() -> None:
        nonlocal highest
        while not done.wait(0.5):
            highest = max(highest, sum(pss(pid) for pid in processes()))

    watcher = threading.Thread(target=sample, daemon=True)
    watcher.start()
    try:
        yield lambda: highest
    finally:
        done.set()
        watcher.join()


def processes() -> list[int]:
    """This process and every server process whose data directory lies in the home."""
    found = [os.getpid()]
    home = str(settings().home).encode()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                cwd = os.fsencode((entry / "cwd").readlink())
            except OSError:
                continue
            if cwd.startswith(home):
                found.append(int(entry.name))
    return found


def pss(pid: int) -> int:
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        return 0
    return 0


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    os._exit(0)
