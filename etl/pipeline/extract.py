"""The rows of a live source database for one run, as files beside the lake's landing."""

import shutil
from collections.abc import Mapping
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path

from etl import land
from etl.cdm import quoted
from etl.config import settings, source_url
from etl.engine import connection, relation
from etl.errors import UsageError
from etl.log import get_logger
from etl.pipeline.nights import night_of
from etl.pipeline.runs import Run, load_run, state_files

log = get_logger(__name__)


def extract(run: Run, contract: land.Contract) -> Path:
    """Read the source database into files, once per run: who goes on with a killed run lands the same moment.

    Of tables with a watermark, the rows from the newest that the current release has. A backfill reads only such
    tables, and of them the rows of its night; which are none for a watermark that is not a date or time.
    """
    configured, url = settings(), source_url()
    if url is None:
        raise UsageError(
            "There is no source database to read: CDMFLOW_SOURCE_URL is not set.", state="Nothing was loaded."
        )
    folder = extract_folder(run)
    if not folder.exists():
        beside = folder.with_name(f".{folder.name}")
        shutil.rmtree(beside, ignore_errors=True)
        night = night_of(run) if run.parameters.get("is_backfill") else None
        wanted = contract if night is None else dated_tables(contract)
        since = _watermarks(run, contract) if night is None else dict.fromkeys(wanted.tables, night)
        found = land.extract_database(
            url,
            wanted,
            beside,
            since=since,
            until=None if night is None else night + timedelta(days=1),
            workers=configured.workers,
            progress=lambda table, size: log.info("extracted %s: %s bytes", table, f"{size:,}"),
        )
        if found.missing:
            log.warning("The source database has no %s: these tables stay as they are.", ", ".join(found.missing))
        beside.rename(folder)
    return folder


def dated_tables(contract: land.Contract) -> land.Contract:
    """The contract of the tables whose watermark tells the day: these can be read again as of a night."""

    def is_dated(table: land.SourceTable) -> bool:
        return any(c.lower == table.watermark and c.sql_type in ("date", "timestamp") for c in table.columns)

    return replace(contract, tables={name: table for name, table in contract.tables.items() if is_dated(table)})


def extract_folder(run: Run) -> Path:
    return settings().lake / "extract" / run.run_id


def _watermarks(run: Run, contract: land.Contract) -> Mapping[str, date | datetime | int | None]:
    """The newest value of each watermark in the state that the run goes on from."""
    base = run.parameters.get("base_run")
    watched = {name: table.watermark for name, table in contract.tables.items() if table.watermark}
    if base is None or not watched:
        return {}
    files = state_files(load_run(base), run.folder / "watermarks")
    with connection() as con:
        found = {}
        for name, column in watched.items():
            row = con.execute(f"SELECT max({quoted(column)}) FROM {relation(files[name])}").fetchone()
            found[name] = row[0] if row else None
        return found
