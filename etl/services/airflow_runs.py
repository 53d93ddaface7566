"""DAG runs through the REST API: trigger, follow, read."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from etl.config import Settings
from etl.errors import CdmflowError, Locked
from etl.services import airflow, airflow_api
from etl.services.airflow_api import ApiError, Client, quoted

FINAL = ("success", "failed")
DAG_TIMEOUT_S = 60
INTERVAL_S = 0.5
CHECK_EVERY = 10
BACKFILL_ENDS_S = 90


@dataclass(frozen=True)
class TaskState:
    """`state` is Airflow's ("running", "success", "up_for_retry", …) or "waiting" before it was scheduled."""

    task_id: str
    state: str
    seconds: float | None


@dataclass(frozen=True)
class RunState:
    """A DAG run and its tasks, in the order in which they started, then by id."""

    dag_id: str
    run_id: str
    state: str
    tasks: tuple[TaskState, ...]

    @property
    def finished(self) -> bool:
        return self.state in FINAL


def trigger(settings: Settings, dag_id: str, conf: Mapping[str, object] | None = None) -> str:
    """Queues a run with these params and unpauses the DAG; the run's dag_run_id.

    Airflow runs a paused DAG's overdue night as soon as it is unpaused; the triggered run takes that night's place,
    so that the same files are not loaded twice in a row. Waits for a DAG that Airflow has not yet read.
    """
    client = airflow_api.log_in(settings)
    known = wait_for_dag(settings, client, dag_id)
    path = f"/api/v2/dags/{quoted(dag_id)}"
    body = {"conf": dict(conf or {}), **_overdue_night(known)}
    run_id = str(client.post(f"{path}/dagRuns", body)["dag_run_id"])
    if known["is_paused"]:
        client.patch(path, {"is_paused": False})
    return run_id


def _overdue_night(known: Mapping[str, Any]) -> dict[str, object]:
    due = known.get("next_dagrun_run_after")
    if known["is_paused"] and due and datetime.fromisoformat(due) <= datetime.now(UTC):
        return {
            "logical_date": known["next_dagrun_logical_date"],
            "data_interval_start": known["next_dagrun_data_interval_start"],
            "data_interval_end": known["next_dagrun_data_interval_end"],
        }
    return {"logical_date": None}


def unpause(settings: Settings, dag_id: str) -> None:
    """Lets the schedule run; an overdue night runs at once."""
    client = airflow_api.log_in(settings)
    wait_for_dag(settings, client, dag_id)
    client.patch(f"/api/v2/dags/{quoted(dag_id)}", {"is_paused": False})


def wait_for_dag(settings: Settings, client: Client, dag_id: str) -> dict[str, Any]:
    """The DAG as the API tells it, once Airflow has read it. Errors: CdmflowError with the files it cannot read."""
    deadline = time.monotonic() + DAG_TIMEOUT_S
    while True:
        try:
            known: dict[str, Any] = client.get(f"/api/v2/dags/{quoted(dag_id)}")
            return known
        except ApiError as error:
            if error.status != 404:
                raise
        if not airflow_api.wait_until(deadline, INTERVAL_S):
            broken = [entry["filename"] for entry in client.get_all("/api/v2/importErrors", "import_errors")]
            raise CdmflowError(
                f"Airflow knows no DAG {dag_id}" + (f"; it could not read {', '.join(broken)}." if broken else "."),
                todo=f"Logs of the dag-processor: {settings.airflow_home / 'logs' / 'dag_processor'}",
            )
        airflow.check_alive(settings)


def run_state(client: Client, dag_id: str, run_id: str) -> RunState:
    path = f"/api/v2/dags/{quoted(dag_id)}/dagRuns/{quoted(run_id)}"
    state = str(client.get(path)["state"])
    entries = client.get_all(f"{path}/taskInstances", "task_instances")
    entries.sort(key=lambda entry: (entry["start_date"] or "9", entry["task_id"]))
    tasks = tuple(TaskState(entry["task_id"], entry["state"] or "waiting", entry["duration"]) for entry in entries)
    return RunState(dag_id, run_id, state, tasks)


def pipeline_run_id(source: str, dag_run_id: str, backfill: str | None) -> str:
    """The pipeline's id of a DAG run's run, as the DAG's tasks make it."""
    return f"{source}.{dag_run_id}" + (f".{backfill}" if backfill else "")


def is_run_active(settings: Settings, run_id: str, source: str) -> bool:
    """Whether the DAG run of a pipeline's run is still under way."""
    client = airflow_api.log_in(settings)
    path = f"/api/v2/dags/cdmflow_nightly_{source}/dagRuns"
    under_way = [run for state in ("queued", "running") for run in client.get_all(path, "dag_runs", state=state)]
    return run_id in {
        pipeline_run_id(source, run["dag_run_id"], (run["conf"] or {}).get("backfill")) for run in under_way
    }


def task_states(settings: Settings, dag_id: str, run_id: str) -> tuple[TaskState, ...]:
    return run_state(airflow_api.log_in(settings), dag_id, run_id).tasks


@dataclass(frozen=True)
class Backfill:
    """A backfill in Airflow: its nights' DAG runs by logical date."""

    backfill_id: int
    conf_id: str
    runs: Mapping[str, RunState]

    @property
    def finished(self) -> bool:
        return all(run.finished for run in self.runs.values())


