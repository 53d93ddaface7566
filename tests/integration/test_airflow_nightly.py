"""The nightly DAG in a real Airflow: scheduler, dag-processor and api-server in a home of their own."""

import json
import os
import shutil
import stat
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest
from homes import make_home, remove_home, settings_of
from tiny_hospital import TABLES, Hospital, hospital_in, write_tables, write_tiny_hospital, write_vocabulary
from webhook import webhook

from etl.cli.backfill import run_in_airflow
from etl.config import Settings
from etl.demo import demo_vocabulary_folder
from etl.errors import CdmflowError
from etl.pipeline import steps
from etl.pipeline.backfill import plan_backfill
from etl.pipeline.runs import database, load_run
from etl.services import airflow, airflow_api, airflow_runs

pytestmark = [pytest.mark.integration, pytest.mark.airflow]
DAG_ID = "cdmflow_nightly_synthea"
REFRESH_ID = "cdmflow_vocabulary_synthea"
RUN_TIMEOUT_S = 400  # 20 s on a quiet machine
CANARIES = ("Zebulon", "Quickbottom", "999-44-1234")


@pytest.fixture(scope="module")
def hospital() -> Iterator[Hospital]:
    home = make_home()
    try:
        with hospital_in(home) as made:
            yield made
    finally:
        airflow.stop(settings_of(home))
        remove_home(home)


@pytest.fixture(scope="module")
def alerts() -> Iterator[list[dict[str, str]]]:
    """What a webhook of this module is told."""
    with webhook() as (url, told), pytest.MonkeyPatch.context() as patch:
        patch.setenv("CDMFLOW_ALERT_WEBHOOK", url)
        patch.setenv("CDMFLOW_DEADLINE_HOURS", "-48")  # every scheduled night is late at once
        yield told


@pytest.fixture(scope="module")
def incoming(hospital: Hospital) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CDMFLOW_INCOMING", str(hospital.home / "incoming"))
        yield hospital.home / "incoming"


@pytest.fixture(scope="module")
def running(hospital: Hospital, alerts: list[dict[str, str]], incoming: Path) -> Settings:
    settings = settings_of(hospital.home)
    airflow.start(settings, database(settings))
    return settings


def wait_for_alert(alerts: list[dict[str, str]], **facts: str) -> dict[str, str]:
    deadline = time.monotonic() + 60
    while True:
        for alert in alerts:
            if facts.items() <= alert.items():
                return alert
        assert time.monotonic() < deadline, alerts
        time.sleep(0.5)


@pytest.fixture(scope="module")
def published(running: Settings, hospital: Hospital) -> str:
    """The first night: a healthy hospital of three patients, one of them with canaries for name and SSN."""
    patients = [TABLES["patients"][0] | {"FIRST": "Zebulon", "LAST": "Quickbottom", "SSN": "999-44-1234"}]
    files = write_tiny_hospital(hospital.home / "input", {"patients": patients + TABLES["patients"][1:]})
    run_id, state = night(running, files)
    assert state == "success", failures(running, run_id)
    return run_id


def night(settings: Settings, files: Path) -> tuple[str, str]:
    conf = {"input_folder": str(files), "vocabulary_folder": str(demo_vocabulary_folder())}
    run_id = airflow_runs.trigger(settings, DAG_ID, conf)
    return run_id, airflow_runs.follow(settings, DAG_ID, run_id, timeout_s=RUN_TIMEOUT_S)


def states(settings: Settings, run_id: str, dag_id: str = DAG_ID) -> dict[str, str]:
    return {task.task_id: task.state for task in airflow_runs.task_states(settings, dag_id, run_id)}


def failures(settings: Settings, run_id: str, dag_id: str = DAG_ID) -> str:
    failed = [task for task, state in states(settings, run_id, dag_id).items() if state == "failed"]
    return "\n".join(airflow_runs.task_log(settings, dag_id, run_id, task)[-2000:] for task in failed)


def logs_of(settings: Settings) -> str:
    return "\n".join(file.read_text(errors="replace") for file in (settings.airflow_home / "logs").rglob("*.log"))


