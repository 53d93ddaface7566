"""`cdmflow demo`: an invented hospital through Airflow into a published CDM, followed live."""

import shutil
from pathlib import Path
from typing import Annotated, Any

import typer

from etl.cli import err, out, show

SOURCE = "synthea"
DAG_ID = f"cdmflow_nightly_{SOURCE}"
QUESTIONS = (
    (
        "How many people were seen, by sex and decade of birth?",
        """SELECT concept.concept_name AS sex, year_of_birth / 10 * 10 AS born_from, count(*) AS persons
           FROM cdm.person JOIN cdm.concept ON concept_id = gender_concept_id
           GROUP BY 1, 2 ORDER BY 2, 1""",
    ),
    (
        "Which conditions are most common, and how often do they come back?",
        """SELECT concept_name AS condition, count(DISTINCT person_id) AS persons, count(*) AS eras
           FROM cdm.condition_era JOIN cdm.concept ON concept_id = condition_concept_id
           GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 8""",
    ),
    (
        "What is the last HbA1c of people on metformin, and of everyone else who had one?",
        """WITH last_hba1c AS (
               SELECT DISTINCT ON (person_id) person_id, value_as_number
               FROM cdm.measurement JOIN cdm.concept ON concept_id = measurement_concept_id
               WHERE concept_code = '4548-4' AND vocabulary_id = 'LOINC' AND value_as_number IS NOT NULL
               ORDER BY person_id, measurement_date DESC, measurement_id DESC),
           on_metformin AS (
               SELECT DISTINCT person_id FROM cdm.drug_era JOIN cdm.concept ON concept_id = drug_concept_id
               WHERE concept_name ILIKE 'metformin')
           SELECT CASE WHEN on_metformin.person_id IS NULL THEN 'not on metformin' ELSE 'on metformin' END AS people,
                  count(*) AS persons, round(avg(value_as_number)::numeric, 2) AS mean_hba1c_percent
           FROM last_hba1c LEFT JOIN on_metformin USING (person_id) GROUP BY 1 ORDER BY 1""",
    ),
)


def demo(
    patients: Annotated[int, typer.Option(min=10, help="Size of the invented hospital.")] = 1000,
    once: Annotated[bool, typer.Option("--once", help="Stop Airflow and PostgreSQL at the end.")] = False,
) -> None:
    """Make a hospital's files, start PostgreSQL and Airflow, let the scheduler run the nightly DAG, show the result.

    Everything stays below CDMFLOW_HOME and on loopback. ./cdmflow stop ends what was started.
    """
    from etl.cli.progress import waiting
    from etl.cli.releases import print_diff
    from etl.cli.servers import print_airflow, stop
    from etl.cli.summary import print_summary
    from etl.config import settings
    from etl.errors import CdmflowError
    from etl.pipeline.diff import read_diff
    from etl.pipeline.runs import database, release_of
    from etl.services import airflow

    configured = settings()
    try:
        hospital, vocabulary = make_input(configured.demo_dir, patients)
        with waiting("Starting PostgreSQL …"):
            found = database(configured)
        with waiting("Starting Airflow (about 20 s) …") as tell:
            status = airflow.start(configured, found, progress=tell)
        print_airflow(status)
        for title, conf in nights(configured.demo_dir, hospital, vocabulary, patients):
            out.rule(title)
            run_id = run_nightly(configured, conf)
            if conf["vocabulary_folder"]:
                print_summary(run_id)
            release = release_of(run_id)
            if release is None:
                raise CdmflowError(f"The demo's run {run_id} was not published.", todo=f"Its tasks' logs: {status.url}")
            print_diff(read_diff(release))
        answer_questions(found.reader_url)
        if not once:
            print_airflow(status)
            out.print("Stop everything with [bold]./cdmflow stop[/bold].")
    finally:
        if once:
            stop()


