"""Stored counts judged again: of a release or a run, under today's overrides and perhaps other thresholds.

Reads the schema `etl` only: no file of the run, no table of the release.
"""

from dataclasses import dataclass
from pathlib import Path

import sqlalchemy

from etl import state
from etl.config import settings
from etl.errors import ContractError, UsageError
from etl.pipeline.check_results import releases_before, stored_results
from etl.pipeline.overrides import overrides_in_force
from etl.pipeline.runs import database, engine, load_run, release_in
from etl.quality import CheckResult, Threshold, Verdict, judge
from etl.quality.drift import read_limits
from etl.quality.report import Comparison, compare
from etl.quality.thresholds import apply_thresholds, read_thresholds


@dataclass(frozen=True)
class Rechecked:
    """The verdict on a run's counts; `release` is None where it is not published, `before` the release before it."""

    run_id: str
    release: int | None
    before: int | None
    results: list[CheckResult]
    verdict: Verdict
    changes: Comparison | None


def recheck(*, release: int | None = None, run_id: str | None = None, thresholds: Path | None = None) -> Rechecked:
    """Judge what is stored of a release (the one that is served unless it or a run is named).

    Of a check that a rule names, rows that were accepted in quarantine count again.
    UsageError: no such release or run, no results of it, both named, thresholds that are not such a file.
    """
    with engine(database(settings())).connect() as con:
        run = load_run(_run_of(con, release, run_id))
        stored = stored_results(con, run.run_id)
        if not stored:
            raise UsageError(
                f"Run {run.run_id} has no results: its gate counted nothing.",
                todo="./cdmflow status lists the last runs.",
            )
        releases = releases_before(con, run.source, run.run_id)
        before = stored_results(con, releases[0][1]) if releases else None
        number = release_in(con, run.run_id)
    results = _under(stored, thresholds) if thresholds else stored
    limits = read_limits(settings().expectations_dir / "drift.yml")
    base = {result.check_id: result for result in before or ()}
    # What passed stays passed: the gate may have let accepted rows of the quarantine through, which the count includes.
    held = {result.check_id: Threshold(result.severity, 100.0) for result in results if result.status == "passed"}
    return Rechecked(
        run_id=run.run_id,
        release=number,
        before=releases[0][0] if releases else None,
        results=results,
        verdict=judge(results, held, base=base, overrides=overrides_in_force(), limits=limits.regression),
        changes=compare(results, before) if before is not None else None,
    )


def _run_of(con: sqlalchemy.Connection, release: int | None, run_id: str | None) -> str:
    if release is not None and run_id is not None:
        raise UsageError("A release and a run were both named.", todo="Name one of them.")
    if run_id is not None:
        return run_id
    known = state.release.c
    wanted = sqlalchemy.select(known.run_id).order_by(known.release_id.desc()).limit(1)
    wanted = wanted.where(known.withdrawn_at.is_(None) if release is None else known.release_id == release)
    found: str | None = con.execute(wanted).scalar_one_or_none()
    if found is None:
        what = "Nothing is published yet." if release is None else f"There is no release {release}."
        raise UsageError(what, todo="./cdmflow status lists runs and releases; --run ID judges one without a release.")
    return found


def _under(stored: list[CheckResult], thresholds: Path) -> list[CheckResult]:
    try:
        return apply_thresholds(stored, read_thresholds(thresholds))
    except ContractError as error:
        raise UsageError(error.what, state=error.state, todo=error.todo) from None
