"""The DAG files: they load, mirror the pipeline's steps, and hold no logic. No scheduler and no database runs here."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from etl.pipeline import GROUPS, sources, steps

HEAVY = {"duckdb", "pandas", "great_expectations", "sqlglot", "pyarrow", "numpy", "psycopg2", "sqlalchemy"}
SOURCE = "synthea"
# Airflow reads its home when it is first imported, so it is looked at in a process of its own
LOOK = """
import json, sys, time
from pathlib import Path
import airflow.sdk
from airflow.dag_processing.dagbag import DagBag
started = time.monotonic()
bag = DagBag(sys.argv[1], bundle_path=Path(sys.argv[1]), bundle_name="dags-folder")
seconds = time.monotonic() - started
def describe(dag):
    return {
        "catchup": dag.catchup, "start": str(dag.start_date), "max_active_runs": dag.max_active_runs,
        "tags": sorted(dag.tags), "doc": dag.doc_md,
        "timetable": [type(dag.timetable).__name__, *([dag.timetable.expression, str(dag.timetable.timezone)]
                      if hasattr(dag.timetable, "expression") else [])],
        "params": {name: {"value": p.value, "help": p.description, "schema": p.schema}
                   for name, p in dag.params.items_unresolved()} if hasattr(dag.params, "items_unresolved") else
                  {name: {"value": p.value, "help": p.description, "schema": p.schema}
                   for name in dag.params for p in [dag.params.get_param(name)]},
        "tasks": {t.task_id: {
            "upstream": sorted(t.upstream_task_ids), "downstream": sorted(t.downstream_task_ids),
            "group": t.task_group.label if t.task_group and not t.task_group.is_root else None,
            "setup": t.is_setup, "teardown": t.is_teardown, "fails_dagrun": t.on_failure_fail_dagrun,
            "retries": t.retries, "doc": t.doc_md, "outlets": [asset.uri for asset in t.outlets],
            "defaults": getattr(t, "defaults", None),
            "timeout": t.response_timeout.total_seconds() if hasattr(t, "response_timeout") else None,
        } for t in dag.tasks},
    }
print("RESULT" + json.dumps({"seconds": seconds, "errors": {str(k): str(v) for k, v in bag.import_errors.items()},
                             "dags": {i: describe(d) for i, d in bag.dags.items()}}))
