"""The command line as its users have it: a process, what it prints, how it ends."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from homes import make_home, remove_home, settings_of
from tiny_hospital import TABLES, Hospital, hospital_in, write_tiny_hospital

from etl.demo import demo_vocabulary_folder
from etl.pipeline.runs import run_lock
from etl.postgres import ensure_server

pytestmark = pytest.mark.integration
PROJECT = Path(__file__).resolve().parents[2]


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-P", "-m", "etl.cli", *arguments]


def cdmflow(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments),
        env=os.environ | {"PYTHONPATH": str(PROJECT)} | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def run_arguments(folder: Path) -> tuple[str, ...]:
    return ("run", "--source", "synthea", "--input", str(folder), "--vocabulary", str(demo_vocabulary_folder()))


@pytest.fixture(scope="module")
def published(hospital: Hospital, tmp_path_factory: pytest.TempPathFactory) -> subprocess.CompletedProcess[str]:
    return cdmflow(*run_arguments(write_tiny_hospital(tmp_path_factory.mktemp("good"))))


def test_a_run_ends_with_zero_and_tells_release_rows_gate_and_reports(
    published: subprocess.CompletedProcess[str], hospital: Hospital
) -> None:
    assert published.returncode == 0, published.stderr
    for told in ("Release 1 is published", "condition_occurrence", "candidate", "passed", "release.json", "psql"):
        assert told in published.stdout
    assert "Traceback" not in published.stderr
    assert "nanobind" not in published.stderr


@pytest.mark.usefixtures("published")
def test_sql_answers_as_csv_and_refuses_to_write() -> None:
    answer = cdmflow("sql", "--csv", "SELECT person_source_value FROM cdm.person ORDER BY 1")
    assert answer.stdout.split() == ["person_source_value", "p1", "p2", "p3"]
    refused = cdmflow("sql", "DELETE FROM cdm.person")
    assert refused.returncode == 1
    assert "permission denied" in refused.stderr or "read-only" in refused.stderr
    hidden = cdmflow("sql", "SELECT * FROM etl.person")
    assert hidden.returncode == 1


@pytest.mark.usefixtures("published")
def test_status_shows_runs_and_where_each_row_went() -> None:
    assert "published" in cdmflow("status").stdout
    ledger = cdmflow("status", "--rows").stdout
    assert "visit_occurrence" in ledger
    assert "adds up" in ledger
    assert " NO" not in ledger


@pytest.mark.usefixtures("published")
def test_exit_codes_say_what_happened(hospital: Hospital, tmp_path: Path) -> None:
    good = write_tiny_hospital(tmp_path / "good")
    assert cdmflow("nonsense").returncode == 2
    assert cdmflow("run").returncode == 2
    assert cdmflow(*run_arguments(tmp_path / "nowhere")).returncode == 2
    broken = write_tiny_hospital(tmp_path / "broken")
    (broken / "patients.csv").unlink()
    failed = cdmflow(*run_arguments(broken))
    assert failed.returncode == 1
    assert "patients" in failed.stderr
    unborn = write_tiny_hospital(
        tmp_path / "unborn", {"patients": [row | {"BIRTHDATE": ""} for row in TABLES["patients"]]}
    )
    refused = cdmflow(*run_arguments(unborn))
    assert refused.returncode == 3
    assert "person.has_rows" in refused.stderr
    with run_lock("another"):
        locked = cdmflow(*run_arguments(good))
    assert locked.returncode == 4


def test_a_failing_test_suite_fails_the_command() -> None:
    assert cdmflow("test", "tests/of_nothing").returncode == 4  # pytest's code for a wrong path


def test_a_killed_run_leaves_the_release_and_the_next_one_gives_the_same_digests(
    published: subprocess.CompletedProcess[str], hospital: Hospital, tmp_path: Path
) -> None:
    """Killed after ten steps, and again while it publishes; nothing of it is served, nothing of it disturbs."""
    folder = write_tiny_hospital(tmp_path / "again", {"conditions": TABLES["conditions"][:1]})
    release = hospital.current_release()
    for steps in (10, 34):
        running = subprocess.Popen(
            command(*run_arguments(folder)),
            env=os.environ | {"PYTHONPATH": str(PROJECT)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_for_steps(hospital, steps, running)
        running.send_signal(signal.SIGKILL)
        running.wait()
        assert hospital.current_release() == release
        assert hospital.query("SELECT count(*) FROM cdm.condition_occurrence") == [(2,)]
    after = hospital.run(folder)
    assert hospital.query("SELECT count(*) FROM etl.run WHERE status = 'running'") == [(0,)]
    assert hospital.query("SELECT count(*) FROM etl.run WHERE message LIKE 'its process ended%%'") == [(2,)]
    home = make_home()
    try:
        with hospital_in(home) as elsewhere:
            elsewhere.run(write_tiny_hospital(tmp_path / "first"))
            undisturbed = elsewhere.release_tables(elsewhere.run(folder))
    finally:
        remove_home(home)
    assert hospital.release_tables(after) == undisturbed


def wait_for_steps(hospital: Hospital, steps: int, running: subprocess.Popen[bytes]) -> None:
    """Until the newest run has ended so many steps; fails when the process ends before."""
    query = """SELECT count(*) FROM etl.run_step
               WHERE run_id = (SELECT run_id FROM etl.run WHERE status = 'running' ORDER BY started_at DESC LIMIT 1)"""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert running.poll() is None, "the run ended before it was killed"
        if hospital.query(query)[0][0] >= steps:
            return
        time.sleep(0.02)
    raise AssertionError("the run did not get so far")


@pytest.fixture
def server_elsewhere() -> Iterator[str]:
    """The URL of a PostgreSQL on another port that is not this home's."""
    home = make_home()
    try:
        yield ensure_server(settings_of(home)).admin_url
    finally:
        remove_home(home)


def test_a_real_server_takes_the_place_of_the_embedded_one(server_elsewhere: str, tmp_path: Path) -> None:
    home = make_home()
    try:
        environment = {"CDMFLOW_HOME": str(home), "CDMFLOW_DATABASE_URL": server_elsewhere}
        ran = cdmflow(*run_arguments(write_tiny_hospital(tmp_path / "good")), **environment)
        assert ran.returncode == 0, ran.stderr
        answer = cdmflow("sql", "--csv", "SELECT count(*) FROM cdm.person", **environment)
        assert answer.stdout.split() == ["count", "3"]
        assert not (home / "postgres" / "data").exists()
    finally:
        remove_home(home)
