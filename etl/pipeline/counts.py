"""What the gate counts of a run: the release as it would be, at the cost of the persons whom the run makes again.

total = the current release's count − what it holds of these persons + what takes its place. Counts of rows and of
persons add up like that; distinct source values do by value, dates in the future by day, and what nobody refers to by
place: these are kept with each release, in `releases/<N>/quality`.
"""

import shutil
from pathlib import Path

import sqlalchemy

from etl import publish, quality, state
from etl.config import deprecated_checks, settings
from etl.engine import connection
from etl.errors import CdmflowError
from etl.pipeline.judgement import stored_results
from etl.pipeline.runs import Run, database, engine, load_run, release_of, vocabulary_folder
from etl.pipeline.scope import keep_scope_only, scope_ids
from etl.quality import CheckResult, SourceAccount
from etl.quality.dqd.catalogue import DqdCheck, read_catalogue
from etl.quality.dqd.future_dates import FILE as FUTURE_DATES
from etl.quality.dqd.future_dates import is_of_future, merge_future_dates
from etl.quality.dqd.source_values import FILE as SOURCE_VALUES
from etl.quality.dqd.source_values import merge_source_values
from etl.quality.profile import make_profile, merge_profiles, read_profile, unreferred

PROFILE = "profile.parquet"
KEPT = (PROFILE, SOURCE_VALUES, FUTURE_DATES)


def count_release(run: Run, ledger: list[SourceAccount]) -> list[CheckResult]:
    """All checks' counts of the release that this run would make; profile and source values beside them.

    Judged by themselves, a few persons would be refused for a share that nobody would mind in the whole.
    """
    assert run.vocabulary_id is not None
    configured = settings()
    if run.scope == "all":
        results = _counted(run.folder, run.vocabulary_id, ledger)
        make_profile(configured, run.folder, quality_folder(run) / PROFILE)
        return results
    ids = scope_ids(run)
    keep_scope_only(run, ids)
    now = _counted(run.folder, run.vocabulary_id, ledger)
    return _with_everybody_else(run, now, ids)


def _counted(folder: Path, vocabulary_id: int, ledger: list[SourceAccount]) -> list[CheckResult]:
    words = vocabulary_folder(vocabulary_id)
    return quality.compute_candidate(settings(), folder, words, ledger, deprecated=deprecated_checks())


def quality_folder(run: Run) -> Path:
    return run.folder / "quality"


def dashboard_checks() -> tuple[DqdCheck, ...]:
    """The checks of OHDSI's Data Quality Dashboard that the gate asks."""
    return read_catalogue(settings().expectations_dir / "dqd", deprecated=deprecated_checks())


def kept_with(run_id: str, name: str) -> Path | None:
    """A file of the counts that are kept with the release of a run; None where it has none.

    A publisher that was killed before it kept them has left them in its run's folder.
    """
    places = (settings().releases_dir / str(release_of(run_id)), settings().runs_dir / run_id)
    return next((path for place in places if (path := place / "quality" / name).exists()), None)


def keep_counts(run: Run, release_id: int) -> None:
    """Keep the counts that later nights add to with the run's release."""
    folder = settings().releases_dir / str(release_id) / "quality"
    folder.mkdir(parents=True, exist_ok=True)
    for name in KEPT:
        shutil.copyfile(quality_folder(run) / name, folder / name)


def _with_everybody_else(run: Run, now: list[CheckResult], ids: Path) -> list[CheckResult]:
    configured, base = settings(), run.parameters["base_run"]
    vocabulary_before = load_run(base).vocabulary_id
    assert vocabulary_before is not None
    present = run.folder / "scope" / "present"
    with engine(database(configured)).connect() as con:
        schema = con.execute(
            sqlalchemy.select(state.release.c.schema_name).where(state.release.c.run_id == base)
        ).scalar_one()
    publish.write_present_rows(database(configured), run.run_id, schema, ids, present / "cdm")
    before = _counted(present, vocabulary_before, [])
    whole = {result.check_id: (result.violated, result.denominator) for result in stored_results(base)}
    return quality.replaced(configured, dashboard_checks(), whole, before, now, _finer(run, base, present))


def _finer(run: Run, base: str, present: Path) -> dict[str, tuple[int, int | None]]:
    """What does not add up, counted from what is kept of it: the release's, without these persons', with their new."""
    configured, here, gone = settings(), quality_folder(run), present / "quality"
    make_profile(configured, run.folder, here / PROFILE)
    make_profile(configured, present, gone / PROFILE)
    kept = {name: _kept(base, name) for name in KEPT}
    came = {name: (here / name).rename(here / f"came_{name}") for name in KEPT}
    finer: dict[str, tuple[int, int | None]] = {}
    with connection(threads=1) as con:
        finer |= merge_source_values(
            con, kept[SOURCE_VALUES], gone / SOURCE_VALUES, came[SOURCE_VALUES], here / SOURCE_VALUES
        )
        future = merge_future_dates(
            con, kept[FUTURE_DATES], gone / FUTURE_DATES, came[FUTURE_DATES], "CURRENT_DATE", here / FUTURE_DATES
        )
    finer |= {
        check.check_id: (future.get(check.check_id, 0), None) for check in dashboard_checks() if is_of_future(check)
    }
    merged = merge_profiles(kept[PROFILE], gone / PROFILE, came[PROFILE], here / PROFILE)
    return finer | unreferred(read_profile(merged))


def _kept(base: str, name: str) -> Path:
    path = kept_with(base, name)
    if path is None:
        raise CdmflowError(
            f"The release of run {base} has no {name}, so that what it holds cannot be added to.",
            state="Nothing was published; the last release stays.",
            todo="./cdmflow rebuild counts everything again.",
        )
    return path
