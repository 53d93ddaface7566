"""Going on with a run that failed or was killed: the steps that it finished are not done again."""

from pathlib import Path

import sqlalchemy

from etl import state
from etl.cdm import tables
from etl.config import settings
from etl.errors import UsageError
from etl.pipeline.models import maps_digest, models, rules_digest
from etl.pipeline.runs import COMMAND_LINE_RUN, Run, database, engine, load_run, release_of, vocabulary_folder
from etl.pipeline.steps import Step, steps

# Judged anew each time: cheap, and their suites may have been edited because of the refusal.
ALWAYS = ("landing_gate", "gate", "drift_gate", "publish_vocabulary", "publish")


def last_unfinished(run_id: str | None = None) -> Run:
    """The newest command line run that has not published, or the one that is named; UsageError when there is none."""
    if run_id is None:
        known = state.run.c
        with engine(database(settings())).connect() as con:
            run_id = con.execute(
                sqlalchemy.select(known.run_id)
                .where(known.run_id.regexp_match(COMMAND_LINE_RUN))
                .order_by(known.started_at.desc())
                .limit(1)
            ).scalar_one_or_none()
    if run_id is None:
        raise UsageError("No run was started yet.", todo="Start one: ./cdmflow run --input DIR --vocabulary DIR.")
    run = load_run(run_id)
    if run.status == "published" and _has_ended(run_id):  # else it was killed before its report was complete
        raise UsageError(f"Run {run_id} has published its release.", todo="There is nothing to resume.")
    rules = {"rules": rules_digest(run.source), "maps": maps_digest(run.source)}
    if not rules.items() <= run.parameters.items() or not run.folder.is_dir():
        gone = "its files are gone" if not run.folder.is_dir() else "SQL, maps or contract have changed since it began"
        raise UsageError(
            f"Run {run_id} cannot be resumed: {gone}.",
            state="Nothing was written.",
            todo="Run again: what was landed before is not read again.",
        )
    return run


def _has_ended(run_id: str) -> bool:
    known = state.run.c
    with engine(database(settings())).connect() as con:
        found = con.execute(sqlalchemy.select(known.ended_at.is_not(None)).where(known.run_id == run_id))
        return bool(found.scalar_one())


def finished_steps(run: Run) -> frozenset[str]:
    """Steps whose record and outputs are there, as are those of all steps before them.

    Of a run that was killed between its release and its report, all but the publish: the gate would take its own rows
    for those of the release before.
    """
    if release_of(run.run_id) is not None:
        return frozenset(step.name for step in steps(run.source) if step.name != "publish")
    with engine(database(settings())).connect() as con:
        recorded = set(
            con.execute(sqlalchemy.select(state.run_step.c.step).where(state.run_step.c.run_id == run.run_id)).scalars()
        )
    finished: set[str] = set()
    for step in steps(run.source):
        known = step.name in recorded and step.name not in ALWAYS
        if known and set(step.upstream) <= finished and all(path.exists() for path in _outputs(run, step)):
            finished.add(step.name)
    return frozenset(finished)


def _outputs(run: Run, step: Step) -> list[Path]:
    """What a step leaves behind; each file is renamed into its place when it is whole."""
    if step.name == "land":
        return [run.folder / "landing.json"]
    if step.name == "load_vocabulary":
        if run.vocabulary_id is None:
            return [run.folder / "no vocabulary"]
        named = [name for name, table in tables().items() if table.schema == "VOCAB"]
        files = [vocabulary_folder(run.vocabulary_id) / f"{name}.parquet" for name in named]
        return [run.folder / "custom/source_to_concept_map.parquet", *files]
    if step.name == "person_ids":
        return [run.folder / "state/person.parquet"]
    return [path for name in step.models for path in models(run.source)[name].outputs(run.folder)]
