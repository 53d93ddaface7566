"""The ledger of a run: every received row of every table is landed or rejected, every landed one used or excluded."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy

from etl import quality, state
from etl.engine import connection, relation
from etl.pipeline.models import models, source_parts
from etl.pipeline.runs import Run

Line = dict[str, Any]


@dataclass(frozen=True)
class TableAccount:
    """The ledger of one source table, in rows. `used` counts rows that only support others too.

    received = landed + rejected, landed = used + excluded + unaccounted. `landed` counts the rows that the run read:
    the current state, which for a snapshot is its newest delivery.
    """

    table: str
    received: int
    rejected: dict[str, int]
    landed: int
    used: int
    excluded: dict[str, int]
    unaccounted: int
    cdm: dict[str, int]

    @property
    def adds_up(self) -> bool:
        return (
            self.received == self.landed + sum(self.rejected.values())
            and self.landed == self.used + sum(self.excluded.values()) + self.unaccounted
            and self.unaccounted == 0
        )


def settle(run: Run, engine: sqlalchemy.Engine) -> str:
    """Write the run's ledger into `etl.row_account`; a line that says how it came out."""
    lines = _received(run, engine) + _accounted(run)
    for line in lines:
        line["run_id"] = run.run_id
    with engine.begin() as con:
        con.execute(state.row_account.delete().where(state.row_account.c.run_id == run.run_id))
        if lines:
            con.execute(state.row_account.insert(), lines)
    missing = sum(line["rows"] for line in lines if line["kind"] in ("unaccounted", "not_landed"))
    return f"{missing:,} landed rows unaccounted for"


def _accounted(run: Run) -> list[Line]:
    [ledger] = models(run.source)["account.row_account"].outputs(run.folder)
    with connection(threads=1) as con:
        rows = con.execute(f"SELECT table_name, kind, detail, rows FROM {relation([ledger])}").fetchall()
    return [{"table_name": table, "kind": kind, "detail": detail, "rows": count} for table, kind, detail, count in rows]


def _received(run: Run, engine: sqlalchemy.Engine) -> list[Line]:
    """What came in the files of this run, and what was turned away at landing."""
    mine = run.batch_ids or []
    batch, reject = state.batch.c, state.reject_count.c
    with engine.connect() as con:
        batches = con.execute(
            sqlalchemy.select(batch.table_name, batch.received_rows).where(batch.batch_id.in_(mine))
        ).all()
        rejects = con.execute(
            sqlalchemy.select(batch.table_name, reject.reason, reject.rows)
            .join_from(state.reject_count, state.batch)
            .where(batch.batch_id.in_(mine))
        ).all()
    received = [{"table_name": table, "kind": "received", "detail": "", "rows": rows} for table, rows in batches]
    return received + [
        {"table_name": table, "kind": "rejected", "detail": reason, "rows": rows} for table, reason, rows in rejects
    ]


def table_accounts(engine: sqlalchemy.Engine, run: Run) -> list[TableAccount]:
    """The ledger of a run per source table, in the order of the registry of parts."""
    with engine.connect() as con:
        lines = con.execute(
            sqlalchemy.select(state.row_account).where(state.row_account.c.run_id == run.run_id)
        ).mappings()
        by_table: dict[str, list[Any]] = {}
        for line in lines:
            by_table.setdefault(line["table_name"], []).append(line)
    order = dict.fromkeys(part["table"] for part in source_parts().values() if part["source"] == run.source)
    return [_table_account(table, by_table[table]) for table in order if table in by_table]


def _table_account(table: str, lines: Sequence[Any]) -> TableAccount:
    def total(kind: str) -> int:
        return sum(int(line["rows"]) for line in lines if line["kind"] == kind)

    def details(kind: str) -> dict[str, int]:
        return {line["detail"]: int(line["rows"]) for line in lines if line["kind"] == kind and line["rows"]}

    return TableAccount(
        table=table,
        received=total("received"),
        rejected=details("rejected"),
        landed=total("landed"),
        used=total("used"),
        excluded=details("excluded"),
        unaccounted=total("unaccounted") + total("not_landed"),
        cdm=details("cdm"),
    )


def source_accounts(engine: sqlalchemy.Engine, run: Run) -> list[quality.SourceAccount]:
    """The ledger as the gate asks for it."""
    return [
        quality.SourceAccount(account.table, account.landed, account.unaccounted)
        for account in table_accounts(engine, run)
    ]
