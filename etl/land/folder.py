"""A folder of CSV files → one batch per table, several tables at a time."""

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg2.errors
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from etl.config import Settings
from etl.errors import ContractError, DatabaseUnavailable
from etl.land.batches import LandedBatch, land_batch
from etl.land.contract import Contract, SourceTable
from etl.land.csv_files import land_file
from etl.land.manifest import check_manifest
from etl.land.parts import Delivery, find_files, name_of, prepare_delivery, read_headers
from etl.land.source_file import Header
from etl.log import get_logger

log = get_logger(__name__)

Progress = Callable[[LandedBatch], None]

# A gzip holds about this many times its bytes of CSV: only to start the largest tables first.
PACKED_FACTOR = 10


@dataclass(frozen=True)
class LandingPlan:
    """What a folder holds, checked as far as the headers: nothing was loaded for it."""

    files: dict[str, Delivery]
    headers: dict[str, Header]
    missing_optional: tuple[str, ...]


@dataclass(frozen=True)
class LandingResult:
    """The batches in the contract's order, and what is to be told about them; per table where there is anything."""

    batches: tuple[LandedBatch, ...]
    missing_optional: tuple[str, ...]
    ignored: dict[str, tuple[str, ...]]
    new_columns: dict[str, tuple[str, ...]]
    rejected: dict[str, dict[str, int]]

    @property
    def batch_ids(self) -> tuple[int, ...]:
        return tuple(batch.batch_id for batch in self.batches)

    @property
    def received(self) -> int:
        return sum(batch.received for batch in self.batches)

    @property
    def landed(self) -> int:
        return sum(batch.landed for batch in self.batches)

    @property
    def missing_message(self) -> str:
        """Names the optional tables without a file; empty when there are none."""
        if not self.missing_optional:
            return ""
        return f"No file for {', '.join(self.missing_optional)}: these tables count as empty."


def plan_folder(contract: Contract, folder: Path, *, is_drop: bool = False) -> LandingPlan:
    """Find the files, hold them against the folder's manifest and check every header before anything is loaded.

    All headers' faults come in one ContractError, as do all of the manifest's.
    """
    files = find_files(contract, folder, is_drop=is_drop)
    check_manifest(folder, (path for paths in files.values() for path in paths))
    headers: dict[str, Header] = {}
    faults: list[ContractError] = []
    for name, paths in files.items():
        try:
            headers[name] = read_headers(contract, contract.tables[name], paths)
        except ContractError as fault:
            faults.append(fault)
    if len(faults) == 1:
        raise faults[0]
    if faults:
        raise ContractError("\n".join(fault.what for fault in faults), state=faults[0].state, todo=faults[0].todo)
    # most sources have no list of merged patients, so its absence tells nothing
    optional = {name: table for name, table in contract.tables.items() if not table.merges}
    missing = () if is_drop else tuple(t.file + ".csv" for name, t in optional.items() if name not in files)
    return LandingPlan(files=files, headers=headers, missing_optional=missing)


def land_folder(
    settings: Settings,
    engine: Engine,
    contract: Contract,
    folder: Path,
    *,
    run_id: str,
    is_drop: bool = False,
    workers: int | None = None,
    progress: Progress | None = None,
) -> LandingResult:
    """Land every table of the contract that has a file in `folder`; a drop needs none of them but one.

    A table is read on one thread, which keeps the order of the file, and `workers` tables are read at a time, the
    largest first: on two cores that is as fast as one table on two threads and needs no second pass for the numbers.
    Any error is raised after the tables already started have ended; their batches stay, since landing them again
    gives the same batches. ContractError, UsageError, DatabaseUnavailable.
    """
    plan = plan_folder(contract, folder, is_drop=is_drop)
    at_once = max(1, min(workers or settings.workers, len(plan.files)))
    memory_limit = _share(settings.memory_limit, at_once)

    def land(name: str) -> LandedBatch:
        table: SourceTable = contract.tables[name]
        return land_batch(
            settings,
            engine,
            contract,
            table,
            plan.files[name],
            plan.headers[name],
            run_id=run_id,
            memory_limit=memory_limit,
        )

    landed = _in_parallel(
        sorted(plan.files, key=lambda name: _size(plan.files[name]), reverse=True), land, at_once, progress
    )
    result = LandingResult(
        batches=tuple(landed[name] for name in contract.tables if name in landed),
        missing_optional=plan.missing_optional,
        ignored={name: b.ignored for name, b in sorted(landed.items()) if b.ignored},
        new_columns={name: b.new_columns for name, b in sorted(landed.items()) if b.new_columns},
        rejected={name: b.reasons for name, b in sorted(landed.items()) if b.reasons},
    )
    if result.missing_message:
        log.warning("%s", result.missing_message)
    return result


def read_folder(contract: Contract, folder: Path, scratch: Path) -> dict[str, Path]:
    """What a drop folder would land, as a Parquet file by table below `scratch`: nothing is recorded.

    Errors: as those of landing.
    """
    plan = plan_folder(contract, folder, is_drop=True)
    read = {}
    for name, paths in plan.files.items():
        table, output = contract.tables[name], scratch / f"{name}.parquet"
        prepared = prepare_delivery(paths, table.encoding, scratch / f".{name}.csv")
        land_file(
            contract,
            table,
            plan.headers[name],
            prepared,
            file_name=name_of(paths),
            first_row_id=1,
            output=output,
            rejects=scratch / f"{name}.rejects.parquet",
        )
        read[name] = output
    return read


def content_hash(contract: Contract, table: SourceTable, folder: Path, scratch: Path) -> str | None:
    """The hash by which landing knows a table's content in a folder; None where it has no file of the table."""
    if not folder.is_dir():
        return None
    paths = find_files(replace(contract, tables={table.name: replace(table, required=False)}), folder).get(table.name)
    return prepare_delivery(paths, table.encoding, scratch / "prepared.csv").content_hash if paths else None


def _in_parallel(
    names: list[str], land: Callable[[str], LandedBatch], at_once: int, progress: Progress | None
) -> dict[str, LandedBatch]:
    landed: dict[str, LandedBatch] = {}
    with ThreadPoolExecutor(max_workers=at_once, thread_name_prefix="land") as pool:
        futures = {pool.submit(land, name): name for name in names}
        try:
            for future in as_completed(futures):
                batch = future.result()
                landed[futures[future]] = batch
                if progress is not None:
                    progress(batch)
        except OperationalError as error:
            pool.shutdown(cancel_futures=True)
            if isinstance(error.orig, psycopg2.errors.DiskFull):
                raise
            raise DatabaseUnavailable(
                "The database went away while files were landed.",
                state="Complete batches are kept; the others were not loaded.",
                todo="Start it (./cdmflow start) and land the folder again.",
            ) from error
        except Exception:
            pool.shutdown(cancel_futures=True)
            raise
    return landed


def _size(paths: Delivery) -> int:
    return sum(path.stat().st_size * (PACKED_FACTOR if path.name.lower().endswith(".gz") else 1) for path in paths)


def _share(memory_limit: str, parts: int) -> str:
    """One worker's part of "3GB"; other spellings (a percentage) are passed on as they are."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(GB|MB|GiB|MiB)", memory_limit)
    if match is None or parts == 1:
        return memory_limit
    factor = 1000 if match[2] in ("GB", "GiB") else 1
    unit = "MB" if match[2].endswith("B") and "i" not in match[2] else "MiB"
    return f"{max(int(float(match[1]) * factor / parts), 200)}{unit}"