def test_airflow_is_healthy_and_listens_on_loopback_only(running: Settings) -> None:
    status = airflow.status(running)
    assert status.healthy
    listening = {
        connection.laddr.ip
        for pid in status.services.values()
        for process in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening == {"127.0.0.1"}


def test_passwords_and_keys_can_be_read_by_their_owner_only(running: Settings) -> None:
    for name in ("passwords.json", "keys.json", "airflow.cfg"):
        mode = stat.S_IMODE((running.airflow_home / name).stat().st_mode)
        assert mode == 0o600, name
    assert stat.S_IMODE(running.airflow_home.stat().st_mode) == 0o700


def test_a_wrong_password_and_no_password_are_refused(running: Settings) -> None:
    url = airflow_api.base_url(running)
    with pytest.raises(airflow_api.ApiError) as wrong:
        airflow_api.request("POST", f"{url}/auth/token", None, {"username": "admin", "password": "admin"})
    with pytest.raises(airflow_api.ApiError) as none:
        airflow_api.request("GET", f"{url}/api/v2/dags", None)
    assert (wrong.value.status, none.value.status) == (401, 401)


def test_starting_again_leaves_a_healthy_airflow_alone(running: Settings) -> None:
    before = airflow.status(running).services
    assert airflow.start(running, database(running)).services == before


def test_the_scheduler_runs_every_step_and_publishes_a_release(
    running: Settings, hospital: Hospital, published: str
) -> None:
    expected = {step.name for step in steps("synthea")} | {"open_run", "close_run"}
    assert states(running, published) == dict.fromkeys(expected, "success")
    assert load_run(f"synthea.{published}").status == "published"
    assert hospital.query("SELECT count(*) FROM cdm.person") == [(3,)]


def test_the_triggered_run_takes_the_place_of_the_overdue_night(running: Settings, published: str) -> None:
    """Unpausing alone would load the same files a second time at once."""
    client = airflow_api.log_in(running)
    runs = client.get_all(f"/api/v2/dags/{DAG_ID}/dagRuns", "dag_runs")
    assert "scheduled" not in [run["run_type"] for run in runs]


def test_tasks_return_ids_and_counts_only(running: Settings, published: str) -> None:
    values = {task: airflow_runs.return_value(running, DAG_ID, published, task) for task in states(running, published)}
    assert values.pop("open_run") == {"run_id": f"synthea.{published}", "business_date": None}
    assert values.pop("close_run") == {"run_id": f"synthea.{published}", "failed": False}
    for task, value in values.items():
        assert isinstance(value, dict), task
        assert set(value) == {"rows_in", "rows_out"}, task
        assert all(count is None or isinstance(count, int) for count in value.values()), task


def test_a_task_logs_its_rows_in_and_out(running: Settings, published: str) -> None:
    assert "rows out: 3" in airflow_runs.task_log(running, DAG_ID, published, "person_ids")


def test_no_patients_name_reaches_a_log_or_airflows_database(running: Settings, published: str) -> None:
    client = airflow_api.log_in(running)
    told = json.dumps(client.get_all(f"/api/v2/dags/{DAG_ID}/dagRuns/{published}/taskInstances", "task_instances"))
    everything = logs_of(running) + told
    assert [canary for canary in CANARIES if canary in everything] == []


def test_a_refusing_gate_fails_the_run_and_the_old_release_stays(
    running: Settings, hospital: Hospital, published: str, alerts: list[dict[str, str]]
) -> None:
    """A diagnosis 70 years before its patient's birth breaks a critical check."""
    release = hospital.current_release()
    wrong = {"START": "1890-01-01", "STOP": "", "PATIENT": "p1", "ENCOUNTER": "e1", "CODE": "44054006"}
    files = write_tiny_hospital(hospital.home / "refused", {"conditions": [*TABLES["conditions"], wrong]})
    run_id, state = night(running, files)
    now = states(running, run_id)
    assert state == "failed"
    assert (now["gate"], now["publish"], now["close_run"]) == ("failed", "upstream_failed", "success")
    assert load_run(f"synthea.{run_id}").status == "refused"
    assert hospital.current_release() == release
    assert hospital.query("SELECT count(*) FROM cdm.person") == [(3,)]
    assert "The gate refused" in airflow_runs.task_log(running, DAG_ID, run_id, "gate")
    told = wait_for_alert(alerts, event="refused", dag_run=run_id, source="synthea")
    assert "the gate refused the candidate" in told["text"]


def test_a_night_that_is_not_there_in_time_is_told(
    running: Settings, published: str, alerts: list[dict[str, str]]
) -> None:
    """The first run took the place of an overdue night, whose deadline has passed."""
    assert "is late" in wait_for_alert(alerts, event="late", source="synthea")["text"]


def test_a_broken_input_fails_at_once_without_a_retry(running: Settings, hospital: Hospital, published: str) -> None:
    run_id, state = night(running, hospital.home)  # a folder without any source file
    now = states(running, run_id)
    assert state == "failed"
    assert (now["land"], now["publish"], now["close_run"]) == ("failed", "upstream_failed", "success")


def test_a_vocabulary_is_adopted_when_a_person_approves_and_stays_out_when_one_rejects(
    running: Settings, hospital: Hospital, published: str
) -> None:
    bundle = write_vocabulary(hospital.home / "bundle", {"201826": {"domain_id": "Observation"}})
    release = hospital.current_release()
    for answer, adopted in (("Reject", "skipped"), ("Approve", "success")):
        run_id = airflow_runs.trigger(running, REFRESH_ID, {"vocabulary_folder": str(bundle)})
        wait_for_question(running, run_id)
        assert hospital.current_release() == release
        approve = f"/api/v2/dags/{REFRESH_ID}/dagRuns/{run_id}/taskInstances/approve/-1/hitlDetails"
        client = airflow_api.log_in(running)
        assert "1 codes map differently" in client.get(approve)["body"]
        client.patch(approve, {"chosen_options": [answer], "params_input": {}})
        state = airflow_runs.follow(running, REFRESH_ID, run_id, timeout_s=RUN_TIMEOUT_S)
        assert state == "success", failures(running, run_id, REFRESH_ID)
        found = {task.task_id: task.state for task in airflow_runs.task_states(running, REFRESH_ID, run_id)}
        assert found["adopt"] == adopted
    assert hospital.current_release() == (release or 0) + 1
    assert hospital.query("SELECT domain_id FROM cdm.concept WHERE concept_id = 201826") == [("Observation",)]
    assert hospital.query("SELECT person_id FROM cdm.observation") == [(1,)]


def test_a_backfill_and_a_night_at_once_follow_one_another_and_the_law_holds(
    running: Settings, hospital: Hospital, published: str, incoming: Path
) -> None:
    """Three nights of drop folders through Airflow's backfill, one broken, while the nightly DAG loads another."""
    days = (datetime(2024, 6, 2, 2, tzinfo=UTC), datetime(2024, 6, 4, 2, tzinfo=UTC))
    rows = TABLES["conditions"]
    late = {"START": "2024-05-30", "PATIENT": "p3", "ENCOUNTER": "e3", "CODE": "59621000"}
    write_tables(incoming / "2024-06-02", {"conditions": [*rows, late]})
    write_tables(incoming / "2024-06-03", {"conditions": [*rows, late | {"CODE": "38341003"}]})
    broken = write_tables(incoming / "2024-06-04", {"observations": TABLES["observations"]})
    (broken / "manifest.csv").write_text("name,bytes\nobservations.csv,7\n")
    before = hospital.current_release() or 0
    plan = plan_backfill("synthea", days[0].date(), days[1].date())
    assert [night.rows for night in plan.nights] == [{"conditions": 3}, {"conditions": 3}, None]
    with pytest.raises(CdmflowError, match="1 of 3 nights did not succeed"), ThreadPoolExecutor(1) as beside:
        seen = write_tables(hospital.home / "seen", {"observations": TABLES["observations"] * 2})
        conf = {"input_folder": str(seen), "is_drop": True, "vocabulary_folder": None}
        nightly = airflow_runs.trigger(running, DAG_ID, conf)
        followed = beside.submit(airflow_runs.follow, running, DAG_ID, nightly, timeout_s=RUN_TIMEOUT_S)
        run_in_airflow("synthea", days[0].date(), days[1].date(), None, only_failed=False)
    assert followed.result() == "success"
    found = hospital.query(f"SELECT run_id FROM etl.release WHERE release_id > {before} ORDER BY release_id")
    assert len(found) == 3
    assert sorted(kind for (run_id,) in found for kind in ("backfill__", "manual__") if kind in run_id) == [
        "backfill__",
        "backfill__",
        "manual__",
    ]
    # a run that has published only tells of it still
    worked = (
        "SELECT run_id, started_at, coalesce(published_at, ended_at) AS until "
        "FROM etl.run LEFT JOIN etl.release USING (run_id)"
    )
    overlapping = (
        f"SELECT count(*) FROM ({worked}) AS one JOIN ({worked}) AS other ON one.run_id < other.run_id "
        "AND one.started_at < other.until AND other.started_at < one.until"
    )
    assert hospital.query(overlapping) == [(0,)]
    conditions = "SELECT condition_source_value FROM cdm.condition_occurrence WHERE condition_start_date = '2024-05-30'"
    assert hospital.query(conditions) == [("38341003",)]
    served = hospital.served_tables()
    assert served == hospital.release_tables(hospital.run(None))
    shutil.rmtree(broken)
    again = airflow_runs.backfill(running, DAG_ID, *days, {"backfill": "b20261124T000000-000000"}, only_failed=True)
    assert list(again.runs) == ["2024-06-04T02:00:00Z"]
    ended = airflow_runs.follow_backfill(running, DAG_ID, again, *days)
    assert [run.state for run in ended.runs.values()] == ["success"]
    assert hospital.query("SELECT status FROM etl.run ORDER BY started_at DESC LIMIT 1") == [("unchanged",)]


def wait_for_question(settings: Settings, run_id: str) -> None:
    deadline = time.monotonic() + RUN_TIMEOUT_S
    while True:
        found = {task.task_id: task.state for task in airflow_runs.task_states(settings, REFRESH_ID, run_id)}
        if found.get("approve") == "awaiting_input":
            time.sleep(3)  # an answer before the task's process has ended fails it; no person is that fast
            return
        assert time.monotonic() < deadline, found
        time.sleep(0.5)


def test_stopping_ends_every_process_of_this_home_and_says_so_once(running: Settings, published: str) -> None:
    """The last test of this module: what it stops stays stopped."""
    before = {pid for pid in airflow.status(running).services.values() if pid}
    assert airflow.stop(running)
    left = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("AIRFLOW_HOME") == str(running.airflow_home) and process.pid != os.getpid():
                left.append(process.pid)
        except psutil.Error:
            continue
    assert left == []
    assert not [pid for pid in before if psutil.pid_exists(pid)]
    assert not airflow.status(running).running
    assert not airflow.stop(running)
