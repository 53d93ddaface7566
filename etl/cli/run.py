"""`cdmflow run`: the whole pipeline in one process."""

from pathlib import Path
from typing import Annotated

import typer

from etl.cli import out


def run(
    source: Annotated[str, typer.Option(help="A folder under sources/, e.g. synthea.")] = "synthea",
    input: Annotated[Path | None, typer.Option(help="Folder with the source's files (CSV or CSV.gz).")] = None,
    drop: Annotated[
        Path | None,
        typer.Option(help="Folder with what changed since the current release, instead of --input; others stay."),
    ] = None,
    live: Annotated[
        bool, typer.Option("--live", help="Read the source database of CDMFLOW_SOURCE_URL instead of files.")
    ] = False,
    vocabulary: Annotated[
        Path | None,
        typer.Option(
            help="Athena bundle: a folder or zip with CONCEPT.csv and the others. A drop keeps the release's."
        ),
    ] = None,
    date: Annotated[
        str | None, typer.Option(help="Data cut-off, e.g. 2026-06-30; else the newest date in the data.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Steps at a time; the result does not depend on it.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the last run that failed, was killed or was refused.")
    ] = False,
) -> None:
    """Land, map, check and publish a source's files as the next release, without Airflow.

    Running it twice on the same files gives the same ids and the same digest of every table. A refusal of the gate
    (exit code 3) or any error leaves the last release as it was.

    --drop takes a night's files on top of the current release: a table without a file stays as it is there, one with a
    file is replaced or added to as the source's tables.yml says. The same drop twice changes nothing.

    --live reads every table of the contract in one read-only snapshot of the database: everything at first, then what
    changed since the current release, and only the persons concerned are made again.

    --resume does not do again what the run had finished, and judges again what the gate refused.
    """
    if resume:
        if input or drop or live or vocabulary or date:
            raise typer.BadParameter("a run keeps its input, vocabulary and date.", param_hint="'--resume'")
        run_id = resume_run(workers)
    else:
        if sum(map(bool, (input, drop, live))) > 1:
            raise typer.BadParameter(
                "are different sources of rows: give one.", param_hint="'--input', '--drop', '--live'"
            )
        needed = {"--input": input or drop or live or None, "--vocabulary": vocabulary or drop or live or None}
        for name, given in needed.items():
            if given is None:
                raise typer.BadParameter(
                    "is missing (only --drop, --live and --resume go without).", param_hint=f"'{name}'"
                )
        chosen = {"is_drop": drop is not None, "is_live": live}
        run_id = start_run(source, input or drop, vocabulary, date, workers, **chosen)
    from etl.cli.summary import print_summary

    print_summary(run_id)
    out.print(
        'Next: [bold]./cdmflow sql "SELECT count(*) FROM cdm.person"[/bold], [bold]./cdmflow status --rows[/bold]'
    )


def rebuild(
    source: Annotated[str, typer.Option(help="A folder under sources/, e.g. synthea.")] = "synthea",
    vocabulary: Annotated[Path | None, typer.Option(help="Athena bundle, if not the current release's.")] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Steps at a time; the result does not depend on it.")
    ] = None,
) -> None:
    """Make the current release again from its landed batches, with today's SQL and maps. Nothing is landed.

    The same rules and vocabulary give the same ids and the same digest of every table.
    """
    from etl.cli.summary import print_summary

    print_summary(start_run(source, None, vocabulary, None, workers))


def start_run(
    source: str,
    folder: Path | None,
    vocabulary: Path | None,
    date: str | None,
    workers: int | None,
    *,
    is_drop: bool = False,
    is_live: bool = False,
    vocabulary_id: int | None = None,
) -> str:
    """Open a run and take it through all its steps with live progress; its id. Without a folder: a rebuild."""
    from etl.cli.progress import steps_progress, waiting
    from etl.config import settings
    from etl.pipeline import steps
    from etl.pipeline.execute import run_steps
    from etl.pipeline.runs import database, open_run, opening

    with waiting("Starting PostgreSQL …"):
        database(settings())
    with opening():
        refuse_beside_airflow()
        run_id = open_run(
            source=source,
            input_folder=str(folder) if folder else None,
            vocabulary_folder=str(vocabulary) if vocabulary else None,
            vocabulary_id=vocabulary_id,
            is_drop=is_drop,
            is_live=is_live,
            business_date=date,
        )
    out.print(f"Run [bold]{run_id}[/bold] of source {source}", highlight=False)
    with steps_progress(len(steps(source))) as tell:
        run_steps(run_id, workers=workers, progress=tell)
    return run_id


def refuse_beside_airflow() -> None:
    """Locked while this home's Airflow takes a run through its steps; records of runs that ended with it are closed."""
    from etl.config import settings
    from etl.errors import Locked
    from etl.pipeline.runs import close_run, is_from_command_line, load_run, open_runs
    from etl.services import airflow, airflow_runs

    for run_id in open_runs():
        if is_from_command_line(run_id):
            continue
        if airflow.status(settings()).running and airflow_runs.is_run_active(
            settings(), run_id, load_run(run_id).source
        ):
            raise Locked(
                f"Airflow's run {run_id} is under way; no other run started.",
                state="Nothing was written.",
                todo="Wait for it: ./cdmflow status shows what is running.",
            )
        close_run(run_id, failed=True, message="its DAG run ended before the run did")


def resume_run(workers: int | None) -> str:
    """Take the last unfinished run through its remaining steps with live progress; its id."""
    from etl.cli.progress import steps_progress, waiting
    from etl.config import settings
    from etl.pipeline import steps
    from etl.pipeline.execute import run_steps
    from etl.pipeline.resume import finished_steps, last_unfinished
    from etl.pipeline.runs import database

    with waiting("Starting PostgreSQL …"):
        database(settings())
    run = last_unfinished()
    every, finished = len(steps(run.source)), len(finished_steps(run))
    out.print(
        f"Run [bold]{run.run_id}[/bold] of source {run.source}: {finished} of {every} steps are done", highlight=False
    )
    with steps_progress(every - finished) as tell:
        run_steps(run.run_id, workers=workers, progress=tell, resume=True)
    return run.run_id
