"""Snapshots of the same tables night after night: the landing's time of the last night against the first, in one run.

Each night delivers all encounters and observations of the hospital again, one observation fewer than the night before.
The whole nights are run, since a night is compared with the release of the one before; only landing is told.
"""

import argparse
import shutil
import time
from pathlib import Path

from bench.nightly import home_of, run
from etl.config import settings
from etl.demo import demo_vocabulary_folder
from etl.pipeline import runs
from etl.pipeline.execute import run_steps

TABLES = ("encounters", "observations")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patients", type=int, default=5_000)
    parser.add_argument("--nights", type=int, default=6)
    parser.add_argument("--folder", type=Path, required=True, help="for the CSV files (kept) and the home (removed)")
    chosen = parser.parse_args()
    with home_of(chosen.patients, chosen.folder) as source:
        run(str(source), str(demo_vocabulary_folder()), is_drop=False)
        drop = chosen.folder / "snapshots"
        shutil.rmtree(drop, ignore_errors=True)
        drop.mkdir()
        for name in TABLES:
            shutil.copy(source / f"{name}.csv", drop)
        seconds = []
        for night in range(1, chosen.nights + 1):
            remove_a_row(drop / "observations.csv")
            seconds.append(landing_of(drop))
            print(f"night {night}: {seconds[-1]:.2f} s of landing", flush=True)
    print(f"night {chosen.nights} took {seconds[-1] / seconds[0]:.2f} of the time of night 1")


def remove_a_row(path: Path) -> None:
    """The second row of the file; the first stays with the header."""
    with path.open(encoding="utf-8", newline="") as lines:
        kept = [line for number, line in enumerate(lines) if number != 2]
    path.write_text("".join(kept), encoding="utf-8", newline="")


def landing_of(drop: Path) -> float:
    """Seconds of the landing step of a night that is run as a whole."""
    run_id = runs.open_run(source="synthea", input_folder=str(drop), vocabulary_folder=None, is_drop=True)
    began = time.monotonic()
    run_steps(run_id)
    with runs.engine(runs.database(settings())).connect() as con:
        asked = f"SELECT seconds FROM etl.run_step WHERE run_id = '{run_id}' AND step = 'land'"
        landing = float(con.exec_driver_sql(asked).scalar_one())
    print(f"    the whole night {time.monotonic() - began:.1f} s", flush=True)
    return landing


if __name__ == "__main__":
    main()
