"""Publishing a run: only a candidate that both gates passed."""

import shutil
from datetime import UTC, datetime
from typing import Any

import sqlalchemy

from etl import publish, state, vocabulary
from etl.cdm import tables
from etl.config import settings
from etl.engine import count_rows
from etl.errors import CdmflowError, GateRefused
from etl.log import get_logger
from etl.pipeline.counts import keep_counts
from etl.pipeline.diff import write_diff
from etl.pipeline.lineage import layers
from etl.pipeline.runs import Run, database, engine, record, vocabulary_folder
from etl.pipeline.scope import scope_ids

log = get_logger(__name__)

RUNS_KEPT = 3  # to look into a candidate that was refused, and to compare it with those before


def publish_vocabulary_of(run: Run) -> tuple[int | None, int | None, str]:
    """Load the run's vocabulary version into PostgreSQL unless it is there: rows in, rows out, the schema's name."""
    assert run.vocabulary_id is not None
    configured = settings()
    folder = vocabulary_folder(run.vocabulary_id)
    schema = publish.publish_vocabulary(configured, database(configured), run.vocabulary_id, folder)
    known = {
        version.vocabulary_id: version
        for version in vocabulary.loaded_versions(configured, engine(database(configured)))
    }
    rows = sum(known[run.vocabulary_id].counts.values())
    return rows, rows, f"schema {schema}"


def publish_run(run: Run) -> tuple[int | None, int | None, str]:
    """Publish the run's candidate: rows in, rows out, the release's name. Refuses without three passed verdicts."""
    assert run.vocabulary_id is not None
    verdicts = {"landing": run.landing_verdict, "candidate": run.verdict, "drift": run.drift_verdict}
    for gate, verdict in verdicts.items():
        is_whole = verdict is not None and verdict["expected"] == verdict["evaluated"]
        if not (verdict and verdict["passed"] and is_whole and (verdict["expected"] or gate == "drift")):
            raise GateRefused(
                f"Run {run.run_id} has no passed verdict of the {gate} gate.",
                state="Nothing was published; the last release stays as it was.",
                todo="Run the gate step first; a candidate that it refused is not published.",
            )
    configured = settings()
    candidate = run.folder / "cdm"
    if run.scope == "persons":
        release = _publish_persons(run, _merged(verdicts))
        return release.rows, release.rows, f"release {release.release_id}"
    release = publish.publish_release(
        configured,
        database(configured),
        run.run_id,
        candidate,
        run.vocabulary_id,
        _merged(verdicts),
        base_run=run.parameters.get("base_run"),
    )
    _keep_report(run, release)
    files = [candidate / f"{name}.parquet" for name in tables()]
    sent = count_rows([file for file in files if file.exists()])
    published = release.rows
    if sent != published:
        raise CdmflowError(f"Release {release.release_id} holds {published:,} rows of {sent:,}.")
    return sent, published, f"release {release.release_id}"


def _publish_persons(run: Run, verdict: dict[str, Any]) -> publish.Release:
    """Put the persons of the run's scope in place on the current release's tables."""
    assert run.vocabulary_id is not None
    configured = settings()
    release = publish.publish_delta(
        configured,
        database(configured),
        run.run_id,
        run.folder / "cdm",
        run.vocabulary_id,
        verdict,
        base_run=run.parameters["base_run"],
        persons=scope_ids(run),
        report=lambda stage: log.debug("%s", stage),
    )
    _keep_report(run, release)
    return release


def _keep_report(run: Run, release: publish.Release) -> None:
    """What is told of a release beside its record; the run has ended once all of it is there, so it can be resumed."""
    record(run.run_id, status="published")
    keep_counts(run, release.release_id)
    write_diff(run.source, release)
    remove_old_runs()
    report = run.folder / "report"
    if report.is_dir():
        shutil.copytree(report, settings().releases_dir / str(release.release_id) / "report", dirs_exist_ok=True)
    record(run.run_id, ended_at=datetime.now(UTC))


def remove_old_runs() -> None:
    """Remove the files of ended runs but the last ones' and the current release's: `trace` reads those.

    Every release is in PostgreSQL, its report in `releases`.

    A night of 10,000 patients leaves 0.5 GB. Landed batches and vocabularies stay: any run can be made again from them.
    """
    run, release = state.run.c, state.release.c
    with engine(database(settings())).connect() as con:
        served = con.execute(
            sqlalchemy.select(release.run_id)
            .where(release.withdrawn_at.is_(None))
            .order_by(release.release_id.desc())
            .limit(1)
        ).scalar_one_or_none()
        ended = con.execute(
            sqlalchemy.select(run.run_id)
            .where(run.ended_at.is_not(None))
            .order_by(run.started_at.desc())
            .offset(RUNS_KEPT)
        ).scalars()
        needed = set(layers(served)) if served else set()
        for run_id in ended:
            if run_id not in needed:
                shutil.rmtree(settings().runs_dir / run_id, ignore_errors=True)


def _merged(verdicts: dict[str, dict[str, Any] | None]) -> dict[str, Any]:
    """One verdict of both gates for the release's record."""
    known = {gate: verdict for gate, verdict in verdicts.items() if verdict}
    return {
        "passed": all(verdict["passed"] for verdict in known.values()),
        "evaluated": sum(verdict["evaluated"] for verdict in known.values()),
        "warnings": [check for verdict in known.values() for check in verdict["warnings"]],
        "gates": known,
    }