def make_input(folder: Path, patients: int) -> tuple[Path, Path]:
    """The demo's hospital and vocabulary below `folder`, made unless they are there in this size."""
    import json

    from rich.progress import Progress

    from etl.demo import demo_vocabulary_folder, write_hospital

    hospital, vocabulary = folder / "hospital", folder / "vocabulary"
    manifest = hospital / "manifest.json"
    if not (manifest.exists() and json.loads(manifest.read_text()).get("patients") == patients):
        with Progress(console=err, transient=True) as bars:
            bar = bars.add_task(f"Inventing {patients:,} patients", total=patients)
            made = write_hospital(
                hospital, patients=patients, progress=lambda done, _: bars.update(bar, completed=done)
            )
        rows = sum(made.rows.values())
        out.print(f"Invented {patients:,} patients: {rows:,} rows in {hospital}", highlight=False, soft_wrap=True)
    shutil.copytree(demo_vocabulary_folder(), vocabulary, dirs_exist_ok=True)
    return hospital, vocabulary


def nights(folder: Path, hospital: Path, vocabulary: Path, patients: int) -> list[tuple[str, dict[str, Any]]]:
    """The demo's three nights: a title and the nightly DAG's params of each. Writes the files of the later two."""
    from etl.demo.nights import write_night_of_changes, write_normal_night

    second, third = folder / "night-2", folder / "night-3"
    seen = write_normal_night(hospital, second, patients)
    write_night_of_changes([second, hospital], third)
    drops: dict[str, Any] = {"vocabulary_folder": None, "is_drop": True}
    visits = "one patient comes" if seen == 1 else f"{seen} patients come"
    return [
        ("First night: everything", {"input_folder": str(hospital), "vocabulary_folder": str(vocabulary)}),
        (f"Second night: {visits}", {"input_folder": str(second), **drops}),
        ("Third night: a correction, a deletion and a late result", {"input_folder": str(third), **drops}),
    ]


def run_nightly(configured: Any, conf: dict[str, Any]) -> str:
    """Trigger the nightly DAG with these params, show its tasks as they end, and give the pipeline's run id.

    Raises GateRefused or CdmflowError with the run's own message when the DAG run failed.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from etl.errors import CdmflowError, GateRefused
    from etl.pipeline.runs import load_run
    from etl.services import airflow_runs

    dag_run = airflow_runs.trigger(configured, DAG_ID, conf | {"is_live": False})
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    shown: set[str] = set()
    with Progress(*columns, console=err, transient=True) as bars:
        bar = bars.add_task("Airflow runs the nightly DAG", total=None)

        def update(state: Any) -> None:
            for task in state.tasks:
                if task.task_id not in shown and task.state in ("success", "failed", "upstream_failed", "skipped"):
                    shown.add(task.task_id)
                    mark = "[green]✓[/green]" if task.state == "success" else "[red]✗[/red]"
                    took = f"{task.seconds:5.1f} s" if task.seconds else ""
                    bars.console.print(f"{mark} {task.task_id:<24} {took}", highlight=False)
            running = [task.task_id for task in state.tasks if task.state == "running"]
            bars.update(bar, completed=len(shown), total=len(state.tasks) or None,
                        description=", ".join(running) or "Airflow")  # fmt: skip

        ended = airflow_runs.follow(configured, DAG_ID, dag_run, update)
    run_id = f"{SOURCE}.{dag_run}"
    if ended != "success":
        run = load_run(run_id)
        error = GateRefused if run.status == "refused" else CdmflowError
        raise error(
            f"The nightly DAG ended as {ended}: {run.message or 'see its tasks'}.",
            state="The last release stays as it was.",
            todo=f"Logs of its tasks: {configured.airflow_home / 'logs'}",
        )
    return run_id


def answer_questions(reader_url: str) -> None:
    """Three questions an analyst asks, answered from the published views as the read-only role."""
    import sqlalchemy

    engine = sqlalchemy.create_engine(reader_url, hide_parameters=True)
    with engine.connect() as con:
        for question, query in QUESTIONS:
            result = con.exec_driver_sql(query)
            names = list(result.keys())
            rows = result.fetchall()
            numbers = [i for i in range(len(names)) if rows and not isinstance(rows[0][i], str)]
            show.table(question, names, [tuple(str(cell) if cell is not None else "" for cell in row) for row in rows],
                       numbers=numbers)  # fmt: skip
    engine.dispose()
