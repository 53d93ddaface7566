"""DAG runs through the REST API: trigger, follow, read."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from etl.config import Settings
from etl.errors import CdmflowError
from etl.services import airflow, airflow_api
from etl.services.airflow_api import ApiError, Client, quoted

FINAL = ("success", "failed")
DAG_TIMEOUT_S = 60
INTERVAL_S = 0.5
CHECK_EVERY = 10


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


def task_states(settings: Settings, dag_id: str, run_id: str) -> tuple[TaskState, ...]:
    return run_state(airflow_api.log_in(settings), dag_id, run_id).tasks


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
