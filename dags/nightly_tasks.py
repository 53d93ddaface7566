"""What the tasks do: name the run, call `etl.pipeline`, and say in Airflow's words whether a retry can help."""

import logging
import re
import time
import traceback
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any, TypeVar

from airflow.sdk import get_current_context, task
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

log = logging.getLogger(__name__)
WAIT_S = 5
BACKFILL_ID = re.compile(r"\.b[0-9]{8}T[0-9]{6}-[0-9a-f]{6}$")
Result = TypeVar("Result")


class DatabaseAway(AirflowException):
    """The database does not answer: Airflow tries the task again."""


@task
def open_run(source: str) -> dict[str, str | None]:
    """Record the run; its id is Airflow's with the source before it, so every task knows it."""
    context = get_current_context()
    chosen = resolve(source, run_id_of(source, context), context["params"], partition_key(context))
    chosen |= calling(lambda: of_night(source, context))
    version = context["params"]["vocabulary_version"]
    if version:
        from etl.pipeline import refresh

        known = calling(lambda: refresh.find_version(version, source))
        only = {"input_folder": None, "vocabulary_folder": None, "is_drop": False, "is_live": False}
        chosen |= only | {"vocabulary_id": known.vocabulary_id}
    while calling(lambda: open_alone(chosen, context)) is None:
        time.sleep(WAIT_S)
    return {"run_id": chosen["run_id"], "business_date": chosen["business_date"]}


def of_night(source: str, context: Mapping[str, Any]) -> dict[str, Any]:
    """What the DAG run's night decides: a backfill brings it again, the schedule takes its drop folder."""
    from etl.pipeline import backfill

    dag_run = context["dag_run"]
    if dag_run.run_type not in ("backfill", "scheduled") or dag_run.data_interval_start is None:
        return {}
    night = dag_run.data_interval_start.date()
    if dag_run.run_type == "scheduled":
        return backfill.arguments_of_schedule(source, night)
    return backfill.arguments_of_night(source, night) | {"persons_file": context["params"]["persons_file"]}


def open_alone(chosen: Mapping[str, Any], context: Mapping[str, Any]) -> str | None:
    """Open the run, unless another one is at work: then None, and nothing is recorded."""
    from etl.pipeline import runs

    with runs.opening():
        others = [run_id for run_id in runs.open_runs() if run_id != chosen["run_id"]]
        at_work = [run_id for run_id in others if is_at_work(run_id, context)]
        if at_work:
            log.info("waiting for %s", ", ".join(at_work))
            return None
        return runs.open_run(**chosen)


def is_at_work(run_id: str, context: Mapping[str, Any]) -> bool:
    """Whether a run that is recorded as running still is; one of a DAG run that ended is closed as failed."""
    from airflow.sdk.exceptions import AirflowRuntimeError

    from etl.pipeline import runs

    if runs.is_from_command_line(run_id):
        return runs.is_run_lock_held()
    source = runs.load_run(run_id).source
    try:
        state = context["ti"].get_dagrun_state(f"cdmflow_nightly_{source}", dag_run_id_of(source, run_id))
    except AirflowRuntimeError:  # Airflow does not know it any more
        state = "failed"
    if state in ("queued", "running"):
        return True
    runs.close_run(run_id, failed=True, message="its DAG run ended before the run did")
    return False


@task
def run_step(source: str, step: str) -> dict[str, int | None]:
    """Run one step of the pipeline: rows in and rows out."""
    from etl.pipeline import runs, tasks

    run_id = run_id_of(source, get_current_context())
    if calling(lambda: runs.load_run(run_id)).status == "unchanged":
        raise AirflowSkipException("The drop brought nothing new: the current release stays.")
    result = calling(lambda: tasks.run_step(run_id, step))
    log.info(
        "rows in: %s, rows out: %s, seconds: %.2f. %s", result.rows_in, result.rows_out, result.seconds, result.message
    )
    return {"rows_in": result.rows_in, "rows_out": result.rows_out}


@task
def close_run(source: str) -> dict[str, str | bool]:
    """End the run, as failed if any of its tasks failed. It succeeds itself: the tasks decide over the DAG run."""
    from etl.pipeline import runs

    context = get_current_context()
    dag_id, dag_run_id = context["dag"].dag_id, context["run_id"]
    states = context["ti"].get_task_states(dag_id=dag_id, run_ids=[dag_run_id])[dag_run_id]
    failed = any(state in ("failed", "upstream_failed") for state in states.values())
    run_id = run_id_of(source, context)
    calling(lambda: runs.close_run(run_id, failed=failed))
    return {"run_id": run_id, "failed": failed}


@task
def load_vocabulary() -> dict[str, int]:
    """Load the bundle as a version that no release uses yet."""
    from pathlib import Path

    from etl.pipeline import refresh

    folder = Path(get_current_context()["params"]["vocabulary_folder"])
    return {"vocabulary_id": calling(lambda: refresh.load_version(folder)).vocabulary_id}


