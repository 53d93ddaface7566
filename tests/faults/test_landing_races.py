"""Kills and races: a batch row exists only with its complete file, and the same content is one batch."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from landing_helpers import Clinic, csv, make_contract, rows, stays

from etl.config import PROJECT, settings
from etl.errors import DatabaseUnavailable
from etl.land import LandingResult, land_folder
from etl.postgres import Database
from etl.state import connect, create_tables

pytestmark = pytest.mark.faults

# Lands a folder in a process of its own and dies, as by a kill, when the named step is reached.
LAND_AND_DIE = """
import os, sys
from pathlib import Path
from etl.config import settings
from etl.land import batches, land_folder, read_contract
from etl.state import connect

step, url, contract, folder = sys.argv[1:]
def die(*_, **__):
    os._exit(9)
if step == "written":
    batches._business_date = die
elif step == "renamed":
    batches._insert = die
elif step == "inserted":
    batches._tell = die
land_folder(settings(), connect(url), read_contract(Path(contract), "tables.yml"), Path(folder), run_id="killed")
print("landed")
"""


@pytest.fixture
def clinic(home: Path, fresh_database: Database, tmp_path: Path) -> Clinic:
    engine = connect(fresh_database.etl_url)
    create_tables(engine)
    return Clinic(settings(), engine, make_contract(tmp_path), tmp_path)


def land_in_a_process(clinic: Clinic, database: Database, folder: Path, step: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", LAND_AND_DIE, step, database.etl_url, str(clinic.root / "tables.yml"), str(folder)],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("step", ["written", "renamed", "inserted"])
def test_a_killed_landing_leaves_no_batch_and_the_next_one_is_whole(
    clinic: Clinic, fresh_database: Database, step: str
) -> None:
    folder = clinic.folder({"stays.csv.gz": csv(*stays(50), "x,2020")})
    process = land_in_a_process(clinic, fresh_database, folder, step)
    process.communicate(timeout=60)
    assert process.returncode == 9
    assert clinic.batches() == 0
    result = land_folder(clinic.settings, clinic.engine, clinic.contract, folder, run_id="again")
    landed = result.batches[0]
    assert (landed.is_new, landed.received, landed.landed, landed.first_source_row_id) == (True, 51, 50, 1)
    assert [row[0] for row in rows(landed.path, "source_row_id")] == list(range(1, 51))
    assert not list(landed.path.parent.glob(".*"))


def test_two_processes_that_land_the_same_content_make_one_batch(clinic: Clinic, fresh_database: Database) -> None:
    folder = clinic.folder({"stays.csv": csv(*stays(20_000))})
    processes = [land_in_a_process(clinic, fresh_database, folder, "none") for _ in range(3)]
    assert [process.communicate(timeout=60)[0].strip() for process in processes] == ["landed"] * 3
    assert clinic.batches() == 1
    assert len(clinic.parquet_files()) == 1


def test_two_threads_that_land_different_content_get_ranges_that_do_not_touch(clinic: Clinic) -> None:
    folders = [clinic.folder({"stays.csv": csv(*stays(2_000, first=n * 10_000))}) for n in range(4)]

    def land(folder: Path) -> LandingResult:
        return land_folder(clinic.settings, clinic.engine, clinic.contract, folder, run_id="race")

    with ThreadPoolExecutor(4) as pool:
        landed = [result.batches[0] for result in pool.map(land, folders)]
    assert sorted(batch.first_source_row_id for batch in landed) == [1, 2001, 4001, 6001]
    numbers = sorted(row[0] for batch in landed for row in rows(batch.path, "source_row_id"))
    assert numbers == list(range(1, 8001))


def test_a_database_that_is_away_is_told_as_such(clinic: Clinic) -> None:
    gone = connect("postgresql+psycopg2://nobody:x@127.0.0.1:9/none")
    folder = clinic.folder({"stays.csv": csv(*stays(2))})
    with pytest.raises(DatabaseUnavailable):
        land_folder(clinic.settings, gone, clinic.contract, folder, run_id="away")
