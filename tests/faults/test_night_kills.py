"""A night killed while its rows are put in place: the release before it or the one after it, never between."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tiny_hospital import TABLES, Hospital, write_tables, write_tiny_hospital

from etl.errors import CdmflowError
from etl.pipeline.clean import clean
from etl.pipeline.execute import run_steps
from etl.pipeline.runs import load_run, open_run
from etl.publish import delta

pytestmark = pytest.mark.faults
PROJECT = Path(__file__).resolve().parents[2]

# Goes on with a run and kills itself when a part of the delta's transaction is done.
KILLED = """
import os, signal, sys
from etl.pipeline import scope
from etl.pipeline.execute import run_steps
from etl.publish import delta
scope.LARGEST_SHARE = 1.0
work = getattr(delta, sys.argv[2])
def killed(*given, **named):
    work(*given, **named)
    os.kill(os.getpid(), signal.SIGKILL)
setattr(delta, sys.argv[2], killed)
run_steps(sys.argv[1], resume=True)
"""


def opened(folder: Path) -> str:
    conditions = [TABLES["conditions"][0], TABLES["conditions"][1] | {"CODE": "44054006"}]
    drop = write_tables(folder, {"conditions": conditions, "encounters": TABLES["encounters"][:2]})
    return open_run(source="synthea", input_folder=str(drop), vocabulary_folder=None, is_drop=True)


@pytest.fixture
def few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of three patients one would be more than the share from which on all are made again."""
    monkeypatch.setattr("etl.pipeline.scope.LARGEST_SHARE", 1.0)


@pytest.mark.usefixtures("few_at_a_time")
def test_a_night_killed_in_its_publish_changes_nothing_and_goes_on(hospital: Hospital, tmp_path: Path) -> None:
    before = hospital.release_tables(hospital.run(write_tiny_hospital(tmp_path / "monday")))
    run_id = opened(tmp_path / "tuesday")
    for part in ("_stage", "_apply", "_prove"):
        killed = subprocess.run(
            [sys.executable, "-c", KILLED, run_id, part],
            env=os.environ | {"PYTHONPATH": str(PROJECT)},
            capture_output=True,
            timeout=120,
            check=False,
        )
        assert killed.returncode == -signal.SIGKILL, part
        assert hospital.served_tables() == before, part
        assert_nothing_held(hospital)
    run_steps(run_id, resume=True)
    night = load_run(run_id)
    assert (night.status, night.scope) == ("published", "persons")
    assert hospital.served_tables() == hospital.release_tables(night) != before
    assert hospital.release_tables(hospital.run(None)) == hospital.release_tables(night)
    assert set(clean().values()) == {0}


def assert_nothing_held(hospital: Hospital) -> None:
    """Neither a lock of the killed process for longer than 5 s, nor a schema of its release."""
    held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
    deadline = time.monotonic() + 5
    while hospital.query(held) != [(0,)]:
        assert time.monotonic() < deadline, "a lock is held 5 s after its process was killed"
        time.sleep(0.1)
    assert hospital.query("SELECT count(*) FROM pg_namespace WHERE nspname ~ '^cdm_d'") == [(0,)]


@pytest.mark.usefixtures("few_at_a_time")
def test_rows_that_do_not_arrive_as_they_were_sent_are_not_published(
    hospital: Hospital, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = hospital.release_tables(hospital.run(write_tiny_hospital(tmp_path / "monday")))
    whole = delta.put_in_place

    def one_lost(cursor, schema: str, kept: str, *, came: str, went: str) -> None:  # type: ignore[no-untyped-def]
        whole(cursor, schema, kept, came=came, went=went)
        cursor.execute(f"DELETE FROM {schema}.condition_occurrence WHERE person_id = 2")

    monkeypatch.setattr(delta, "put_in_place", one_lost)
    run_id = opened(tmp_path / "tuesday")
    with pytest.raises(CdmflowError, match="would hold 0 rows of this run's persons"):
        run_steps(run_id)
    assert hospital.served_tables() == before
