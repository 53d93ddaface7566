"""`trace` for 1,000 random ids of every event table, against a scan of the source file for the same person.

Each answer is held against the source file itself, read line by line with nothing of ours: one of the traced lines must
hold the person and the code of the CDM row. Needs a home that has published the folder:

    CDMFLOW_HOME=HOME ./cdmflow run --input DIR --vocabulary BUNDLE
"""

import argparse
import csv
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from etl.config import PROJECT, settings
from etl.engine import connection, quote_path
from etl.pipeline.runs import database, engine
from etl.pipeline.trace import Trace, trace

# event table: its column with the source's code
CODES = {
    "visit_occurrence": "visit_source_value",
    "visit_detail": "visit_detail_source_value",
    "condition_occurrence": "condition_source_value",
    "drug_exposure": "drug_source_value",
    "procedure_occurrence": "procedure_source_value",
    "device_exposure": "device_source_value",
    "measurement": "measurement_source_value",
    "observation": "observation_source_value",
}
SCANS, PROCESSES = 5, 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, required=True, help="left as it is; its server is started if need be")
    parser.add_argument("--input", type=Path, required=True, help="the folder that it published")
    parser.add_argument("--ids", type=int, default=1_000, help="of each table")
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    os.environ["CDMFLOW_HOME"] = str(chosen.home)
    chance = random.Random(chosen.seed)
    print(f"{'table':<22}{'rows':>11}{'ids':>7}{'right':>7}{'median':>10}{'slowest':>10}{'scan':>10}  scan ÷ trace")
    wrong = sum(measure(chosen.input, table, chosen.ids, chance) for table in CODES)
    print(f"\nas a command: {command(chance):.2f} s (median of {PROCESSES}, start of Python included)")
    sys.exit(1 if wrong else 0)


def query(sql: str) -> Sequence[Any]:
    with engine(database(settings())).connect() as con:
        return con.exec_driver_sql(sql).all()


def measure(source: Path, table: str, ids: int, chance: random.Random) -> int:
    """Trace random ids of a table and print its line; the number of wrong answers."""
    rows = query(
        f"SELECT {table}_id, person_source_value, {CODES[table]} FROM cdm.{table} JOIN cdm.person USING (person_id)"
    )
    picked = chance.sample(rows, min(ids, len(rows)))
    seconds: list[float] = []
    found: list[Trace] = []
    for row_id, _, _ in picked:
        started = time.perf_counter()
        found.append(trace(table, row_id))
        seconds.append(time.perf_counter() - started)
    right = count_right(source, found, picked)
    scans = [scan(source, found[n].sources[0].table, picked[n][1]) for n in range(min(SCANS, len(picked)))]
    median, scanned = statistics.median(seconds), statistics.median(scans)
    print(
        f"{table:<22}{len(rows):>11,}{len(picked):>7,}{right:>7,}{median * 1000:>7.0f} ms{max(seconds) * 1000:>7.0f} ms"
        f"{scanned * 1000:>7.0f} ms  {scanned / median:.1f}",
        flush=True,
    )
    return len(picked) - right


def count_right(source: Path, found: Sequence[Trace], picked: Sequence[Any]) -> int:
    """Traces one of whose lines holds the row's person and code."""
    wanted: dict[str, set[int]] = {}
    for one in found:
        for row in one.sources:
            assert row.origin is not None and row.origin.line_no is not None
            wanted.setdefault(row.table, set()).add(row.origin.line_no)
    lines = {table: lines_of(source / f"{table}.csv", numbers) for table, numbers in wanted.items()}
    return sum(
        any({person, code} <= lines[row.table][row.origin.line_no] for row in one.sources if row.origin)
        for one, (_, person, code) in zip(found, picked, strict=True)
    )


def lines_of(path: Path, numbers: set[int]) -> Mapping[int, frozenset[str]]:
    """The cells of these lines; the header is line 1."""
    with path.open(encoding="utf-8", newline="") as content:
        return {
            number: frozenset(next(csv.reader([line]))) for number, line in enumerate(content, 1) if number in numbers
        }


def scan(source: Path, table: str, person: str) -> float:
    """Seconds that DuckDB takes to read the file and keep the person's lines."""
    started = time.perf_counter()
    with connection(threads=2) as con:
        text = (
            f"read_csv({quote_path(source / f'{table}.csv')}, header = true, all_varchar = true, ignore_errors = true)"
        )
        column = "patientid" if table.startswith("claims") else "patient"
        con.execute(f"SELECT * FROM {text} WHERE {column} = ?", [person]).fetchall()
    return time.perf_counter() - started


def command(chance: random.Random) -> float:
    """Median seconds of `./cdmflow trace` as a process."""
    [*rows] = query("SELECT measurement_id FROM cdm.measurement LIMIT 100000")
    seconds = []
    for [row_id] in chance.sample(rows, PROCESSES):
        started = time.perf_counter()
        subprocess.run(
            [PROJECT / "cdmflow", "trace", "measurement", str(row_id)], check=True, stdout=subprocess.DEVNULL
        )
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


if __name__ == "__main__":
    main()
