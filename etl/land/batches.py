"""Batches in `etl.batch`: landed once is landed for ever, and a row exists only for a complete Parquet file."""

import zlib
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import sqlalchemy
from sqlalchemy import Connection, Engine, func, select

from etl.config import Settings
from etl.engine import connection, quote_path
from etl.errors import ContractError
from etl.land.contract import Contract, SourceTable
from etl.land.csv_files import Written, land_file
from etl.land.lines import lines_path, write_lines
from etl.land.parts import Delivery, name_of, prepare_delivery
from etl.land.source_file import Header, Prepared
from etl.log import get_logger
from etl.state import batch, reject_count
from etl.state.locks import LANDING_LOCK

log = get_logger(__name__)


@dataclass(frozen=True)
class LandedBatch:
    """A batch as it is in `etl.batch`; `is_new` is False when the same content had been landed before.

    `new_columns` are ignored columns of the file that the table's previous batch did not have.
    """

    batch_id: int
    table: str
    file_name: str
    received: int
    landed: int
    rejected: int
    reasons: dict[str, int]
    first_source_row_id: int
    business_date: date | None
    ignored: tuple[str, ...]
    new_columns: tuple[str, ...]
    is_new: bool
    path: Path


def batch_path(settings: Settings, source: str, table: str, batch_id: int) -> Path:
    """The Parquet file of a batch."""
    return settings.landing_dir / source / table / f"{batch_id}.parquet"


def land_batch(
    settings: Settings,
    engine: Engine,
    contract: Contract,
    table: SourceTable,
    paths: Delivery,
    header: Header,
    *,
    run_id: str,
    memory_limit: str | None = None,
) -> LandedBatch:
    """Land one file, or its parts, in one transaction that holds the table's lock.

    The same content twice gives the first batch. Order matters: the Parquet file is complete and in its place before
    the row is committed. A process killed in between leaves no row, and at most files that the table's next landing
    removes or replaces.
    """
    folder = settings.landing_dir / contract.source / table.name
    folder.mkdir(parents=True, exist_ok=True)
    spool, part = folder / ".incoming.csv", folder / ".landing.part"
    with engine.begin() as state:
        _lock(state, contract.source, table.name)
        try:
            prepared = prepare_delivery(paths, table.encoding, spool)
            known = _same_content(state, contract.source, table, prepared.content_hash)
            if known is not None and batch_path(settings, contract.source, table.name, known.batch_id).exists():
                return _from_row(settings, state, known)
            return _land(settings, state, contract, table, paths, header, prepared, part, known, run_id, memory_limit)
        finally:
            for leftover in folder.glob(".*"):
                leftover.unlink()


def _land(
    settings: Settings,
    state: Connection,
    contract: Contract,
    table: SourceTable,
    paths: Delivery,
    header: Header,
    prepared: Prepared,
    part: Path,
    known: Any | None,
    run_id: str,
    memory_limit: str | None,
) -> LandedBatch:
    """Write the batch's files and its row; a `known` batch whose file is gone is restored under its own numbers."""
    first = known.first_source_row_id if known is not None else _next_row_id(state, contract.source, table.name)
    rejects = part.with_name(".rejects.part")
    file_name = name_of(paths)
    written = land_file(
        contract,
        table,
        header,
        prepared,
        file_name=file_name,
        first_row_id=first,
        output=part,
        rejects=rejects,
        memory_limit=memory_limit,
    )
    if known is not None and known.landed_rows != written.landed:
        raise ContractError(
            f"Batch {known.batch_id} of {table.name} had {known.landed_rows} rows; "
            f"landed again it has {written.landed}.",
            state="Its file in the lake is missing and was not restored.",
            todo="Restore the lake from a backup, or start a new home.",
        )
    batch_id = known.batch_id if known is not None else _next_batch_id(state)
    newest = _business_date(contract, table, part)
    previous = _previous_ignored(state, contract.source, table.name)
    # what may find the disk full comes before the first file has its name
    write_lines(written.lines, lines_path(settings, contract.source, table.name, batch_id))
    if written.rejected:
        kept = settings.rejects_dir / contract.source / table.name / f"{batch_id}.parquet"
        kept.parent.mkdir(parents=True, exist_ok=True)
        rejects.replace(kept)
    final = batch_path(settings, contract.source, table.name, batch_id)
    part.replace(final)
    if known is None:
        _insert(state, contract, table, paths, prepared, written, batch_id, first, newest, header, run_id)
    new_columns = tuple(name for name in header.ignored if previous is not None and name not in previous)
    _tell(file_name, table.name, batch_id, written, header, new_columns)
    return LandedBatch(
        batch_id=batch_id,
        table=table.name,
        file_name=file_name,
        received=written.received,
        landed=written.landed,
        rejected=written.rejected,
        reasons=dict(written.reasons),
        first_source_row_id=first,
        business_date=newest,
        ignored=header.ignored,
        new_columns=new_columns,
        is_new=known is None,
        path=final,
    )


