"""`run --resume`: what was finished stays finished, the rest is done, the release is as if nothing had been."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from homes import make_home, remove_home
from tiny_hospital import Hospital, hospital_in, write_tiny_hospital

from etl.demo import demo_vocabulary_folder
from etl.errors import GateRefused, Locked, UsageError
from etl.pipeline.execute import run_steps
from etl.pipeline.judgement import stored_results
from etl.pipeline.resume import finished_steps, last_unfinished
from etl.pipeline.runs import load_run, open_run, run_lock
from etl.pipeline.tasks import run_step

pytestmark = pytest.mark.faults
PROJECT = Path(__file__).resolve().parents[2]


def cdmflow(*arguments: str) -> list[str]:
    return [sys.executable, "-P", "-m", "etl.cli", *arguments]


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(PROJECT)}


def steps_done(hospital: Hospital) -> dict[str, Any]:
    """When each step of the newest run ended."""
    return dict(
        hospital.query(
            """SELECT step, ended_at FROM etl.run_step
               WHERE run_id = (SELECT run_id FROM etl.run ORDER BY started_at DESC LIMIT 1)"""
        )
    )


@pytest.fixture
def undisturbed(tmp_path: Path) -> dict[str, Any]:
    """The release's tables of a run that nothing happened to, in a home of its own."""
    home = make_home()
    try:
        with hospital_in(home) as elsewhere:
            return elsewhere.release_tables(elsewhere.run(write_tiny_hospital(tmp_path / "undisturbed")))
    finally:
        remove_home(home)


def open_tiny(folder: Path) -> str:
    return open_run(
        source="synthea",
        input_folder=str(write_tiny_hospital(folder)),
        vocabulary_folder=str(demo_vocabulary_folder()),
    )


def test_a_killed_run_goes_on_where_it_was_and_gives_the_same_digests(
    undisturbed: dict[str, Any], hospital: Hospital, tmp_path: Path
) -> None:
    folder = write_tiny_hospital(tmp_path / "in")
    running = subprocess.Popen(
        cdmflow("run", "--input", str(folder), "--vocabulary", str(demo_vocabulary_folder())),
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 120
    while not running_steps(hospital) and time.monotonic() < deadline:
        assert running.poll() is None, "the run ended before it was killed"
        time.sleep(0.02)
    running.send_signal(signal.SIGKILL)
    running.wait()
    for file in folder.iterdir():
        file.unlink()  # what was landed is not read again
    before = steps_done(hospital)
    assert {"land", "load_vocabulary"} <= set(before)
    resumed = subprocess.run(
        cdmflow("run", "--resume"), env=environment(), capture_output=True, text=True, check=False, timeout=300
    )
    assert resumed.returncode == 0, resumed.stderr
    assert "steps are done" in resumed.stdout
    after = steps_done(hospital)
    assert after["land"] == before["land"]
    assert after["load_vocabulary"] == before["load_vocabulary"]
    [(run_id, status)] = hospital.query("SELECT run_id, status FROM etl.run ORDER BY started_at DESC LIMIT 1")
    assert status == "published"
    assert hospital.release_tables(load_run(run_id)) == undisturbed


def running_steps(hospital: Hospital) -> bool:
    """Whether a run has landed and has some SQL behind it."""
    found = hospital.query("SELECT to_regclass('etl.run_step') IS NOT NULL")
    return found == [(True,)] and len(done := steps_done(hospital)) >= 12 and {"land", "load_vocabulary"} <= set(done)


def test_a_published_run_cannot_be_resumed(hospital: Hospital, tmp_path: Path) -> None:
    hospital.run(write_tiny_hospital(tmp_path / "in"))
    with pytest.raises(UsageError, match="has published"):
        last_unfinished()


def test_a_published_run_is_not_judged_by_its_own_rows(hospital: Hospital, tmp_path: Path) -> None:
    """Its gates are asked again where Airflow's task of them is cleared."""
    run = hospital.run(write_tiny_hospital(tmp_path))
    verdicts = [load_run(run.run_id).verdict, load_run(run.run_id).drift_verdict, stored_results(run.run_id)]
    [(release,)] = hospital.query(f"SELECT release_id FROM etl.release WHERE run_id = '{run.run_id}'")
    for gate in ("gate", "drift_gate"):
        assert run_step(run.run_id, gate).message == f"release {release} was judged before it was published"
    again = load_run(run.run_id)
    assert [again.verdict, again.drift_verdict, stored_results(run.run_id)] == verdicts
    assert run_step(run.run_id, "publish").message == f"release {release}"


def test_a_step_whose_file_is_gone_is_done_again_with_all_behind_it(hospital: Hospital, tmp_path: Path) -> None:
    run_id = open_tiny(tmp_path / "in")
    for step in ("land", "load_vocabulary", "src_people", "person_ids"):
        run_step(run_id, step)
    run = load_run(run_id)
    assert {"land", "src_people", "person_ids"} <= finished_steps(run)
    (run.folder / "source" / "src_person.parquet").unlink()
    assert finished_steps(run) & {"land", "src_people", "person_ids"} == {"land"}


def test_a_run_that_began_under_other_rules_is_begun_anew(hospital: Hospital, tmp_path: Path) -> None:
    run_id = open_tiny(tmp_path / "in")
    with hospital.engine.begin() as con:
        con.exec_driver_sql(
            'UPDATE etl.run SET parameters = (parameters::jsonb || \'{"rules": "of yesterday"}\')::json '
            f"WHERE run_id = '{run_id}'"
        )
    with pytest.raises(UsageError, match="SQL, maps or contract have changed"):
        last_unfinished()


def test_a_run_that_is_still_at_work_is_left_alone(hospital: Hospital, tmp_path: Path) -> None:
    run_id = open_tiny(tmp_path / "in")
    with run_lock(run_id), pytest.raises(Locked):
        run_steps(run_id, resume=True)
    assert load_run(run_id).status == "running"


def test_a_refused_run_is_judged_again(hospital: Hospital, tmp_path: Path) -> None:
    folder = write_tiny_hospital(tmp_path / "in", {"patients": []})
    run_id = open_run(source="synthea", input_folder=str(folder), vocabulary_folder=str(demo_vocabulary_folder()))
    with pytest.raises(GateRefused):
        run_steps(run_id)
    assert load_run(run_id).status == "refused"
    judged = steps_done(hospital)
    with pytest.raises(GateRefused):
        run_steps(last_unfinished().run_id, resume=True)
    assert load_run(run_id).status == "refused"
    assert steps_done(hospital)["account"] == judged["account"]