@task
def preview_vocabulary(source: str, loaded: dict[str, int]) -> dict[str, int | str]:
    """What adopting the version would change, in counts, as text for the person who decides."""
    from etl.pipeline import refresh

    found = calling(lambda: refresh.preview(str(loaded["vocabulary_id"]), source))
    return {"vocabulary_id": found.after.vocabulary_id, "version": found.after.version, "text": refresh.told(found)}


def alert_failure(context: Mapping[str, Any]) -> None:
    """Tell that a DAG run failed, and why as far as the pipeline knows: a refusal of the gate is a failure too."""
    from etl.pipeline import runs
    from etl.services.alert import send_alert

    dag_run = context["dag_run"]
    source = dag_run.dag_id.removeprefix("cdmflow_nightly_")
    facts = {"event": "failed", "source": source, "dag_run": dag_run.run_id}
    text = "No run of it can be looked up: none was opened, or the database is away. See its log in Airflow."
    try:
        run = runs.load_run(run_id_of(source, context))
        facts |= {"event": "refused" if run.status == "refused" else "failed", "run_id": run.run_id}
        text = f"{run.message or 'see its tasks in Airflow'}. The last release stays as it was."
    except Exception as error:  # noqa: BLE001 - a database that is away is the best reason to tell somebody
        log.warning("the run of this DAG run cannot be looked up (%s)", type(error).__name__)
    send_alert(f"cdmflow: the nightly load of {source} was {facts['event']}", text, facts)


def alert_deadline(source: str, context: Mapping[str, Any] | None = None) -> None:
    """Tell that a scheduled run has not ended in time."""
    from etl.config import deadline_hours
    from etl.services.alert import send_alert

    send_alert(
        f"cdmflow: the nightly load of {source} is late",
        f"It has not ended {deadline_hours():g} hours after its night. The last release stays until it does.",
        {"event": "late", "source": source},
    )


def run_id_of(source: str, context: Mapping[str, Any]) -> str:
    """`synthea.scheduled__2026-11-22T02:00:00+00:00`: the same in every task and in every try of this run.

    A backfill's own id ends it: Airflow does a night again under the id that its DAG run had before.
    """
    dag_run = context["dag_run"]
    backfill = (dag_run.conf or {}).get("backfill")
    return f"{source}.{dag_run.run_id}" + (f".{backfill}" if backfill else "")


def dag_run_id_of(source: str, run_id: str) -> str:
    """Airflow's id of a run's DAG run."""
    return BACKFILL_ID.sub("", run_id.removeprefix(f"{source}."))


def partition_key(context: Mapping[str, Any]) -> str | None:
    return getattr(context["dag_run"], "partition_key", None)


def resolve(source: str, run_id: str, params: Mapping[str, Any], key: str | None = None) -> dict[str, Any]:
    """The arguments of `etl.pipeline.open_run` for any run, as far as params and partition key tell.

    The business date is the partition key, else the param, else None: the newest date in the files. Neither the clock
    nor a logical date (a manual run has none) decides over the data, so a repeated load gives the same CDM.
    Errors: AirflowFailException for a date that is none.
    """
    given = key or params.get("business_date") or None
    where = "partition key" if key else "param business_date"
    if given is not None:
        try:
            date.fromisoformat(str(given))
        except ValueError:
            raise AirflowFailException(
                f"The run's {where} is not a date.\nNothing was loaded.\nWrite it as 2026-11-23, or leave it empty."
            ) from None
    return {
        "source": source,
        "input_folder": None if params["is_live"] else params["input_folder"],
        "vocabulary_folder": params["vocabulary_folder"] or None,
        "is_drop": bool(params["is_drop"]),
        "is_live": bool(params["is_live"]),
        "business_date": None if given is None else str(given),
        "run_id": run_id,
    }


def calling(work: Callable[[], Result]) -> Result:
    """Do it; a lost database is retried, everything else fails at once.

    An unforeseen error's text may hold a value of the data (DuckDB quotes what it cannot convert): only its type and
    the places in the code are logged.
    """
    from etl.errors import CdmflowError, DatabaseUnavailable

    try:
        return work()
    except DatabaseUnavailable as error:
        raise DatabaseAway(str(error)) from None
    except CdmflowError as error:
        raise AirflowFailException(str(error)) from None
    except Exception as error:  # noqa: BLE001 - the one place that keeps an unforeseen error's text out of the logs
        kind = type(error).__name__
        if is_lost_connection(error):
            raise DatabaseAway(f"The connection to the database broke ({kind}).") from None
        places = "".join(traceback.format_tb(error.__traceback__))
        raise AirflowFailException(f"{kind}, an error that cdmflow did not foresee, at:\n{places}") from None


def is_lost_connection(error: BaseException) -> bool:
    """True for what psycopg2 and SQLAlchemy raise when the server went away during the work."""
    import psycopg2
    from sqlalchemy.exc import DBAPIError

    if isinstance(error, DBAPIError):
        return error.connection_invalidated
    return isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError) and not getattr(error, "pgcode", None)
