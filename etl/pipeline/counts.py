"""What the gate counts of a run: the release as it would be, at the cost of the persons whom the run makes again.

total = the current release's count − what it holds of these persons + what takes its place. Counts of rows and of
persons add up like that; distinct source values do by value, and what nobody refers to by place: both are kept with
each release, in `releases/<N>/quality`.
"""

import shutil
from pathlib import Path

import sqlalchemy

from etl import publish, quality, state
from etl.config import settings
from etl.pipeline.judgement import stored_results
from etl.pipeline.runs import Run, database, engine, load_run, vocabulary_folder
from etl.pipeline.scope import keep_scope_only, scope_ids
from etl.quality import CheckResult, SourceAccount
from etl.quality.profile import make_profile, merge_profiles, read_profile, unreferred

PROFILE, SOURCE_VALUES = "profile.parquet", "source_values.parquet"


def count_release(run: Run, ledger: list[SourceAccount]) -> list[CheckResult]:
    """All checks' counts of the release that this run would make; profile and source values beside them.

    Judged by themselves, a few persons would be refused for a share that nobody would mind in the whole.
    """
    assert run.vocabulary_id is not None
    configured = settings()
    if run.scope == "all":
        results = quality.compute_candidate(configured, run.folder, vocabulary_folder(run.vocabulary_id), ledger)
        make_profile(configured, run.folder, quality_folder(run) / PROFILE)
        return results
    ids = scope_ids(run)
    keep_scope_only(run, ids)
    now = quality.compute_candidate(configured, run.folder, vocabulary_folder(run.vocabulary_id), ledger)
    return _with_everybody_else(run, now, ids)


def quality_folder(run: Run) -> Path:
    return run.folder / "quality"


def kept_with(run_id: str, name: str) -> Path | None:
    """A file of the counts that are kept with the release of a run; None where it has none."""
    with engine(database(settings())).connect() as con:
        release = con.execute(
            sqlalchemy.select(state.release.c.release_id).where(state.release.c.run_id == run_id)
        ).scalar_one_or_none()
    path = settings().releases_dir / str(release) / "quality" / name
    return path if release is not None and path.exists() else None


def keep_counts(run: Run, release_id: int) -> None:
    """Keep the counts that later nights add to with the run's release."""
    folder = settings().releases_dir / str(release_id) / "quality"
    folder.mkdir(parents=True, exist_ok=True)
    for name in (PROFILE, SOURCE_VALUES):
        if (quality_folder(run) / name).exists():
            shutil.copyfile(quality_folder(run) / name, folder / name)


def _with_everybody_else(run: Run, now: list[CheckResult], ids: Path) -> list[CheckResult]:
    configured = settings()
    base = run.parameters["base_run"]
    vocabulary_before = load_run(base).vocabulary_id
    assert vocabulary_before is not None
    present = run.folder / "scope" / "present"
    with engine(database(configured)).connect() as con:
        schema = con.execute(
            sqlalchemy.select(state.release.c.schema_name).where(state.release.c.run_id == base)
        ).scalar_one()
    publish.write_present_rows(database(configured), run.run_id, schema, ids, present / "cdm")
    before = quality.compute_candidate(configured, present, vocabulary_folder(vocabulary_before), [])
