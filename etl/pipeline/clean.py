"""Tidying up after processes that were killed: only what no release, no run and no batch needs."""

import shutil
from pathlib import Path

import sqlalchemy

from etl import publish, state
from etl.config import Settings, settings
from etl.errors import Locked
from etl.pipeline.runs import database, engine, new_run_id, run_lock


def clean() -> dict[str, int]:
    """Remove leftovers and say what, by kind.

    Half-written files (their names begin with a dot); folders of runs that are not recorded; Parquet of batches and
    vocabularies that were never recorded; schemas of releases and vocabularies that were never finished. Locked while a
    run or a publish is under way, so that nothing is taken from under it. Taking the lock closes the records of killed
    runs.
    """
    configured = settings()
    found = database(configured)
    with run_lock(new_run_id()):
        _refuse_while_running(configured)
        removed = {"schemas": publish.drop_leftovers(found)}
        removed["half-written files"] = _remove_files(_half_written(configured))
        removed["extracted files"] = _remove_files(list((configured.lake / "extract").glob("*")))
        removed["spilled files"] = _remove_files(list((configured.lake / "spill").glob("*")))
        removed["files of no batch"] = _remove_files(_without_batch(configured))
        removed["folders of no run"] = _remove_folders(_without_run(configured))
        removed["folders of no vocabulary"] = _remove_folders(_without_vocabulary(configured))
    return removed


def _refuse_while_running(configured: Settings) -> None:
    """Airflow's runs hold no lock between their tasks: their records say that they are under way."""
    run = state.run.c
    with engine(database(configured)).connect() as con:
        running = con.execute(sqlalchemy.select(run.run_id).where(run.status == "running")).scalars().all()
    if running:
        raise Locked(f"Run {running[0]} is under way.", state="Nothing was removed.", todo="Clean when it has ended.")


def _half_written(configured: Settings) -> list[Path]:
    return [path for folder in ("lake", "releases") for path in configured.home.glob(f"{folder}/**/.*")]


def _without_batch(configured: Settings) -> list[Path]:
    """Files of batches that were never recorded: the process was killed between the two."""
    batch = state.batch.c
    with engine(database(configured)).connect() as con:
        known = {
            (source, table, str(number))
            for source, table, number in con.execute(sqlalchemy.select(batch.source, batch.table_name, batch.batch_id))
        }
    folders = (configured.landing_dir, configured.rejects_dir, configured.lake / "lines", configured.lake / "numbers")
    files = [path for folder in folders for path in folder.glob("*/*/*") if path.is_file()]
    return [path for path in files if (path.parts[-3], path.parts[-2], path.name.split(".")[0]) not in known]


def _without_run(configured: Settings) -> list[Path]:
    with engine(database(configured)).connect() as con:
        known = set(con.execute(sqlalchemy.select(state.run.c.run_id)).scalars())
    return [path for path in configured.runs_dir.glob("*") if path.is_dir() and path.name not in known]


def _without_vocabulary(configured: Settings) -> list[Path]:
    """Read, but the process was killed before its record was committed."""
    with engine(database(configured)).connect() as con:
        known = set(con.execute(sqlalchemy.select(state.vocabulary.c.vocabulary_id)).scalars())
    return [path for path in configured.vocabulary_dir.glob("[0-9]*") if int(path.name) not in known]


def _remove_files(paths: list[Path]) -> int:
    for path in paths:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    return len(paths)


def _remove_folders(paths: list[Path]) -> int:
    for path in paths:
        shutil.rmtree(path)
    return len(paths)