def _lock(state: Connection, source: str, table: str) -> None:
    """One landing of a table at a time, in all processes of this database; held until the transaction ends."""
    second = zlib.crc32(f"{source}/{table}".encode()) - (1 << 31)
    state.execute(
        select(
            func.pg_advisory_xact_lock(
                sqlalchemy.cast(LANDING_LOCK, sqlalchemy.Integer), sqlalchemy.cast(second, sqlalchemy.Integer)
            )
        )
    )


def _same_content(state: Connection, source: str, table: SourceTable, content_hash: str) -> Any | None:
    return state.execute(
        select(batch).where(
            batch.c.source == source,
            batch.c.table_name == table.name,
            batch.c.content_hash == content_hash,
            batch.c.contract_hash == table.contract_hash,
        )
    ).first()


def _next_row_id(state: Connection, source: str, table: str) -> int:
    """1, or the number after the highest one given out for this table; nobody else can take it under the lock."""
    after = func.max(batch.c.first_source_row_id + batch.c.landed_rows)
    return int(
        state.execute(
            select(func.coalesce(after, 1)).where(batch.c.source == source, batch.c.table_name == table)
        ).scalar_one()
    )


def _next_batch_id(state: Connection) -> int:
    """From the identity's sequence: the file is named before its row exists."""
    sequence = func.pg_get_serial_sequence(f"{batch.schema}.{batch.name}", "batch_id")
    return int(state.execute(select(func.nextval(sequence))).scalar_one())


def _previous_ignored(state: Connection, source: str, table: str) -> list[str] | None:
    return state.execute(
        select(batch.c.ignored_columns)
        .where(batch.c.source == source, batch.c.table_name == table)
        .order_by(batch.c.batch_id.desc())
        .limit(1)
    ).scalar_one_or_none()


def _insert(
    state: Connection,
    contract: Contract,
    table: SourceTable,
    paths: Delivery,
    prepared: Prepared,
    written: Written,
    batch_id: int,
    first_row_id: int,
    business_date: date | None,
    header: Header,
    run_id: str,
) -> None:
    state.execute(
        batch.insert().values(
            batch_id=batch_id,
            source=contract.source,
            table_name=table.name,
            content_hash=prepared.content_hash,
            contract_hash=table.contract_hash,
            file_name=name_of(paths),
            file_bytes=sum(path.stat().st_size for path in paths),
            received_rows=written.received,
            landed_rows=written.landed,
            rejected_rows=written.rejected,
            first_source_row_id=first_row_id,
            business_date=business_date,
            ignored_columns=list(header.ignored),
            run_id=run_id,
        )
    )
    if written.reasons:
        state.execute(
            reject_count.insert(),
            [{"batch_id": batch_id, "reason": reason, "rows": rows} for reason, rows in written.reasons.items()],
        )


def _business_date(contract: Contract, table: SourceTable, parquet: Path) -> date | None:
    """The newest value of the table's business date column within the contract's bounds, never the clock."""
    if table.business_date is None:
        return None
    first, last = contract.business_dates
    with connection(threads=1) as con:
        found = con.execute(
            f'SELECT max(CAST("{table.business_date}" AS DATE)) FROM read_parquet({quote_path(parquet)}) '
            f'WHERE CAST("{table.business_date}" AS DATE) BETWEEN ? AND ?',
            [first, last],
        ).fetchone()
    return found[0] if found else None


def _tell(
    file_name: str, table: str, batch_id: int, written: Written, header: Header, new_columns: tuple[str, ...]
) -> None:
    log.info(
        "%s: batch %d of %s, %d rows received, %d landed, %d rejected",
        file_name, batch_id, table, written.received, written.landed, written.rejected,
    )  # fmt: skip
    if not written.received:
        log.warning("%s has a header and no rows.", file_name)
    if written.reasons:
        log.warning("%s: rejected %s", file_name, ", ".join(f"{rows} ({why})" for why, rows in written.reasons.items()))
    if header.ignored:
        log.info(
            "%s: %d columns are not in the contract and ignored: %s",
            file_name,
            len(header.ignored),
            ", ".join(header.ignored),
        )
    if new_columns:
        log.warning("%s has new columns, which are ignored: %s", file_name, ", ".join(new_columns))


def _from_row(settings: Settings, state: Connection, row: Any) -> LandedBatch:
    reasons = state.execute(
        select(reject_count.c.reason, reject_count.c.rows)
        .where(reject_count.c.batch_id == row.batch_id)
        .order_by(reject_count.c.reason)
    ).all()
    return LandedBatch(
        batch_id=row.batch_id,
        table=row.table_name,
        file_name=row.file_name,
        received=row.received_rows,
        landed=row.landed_rows,
        rejected=row.rejected_rows,
        reasons={reason: rows for reason, rows in reasons},
        first_source_row_id=row.first_source_row_id,
        business_date=row.business_date,
        ignored=tuple(row.ignored_columns),
        new_columns=(),
        is_new=False,
        path=batch_path(settings, row.source, row.table_name, row.batch_id),
    )