"""


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory, project: Path) -> dict[str, Any]:
    return look(tmp_path_factory.mktemp("airflow"), project)


def look(home: Path, project: Path, **configured: str) -> dict[str, Any]:
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": f"{project}:{project / 'dags'}",  # Airflow adds the DAGs folder itself
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        "CDMFLOW_HOME": str(home / "home"),
        **configured,
    }
    command = [sys.executable, "-c", LOOK, str(project / "dags")]
    looked = subprocess.run(command, env=environment, cwd=home, capture_output=True, text=True, timeout=120)
    assert looked.returncode == 0, looked.stderr
    line = next(line for line in looked.stdout.splitlines() if line.startswith("RESULT"))
    found: dict[str, Any] = json.loads(line.removeprefix("RESULT"))
    return found


@pytest.fixture(scope="module")
def nightly(bag: dict[str, Any]) -> dict[str, Any]:
    dag: dict[str, Any] = bag["dags"][f"cdmflow_nightly_{SOURCE}"]
    return dag


@pytest.fixture
def tasks_module(project: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    monkeypatch.syspath_prepend(str(project / "dags"))
    import nightly_tasks

    return nightly_tasks


def test_every_dag_file_loads_without_an_error(bag: dict[str, Any]) -> None:
    assert bag["errors"] == {}


def test_each_source_has_a_nightly_dag_and_one_for_its_vocabulary(bag: dict[str, Any]) -> None:
    kinds = ("nightly", "vocabulary")
    assert sorted(bag["dags"]) == sorted(f"cdmflow_{kind}_{source}" for kind in kinds for source in sources())


def test_missed_nights_are_caught_up_on_from_the_first_night_that_is_named(
    nightly: dict[str, Any], tmp_path: Path, project: Path
) -> None:
    assert not nightly["catchup"]
    caught_up = look(tmp_path, project, CDMFLOW_FIRST_NIGHT="2026-11-01")["dags"][f"cdmflow_nightly_{SOURCE}"]
    assert (caught_up["catchup"], caught_up["start"]) == (True, "2026-11-01 00:00:00+00:00")


def test_a_run_is_named_after_its_dag_run_and_its_backfill(tasks_module: Any) -> None:
    night = "backfill__2024-06-02T02:00:00+00:00"
    for conf, run_id in (({}, f"synthea.{night}"), ({"backfill": "b20261124T000000-000000"}, None)):
        context = {"dag_run": SimpleNamespace(run_id=night, conf=conf)}
        named = tasks_module.run_id_of(SOURCE, context)
        assert named == (run_id or f"synthea.{night}.b20261124T000000-000000")
        assert tasks_module.dag_run_id_of(SOURCE, named) == night


def test_a_vocabulary_is_adopted_only_after_a_person_said_so(bag: dict[str, Any]) -> None:
    tasks = bag["dags"][f"cdmflow_vocabulary_{SOURCE}"]["tasks"]
    assert {name: task["upstream"] for name, task in tasks.items()} == {
        "load_vocabulary": [],
        "preview_vocabulary": ["load_vocabulary"],
        "approve": ["preview_vocabulary"],
        "adopt": ["approve"],
    }
    assert tasks["approve"]["defaults"] == ["Reject"]
    assert tasks["approve"]["timeout"] == 7 * 24 * 3600


def test_the_dags_are_read_in_a_few_seconds_at_most(bag: dict[str, Any]) -> None:
    assert bag["seconds"] < 5  # 0.4 s on a quiet machine; the bound leaves room for a busy one


def test_the_tasks_and_their_edges_are_the_pipelines_steps(nightly: dict[str, Any]) -> None:
    made = {name: task["upstream"] for name, task in nightly["tasks"].items() if name not in ("open_run", "close_run")}
    assert made == {step.name: sorted(step.upstream) or ["open_run"] for step in steps(SOURCE)}


def test_the_task_groups_are_the_stages(nightly: dict[str, Any]) -> None:
    groups = {name: task["group"] for name, task in nightly["tasks"].items() if task["group"]}
    assert groups == {step.name: step.group for step in steps(SOURCE)}
    assert set(groups.values()) == set(GROUPS)


def test_a_task_explains_itself(nightly: dict[str, Any]) -> None:
    assert {step.name: nightly["tasks"][step.name]["doc"] for step in steps(SOURCE)} == {
        step.name: step.help for step in steps(SOURCE)
    }
    assert "last release stays" in nightly["doc"]


def test_open_run_is_the_setup_and_close_run_the_teardown_after_everything(nightly: dict[str, Any]) -> None:
    tasks = nightly["tasks"]
    assert [name for name, task in tasks.items() if task["setup"]] == ["open_run"]
    assert [name for name, task in tasks.items() if task["teardown"]] == ["close_run"]
    assert [name for name, task in tasks.items() if not task["downstream"]] == ["close_run"]


def test_the_teardowns_success_does_not_hide_a_failed_task(nightly: dict[str, Any]) -> None:
    """With on_failure_fail_dagrun the teardown would be the run's only leaf, and its success the run's."""
    assert nightly["tasks"]["close_run"]["fails_dagrun"] is False


def test_only_publish_announces_the_cdm_and_nothing_after_it_can_fail_unseen(nightly: dict[str, Any]) -> None:
    outlets = {name: task["outlets"] for name, task in nightly["tasks"].items() if task["outlets"]}
    assert outlets == {"publish": [f"cdmflow://cdm/{SOURCE}"]}


def test_the_schedule_is_an_explicit_cron_at_two_without_catchup(nightly: dict[str, Any]) -> None:
    assert nightly["timetable"] == ["CronDataIntervalTimetable", "0 2 * * *", "UTC"]
    assert (nightly["catchup"], nightly["max_active_runs"]) == (False, 1)


def test_the_trigger_form_has_types_defaults_and_help(nightly: dict[str, Any]) -> None:
    params = nightly["params"]
    assert sorted(params) == [
        "backfill",
        "business_date",
        "input_folder",
        "is_drop",
        "is_live",
        "persons_file",
        "vocabulary_folder",
        "vocabulary_version",
    ]
    assert all(param["help"] and param["schema"]["type"] for param in params.values())
    assert params["input_folder"]["value"].endswith("demo/hospital")
    assert params["business_date"]["value"] is None


def test_dag_files_import_nothing_heavy_at_the_top(project: Path) -> None:
    for file in sorted((project / "dags").glob("*.py")):
        assert not _imported(ast.parse(file.read_text()).body) & HEAVY, file.name


def test_etl_never_imports_airflow(project: Path) -> None:
    for file in sorted((project / "etl").rglob("*.py")):
        imported = _imported(ast.walk(ast.parse(file.read_text())))  # type: ignore[arg-type]
        assert "airflow" not in imported, file


def test_only_airflows_public_interface_is_imported(project: Path) -> None:
    for file in sorted((project / "dags").glob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("airflow"):
                assert str(node.module).startswith(("airflow.sdk", "airflow.providers")), f"{file.name}: {node.module}"


PARAMS = {
    "input_folder": "/in",
    "is_drop": False,
    "is_live": False,
    "vocabulary_folder": "/vocabulary",
    "vocabulary_version": None,
    "business_date": None,
}


def test_a_manual_run_without_a_logical_date_takes_its_cutoff_from_the_files(tasks_module: Any) -> None:
    assert tasks_module.resolve(SOURCE, "synthea.manual__1", PARAMS) == {
        "source": SOURCE,
        "input_folder": "/in",
        "vocabulary_folder": "/vocabulary",
        "is_drop": False,
        "is_live": False,
        "business_date": None,
        "run_id": "synthea.manual__1",
    }


def test_a_partition_key_goes_before_the_param(tasks_module: Any) -> None:
    params = PARAMS | {"business_date": "2026-11-01"}
    assert tasks_module.resolve(SOURCE, "r", params)["business_date"] == "2026-11-01"
    assert tasks_module.resolve(SOURCE, "r", params, "2026-11-02")["business_date"] == "2026-11-02"


@pytest.mark.parametrize(("params", "key", "named"), [({"business_date": "soon"}, None, "param"), ({}, "EU", "key")])
def test_a_date_that_is_none_fails_at_once_and_says_where(
    tasks_module: Any, params: dict[str, Any], key: str | None, named: str
) -> None:
    from airflow.sdk.exceptions import AirflowFailException

    with pytest.raises(AirflowFailException, match=f"{named}.* is not a date"):
        tasks_module.resolve(SOURCE, "r", PARAMS | params, key)


def test_a_data_error_fails_at_once_with_its_own_text(tasks_module: Any) -> None:
    from airflow.sdk.exceptions import AirflowFailException

    from etl.errors import GateRefused

    with pytest.raises(AirflowFailException) as caught:
        tasks_module.calling(
            _raising(GateRefused("2 checks failed.", state="Release 1 stays.", todo="Read the report."))
        )
    assert str(caught.value) == "2 checks failed.\nRelease 1 stays.\nRead the report."


def test_a_lost_database_is_retried(tasks_module: Any) -> None:
    import psycopg2
    from airflow.sdk.exceptions import AirflowFailException

    from etl.errors import DatabaseUnavailable

    for error in (DatabaseUnavailable("The database does not answer."), psycopg2.OperationalError("gone")):
        with pytest.raises(tasks_module.DatabaseAway) as caught:
            tasks_module.calling(_raising(error))
        assert not isinstance(caught.value, AirflowFailException)


def test_an_unforeseen_errors_text_stays_out_of_the_log_but_its_place_is_told(tasks_module: Any) -> None:
    from airflow.sdk.exceptions import AirflowFailException

    with pytest.raises(AirflowFailException) as caught:
        tasks_module.calling(_raising(ValueError("Could not convert string 'Jane Canary'")))
    assert "Canary" not in str(caught.value)
    assert "ValueError" in str(caught.value)
    assert "test_dags.py" in str(caught.value)
    assert caught.value.__suppress_context__


def test_the_partition_key_is_optional_in_airflows_context(tasks_module: Any) -> None:
    assert tasks_module.partition_key({"dag_run": SimpleNamespace()}) is None
    assert tasks_module.partition_key({"dag_run": SimpleNamespace(partition_key="2026-11-02")}) == "2026-11-02"


def _raising(error: Exception) -> Any:
    def work() -> None:
        raise error

    return work


def _imported(nodes: Any) -> set[str]:
    """First parts of the imported modules' names."""
    names: list[str] = []
    for node in nodes:
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.append(node.module)
    return {name.split(".")[0] for name in names}
