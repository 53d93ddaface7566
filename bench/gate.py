"""The gate's verdict on a whole CDM, three ways in one run.

- In the engine, all checks of ours and all 2,374 of OHDSI's Data Quality Dashboard, against a plain scan that decodes
  every column of the same files; and with Great Expectations and all pages.
- The 2,374 one by one in PostgreSQL on the published tables, as DQD asks them; both must count the same.
- The verdict of a night that touches a share of the persons, from counts that are maintained, against the full one.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from bench.nightly import home_of, run, run_in_copy, write_night
from etl import quality
from etl.cdm import quoted
from etl.config import settings
from etl.demo import demo_vocabulary_folder
from etl.engine import connection, count_rows, quote_path
from etl.pipeline import runs
from etl.pipeline.account import source_accounts, table_accounts
from etl.postgres.database import open_connection
from etl.publish.vocabulary import vocabulary_schema
from etl.quality.dqd.catalogue import read_catalogue
from etl.quality.dqd.definition import Places, denominator, violated_count

TIMES = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, default=10_000)
    parser.add_argument("--share", type=float, default=0.01)
    parser.add_argument("--folder", type=Path, required=True, help="for the CSV files (kept) and a home (removed)")
    parser.add_argument("--in-copy", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if not chosen.in_copy:
        run_in_copy(chosen.folder, "bench/gate.py")
    with home_of(chosen.patients, chosen.folder) as source:
        _, rows = run(str(source), str(demo_vocabulary_folder()), is_drop=False)
        print(f"{chosen.patients:,} patients, {rows:,} CDM rows, {os.cpu_count()} cores")
        whole = newest_run()
        compare_with_scan(whole)
        compare_with_postgres(whole)
        compare_with_night(whole, source, int(chosen.patients * chosen.share), chosen.folder)


def newest_run() -> runs.Run:
    with runs.engine(runs.database(settings())).connect() as con:
        query = "SELECT run_id FROM etl.run WHERE status = 'published' ORDER BY started_at DESC LIMIT 1"
        return runs.load_run(con.exec_driver_sql(query).scalar_one())


def median(work: Callable[[], object]) -> float:
    seconds = []
    for _ in range(TIMES):
        began = time.monotonic()
        work()
        seconds.append(time.monotonic() - began)
    return statistics.median(seconds)


def scan(run: runs.Run) -> None:
    """Decode every value of every column once: a hash of each, so that no footer can answer for it."""
    with connection(settings().workers, settings().memory_limit) as con:
        for path in (run.folder / "cdm").glob("*.parquet"):
            if count_rows([path]):
                source = f"read_parquet({quote_path(path)})"
                columns = [row[0] for row in con.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()]
                con.execute(
                    f"SELECT {', '.join(f'bit_xor(hash({quoted(name)}))' for name in columns)} FROM {source}"
                ).fetchall()


def counted(run: runs.Run) -> list[quality.CheckResult]:
    assert run.vocabulary_id is not None
    ledger = source_accounts(table_accounts(runs.engine(runs.database(settings())), run))
    vocabulary = runs.vocabulary_folder(run.vocabulary_id)
    return quality.compute_candidate(settings(), run.folder, vocabulary, ledger, deprecated=True)


def compare_with_scan(run: runs.Run) -> None:
    quality.warm_up().join()
    plain, engine = median(lambda: scan(run)), median(lambda: counted(run))
    results = counted(run)
    print(f"plain scan of every column   {plain:7.1f} s")
    print(f"{len(results):,} checks in the engine    {engine:7.1f} s = {engine / plain:.1f} × the scan")
    dashboard = read_catalogue(settings().expectations_dir / "dqd", deprecated=True)
    with tempfile.TemporaryDirectory() as folder:
        verdict = median(lambda: quality.gate_candidate(results, Path(folder), dashboard=dashboard))
    print(f"Great Expectations, its pages{verdict:7.1f} s; with the counts {(engine + verdict) / plain:.1f} × the scan")


def compare_with_postgres(run: runs.Run) -> None:
    """One statement a check, as DQD runs them; the time of the engine's part is taken beside it."""
    assert run.vocabulary_id is not None
    with runs.engine(runs.database(settings())).connect() as con:
        query = f"SELECT schema_name FROM etl.release WHERE run_id = '{run.run_id}'"
        schema = con.exec_driver_sql(query).scalar_one()
    places = Places(schema, vocabulary_schema(run.vocabulary_id), results="results")
    began = time.monotonic()
    results = {result.check_id: result for result in counted(run)}
    engine = time.monotonic() - began
    catalogue = read_catalogue(settings().expectations_dir / "dqd", deprecated=True)
    differing, seconds = [], 0.0
    with closing(open_connection(runs.database(settings()).etl_url)) as con, con, con.cursor() as cursor:
        for check in catalogue:
            began = time.monotonic()
            cursor.execute(f"SELECT ({violated_count(check, places)}), ({denominator(check, places)})")
            found = cursor.fetchone()
            seconds += time.monotonic() - began
            mine = results[check.check_id]
            if mine.status != "error" and found != (mine.violated, mine.denominator):
                differing.append(f"{check.check_id}: {found} there, {(mine.violated, mine.denominator)} here")
    print(f"{len(catalogue):,} one by one in PostgreSQL {seconds:7.1f} s = {seconds / engine:.0f} × the engine's "
          f"{engine:.1f} s; {len(differing)} counts differ")  # fmt: skip
    for line in differing[:10]:
        print(f"  {line}")


def compare_with_night(whole: runs.Run, source: Path, persons: int, folder: Path) -> None:
    run(str(write_night(source, folder / "night", 1, persons, 0)), None, is_drop=True)
    night = newest_run()
    with runs.engine(runs.database(settings())).connect() as con:
        seconds = {
            run_id: con.exec_driver_sql(
                f"SELECT sum(seconds) FROM etl.run_step WHERE run_id = '{run_id}' AND step IN ('gate', 'drift_gate')"
            ).scalar_one()
            for run_id in (whole.run_id, night.run_id)
        }
    share = seconds[night.run_id] / seconds[whole.run_id]
    print(f"the gates' steps             {seconds[whole.run_id]:7.1f} s for all persons, "
          f"{seconds[night.run_id]:.1f} s for a night of {persons:,} = {share:.0%}")  # fmt: skip


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    os._exit(0)