def backfill(
    settings: Settings, dag_id: str, first: datetime, last: datetime, conf: Mapping[str, object], *, only_failed: bool
) -> Backfill:
    """Let Airflow run the DAG for every logical date from `first` to `last`, one after the other; unpauses the DAG.

    The same range while its backfill is still under way is that backfill. Errors: Locked beside another backfill, or
    while one of these nights runs.
    """
    client = airflow_api.log_in(settings)
    known = wait_for_dag(settings, client, dag_id)
    deadline = time.monotonic() + BACKFILL_ENDS_S
    while under_way := _active_backfill(client, dag_id):
        same = (datetime.fromisoformat(under_way[key]) for key in ("from_date", "to_date"))
        now = backfill_state(client, dag_id, under_way["id"], under_way["dag_run_conf"]["backfill"], first, last)
        if not now.finished and tuple(same) == (first, last):
            return now
        # Airflow looks twice a minute whether all of a backfill's runs have ended
        if not now.finished or not airflow_api.wait_until(deadline, INTERVAL_S):
            raise Locked(
                f"The backfill of {under_way['from_date'][:10]} to {under_way['to_date'][:10]} is under way.",
                state="Nothing was started.",
                todo="Wait for it, or end it in Airflow: Browse, Backfills.",
            )
    body = {
        "dag_id": dag_id,
        "from_date": first.isoformat(),
        "to_date": last.isoformat(),
        "dag_run_conf": dict(conf),
        "reprocess_behavior": "failed" if only_failed else "completed",
        "max_active_runs": 1,
        "run_on_latest_version": True,
    }
    made = client.post("/api/v2/backfills", body)
    if known["is_paused"]:
        client.patch(f"/api/v2/dags/{quoted(dag_id)}", {"is_paused": False})
    return backfill_state(client, dag_id, made["id"], str(conf["backfill"]), first, last)


def _active_backfill(client: Client, dag_id: str) -> dict[str, Any] | None:
    found = client.get("/api/v2/backfills", dag_id=dag_id, limit=airflow_api.PAGE, order_by="-id")["backfills"]
    return next((each for each in found if each["completed_at"] is None), None)


def backfill_state(
    client: Client, dag_id: str, backfill_id: int, conf_id: str, first: datetime, last: datetime
) -> Backfill:
    """The DAG runs that a backfill has made so far, by logical date."""
    path, between = f"/api/v2/dags/{quoted(dag_id)}/dagRuns", (first.isoformat(), last.isoformat())
    every = client.get_all(path, "dag_runs", logical_date_gte=between[0], logical_date_lte=between[1])
    found = [run for run in every if (run["conf"] or {}).get("backfill") == conf_id]
    found.sort(key=lambda run: run["logical_date"])
    return Backfill(
        backfill_id,
        conf_id,
        {run["logical_date"]: RunState(dag_id, run["dag_run_id"], run["state"], ()) for run in found},
    )


def follow_backfill(
    settings: Settings,
    dag_id: str,
    started: Backfill,
    first: datetime,
    last: datetime,
    on_update: Callable[[Backfill], None] | None = None,
) -> Backfill:
    """Follow a backfill until all its runs have ended; `on_update` gets every change."""
    client = airflow_api.log_in(settings)
    now, polls = started, 0
    while True:
        if on_update and (polls == 0 or now != started):
            on_update(now)
        if now.finished:
            return now
        time.sleep(INTERVAL_S)
        polls += 1
        if polls % CHECK_EVERY == 0:
            airflow.check_alive(settings)
        started, now = now, backfill_state(client, dag_id, started.backfill_id, started.conf_id, first, last)


def follow(
    settings: Settings,
    dag_id: str,
    run_id: str,
    on_update: Callable[[RunState], None] | None = None,
    *,
    timeout_s: float | None = None,
) -> str:
    """Follows a run to its end and gives its state, "success" or "failed"; `on_update` gets every change.

    Errors: CdmflowError when an Airflow process dies (with its log) or the time is over.
    """
    client = airflow_api.log_in(settings)
    deadline = time.monotonic() + timeout_s if timeout_s else float("inf")
    shown: RunState | None = None
    polls = 0
    while True:
        now = run_state(client, dag_id, run_id)
        if now != shown and on_update:
            on_update(now)
        shown = now
        if now.finished:
            return now.state
        if not airflow_api.wait_until(deadline, INTERVAL_S):
            raise CdmflowError(f"The run {run_id} of {dag_id} is still {now.state} after {timeout_s} s.")
        polls += 1
        if polls % CHECK_EVERY == 0:
            airflow.check_alive(settings)


def task_log(settings: Settings, dag_id: str, run_id: str, task_id: str, try_number: int = 1) -> str:
    """The text of a task's log, with the error that ended it."""
    path = f"/api/v2/dags/{quoted(dag_id)}/dagRuns/{quoted(run_id)}/taskInstances/{quoted(task_id)}/logs/{try_number}"
    answer = airflow_api.log_in(settings).get(path, full_content="true")
    lines: list[str] = []
    for part in answer["content"]:
        lines.append(str(part["event"]) if isinstance(part, dict) else str(part))
        details = part.get("error_detail") or [] if isinstance(part, dict) else []
        lines += [f"{detail['exc_type']}: {detail['exc_value']}" for detail in details]
    return "\n".join(lines)


def return_value(settings: Settings, dag_id: str, run_id: str, task_id: str) -> object:
    """What a task returned (its XCom): counts and ids only."""
    path = f"/api/v2/dags/{quoted(dag_id)}/dagRuns/{quoted(run_id)}/taskInstances/{quoted(task_id)}/xcomEntries"
    value: object = airflow_api.log_in(settings).get(f"{path}/return_value")["value"]
    return value
