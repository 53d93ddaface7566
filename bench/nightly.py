"""A night that touches a share of the patients, against the full load of the same hospital, in one run.

The hospital's tables are appended to (`change: append` in a copy of the project, as a site would write it), so that a
night's files hold the night only: one visit with a diagnosis and two measurements for each patient of the share. Two
nights: one of the same data cut-off, and one of the next day, which also concerns those whose observation it bounds.

With `--shares`, instead: nights that touch larger and larger shares, put in place and published whole, to see from
which share on all persons had better be made again (`etl.pipeline.scope.LARGEST_SHARE`).
"""

import argparse
import csv
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from etl.config import PROJECT, settings
from etl.demo import demo_vocabulary_folder, write_hospital
from etl.pipeline import runs, scope
from etl.pipeline.execute import run_steps
from etl.pipeline.refresh import load_version
from etl.postgres import remove_server

RARE = ("443597", "258780", "4185932")  # about 800 of 10,000 patients have one
COPIED = ("etl", "sql", "sources", "expectations", "bench")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patients", type=int, nargs="+", default=[10_000, 50_000])
    parser.add_argument("--share", type=float, default=0.01)
    parser.add_argument("--shares", type=float, nargs="+", help="compare put in place with published whole, for these")
    parser.add_argument("--folder", type=Path, required=True, help="for the CSV files (kept) and homes (removed)")
    parser.add_argument("--in-copy", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.in_copy:
        for patients in chosen.patients:
            if chosen.shares:
                compare_shares(patients, chosen.shares, chosen.folder)
            else:
                measure(patients, chosen.share, chosen.folder)
        return
    run_in_copy(chosen.folder, "bench/nightly.py")


def run_in_copy(folder: Path, script: str) -> NoReturn:
    """The same command in a copy of the project whose tables are appended to."""
    copy = folder / "appended"
    shutil.rmtree(copy, ignore_errors=True)
    for name in COPIED:
        shutil.copytree(PROJECT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    contract = copy / "sources/synthea/tables.yml"
    contract.write_text(contract.read_text().replace("change: snapshot", "change: append"))
    environment = os.environ | {"PYTHONPATH": str(copy)}
    command = [sys.executable, str(copy / script), "--in-copy", *sys.argv[1:]]
    raise SystemExit(subprocess.run(command, env=environment, cwd=copy, check=False).returncode)


def compare_shares(patients: int, shares: list[float], folder: Path) -> None:
    """The same share's night twice: some persons put in place, and everybody made again; the ratio of the two."""
    with home_of(patients, folder) as source:
        run(str(source), str(demo_vocabulary_folder()), is_drop=False)
        for number, share in enumerate(shares, start=1):
            seconds = {}
            for name, largest in (("in place", 1.0), ("whole", 0.0)):
                scope.LARGEST_SHARE = largest
                night = write_night(source, folder / "night", 10 * number + int(largest), int(patients * share), 0)
                seconds[name], _ = run(str(night), None, is_drop=True)
            ratio = seconds["in place"] / seconds["whole"]
            print(f"{share:>6.0%} of {patients:,} patients: in place {seconds['in place']:.1f} s, "
                  f"whole {seconds['whole']:.1f} s, ratio {ratio:.2f}", flush=True)  # fmt: skip


@contextmanager
def home_of(patients: int, folder: Path) -> Iterator[Path]:
    """The hospital's files, and an empty home as CDMFLOW_HOME until the end."""
    source = folder / f"hospital-{patients}"
    if not (source / "manifest.json").exists():
        write_hospital(source, patients=patients)
    home = folder / f"home-nightly-{patients}"
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(mode=0o711, parents=True)
    os.environ["CDMFLOW_HOME"] = str(home)
    try:
        runs.database(settings())
        yield source
    finally:
        remove_server(settings())
        runs.database.cache_clear()
        shutil.rmtree(home, ignore_errors=True)


def measure(patients: int, share: float, folder: Path) -> None:
    with home_of(patients, folder) as source:
        full, rows = run(str(source), str(demo_vocabulary_folder()), is_drop=False)
        print(f"{patients:,} patients: full load {full:.1f} s, {rows:,} CDM rows", flush=True)
        nothing, _ = run(str(write_night(source, folder / "night", 0, None, 0)), None, is_drop=True)
        print(f"  a night of one patient     {nothing:6.1f} s (start-up, mostly Great Expectations)")
        count = int(patients * share)
        for number, (name, days) in enumerate((("same cut-off", 0), ("next day's cut-off", 1)), start=1):
            night = write_night(source, folder / "night", number, count, days)
            seconds, _ = run(str(night), None, is_drop=True)
            print(f"  {name:<26} {seconds:6.1f} s = {seconds / full:.1%} of the full load, beyond start-up "
                  f"{(seconds - nothing) / full:.1%}; {told()}", flush=True)  # fmt: skip
        seconds = adopt(write_vocabulary(folder / "vocabulary"))
        print(f"  a vocabulary's change      {seconds:6.1f} s = {seconds / full:.1%} of the full load, beyond start-up "
              f"{(seconds - nothing) / full:.1%}; {told()}", flush=True)  # fmt: skip


def write_vocabulary(folder: Path) -> Path:
    """The demo's bundle with rare conditions of the hospital in another domain: 3 of its 256 codes, about 1 %."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(demo_vocabulary_folder(), folder)
    concepts = folder / "CONCEPT.csv"
    lines = concepts.read_text(encoding="utf-8").splitlines()
    changed = [
        line.replace("\tCondition\t", "\tObservation\t") if line.split("\t")[0] in RARE else line for line in lines
    ]
    concepts.write_text("\n".join(changed) + "\n", encoding="utf-8")
    return folder


def adopt(bundle: Path) -> float:
    """Seconds of adopting a version that is loaded; loading it is told apart."""
    began = time.monotonic()
    version = load_version(bundle)
    print(f"    loading the vocabulary {time.monotonic() - began:.1f} s", flush=True)
    return run(None, None, is_drop=False, vocabulary_id=version.vocabulary_id)[0]


def run(
    folder: str | None, vocabulary: str | None, *, is_drop: bool, vocabulary_id: int | None = None
) -> tuple[float, int]:
    """Seconds of a whole run, and the rows of its release."""
    started = time.monotonic()
    run_id = runs.open_run(
        source="synthea", input_folder=folder, vocabulary_folder=vocabulary, is_drop=is_drop,
        vocabulary_id=vocabulary_id,
    )  # fmt: skip
    run_steps(run_id)
    seconds = time.monotonic() - started
    with runs.engine(runs.database(settings())).connect() as con:
        tables = con.exec_driver_sql(f"SELECT tables FROM etl.release WHERE run_id = '{run_id}'").scalar_one()
        slow = con.exec_driver_sql(
            f"SELECT step, seconds FROM etl.run_step WHERE run_id = '{run_id}' ORDER BY seconds DESC LIMIT 6"
        )
        print("    " + ", ".join(f"{step} {took:.1f}" for step, took in slow), flush=True)
    return seconds, sum(table["rows"] for table in tables.values())


def told() -> str:
    """What the last run said of its scope."""
    query = "SELECT message FROM etl.run_step WHERE step = 'land' ORDER BY ended_at DESC LIMIT 1"
    with runs.engine(runs.database(settings())).connect() as con:
        message: str = con.exec_driver_sql(query).scalar_one()
    return f"{message.split('; ')[-1]} (all from {scope.LARGEST_SHARE:.0%} on)"


def write_night(source: Path, folder: Path, number: int, count: int | None, days: int) -> Path:
    """The files of a night: for each of `count` patients by chance (None: one) a visit and three records."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    chance = random.Random(number)
    with (source / "patients.csv").open(newline="") as lines:
        patients = [
            row["Id"] for row in csv.DictReader(lines) if not row["DEATHDATE"]
        ]  # the gate refuses visits of dead
    newest = max(column(source / "encounters.csv", "START"))[:10]
    day = f"{newest[:8]}{min(int(newest[8:]) + days, 28):02}" if days else newest
    clock = f"{8 + number // 60:02}:{number % 60:02}"  # who comes in two nights of a day does not come twice at once
    chosen = chance.sample(patients, count or 1)
    files = {"encounters": [], "conditions": [], "observations": []}
    for place, patient in enumerate(chosen):
        visit = f"night-{number}-{place}"
        shared = {"PATIENT": patient, "ENCOUNTER": visit}
        files["encounters"].append({"Id": visit, "START": f"{day}T{clock}:00Z", "STOP": f"{day}T{clock}:30Z",
                                    "PATIENT": patient, "ENCOUNTERCLASS": "ambulatory"})  # fmt: skip
        files["conditions"].append(shared | {"START": day, "CODE": "44054006"})
        for code, value in (("4548-4", "7.1"), ("8302-2", "170")):
            files["observations"].append(
                shared | {"DATE": f"{day}T{clock}:10Z", "CODE": code, "VALUE": value, "UNITS": "%", "TYPE": "numeric"}
            )
    for name, rows in files.items():
        with (source / f"{name}.csv").open(newline="") as lines:
            header = next(csv.reader(lines))
        with (folder / f"{name}.csv").open("w", newline="") as out:
            writer = csv.DictWriter(out, header, restval="", extrasaction="ignore")
            writer.writeheader()
            writer.writerows(rows)
    return folder


def column(path: Path, name: str) -> list[str]:
    with path.open(newline="") as lines:
        return [row[name] for row in csv.DictReader(lines)]


if __name__ == "__main__":
    main()
