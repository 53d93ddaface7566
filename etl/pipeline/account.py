"""The ledger of a run: every received row of every table is landed or rejected, every landed one used or excluded."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy

from etl import land, quality, state
from etl.config import settings
from etl.engine import connection, relation
from etl.pipeline.models import models, source_parts
from etl.pipeline.runs import Run

Line = dict[str, Any]
# Every table of the source has these lines, with 0 too: a table without them has no ledger.
BASIC = ("landed", "used", "unaccounted")


@dataclass(frozen=True)
class TableAccount:
    """The ledger of one source table, in rows. `used` counts merged and supporting rows too.

    received = landed + rejected, landed = used + excluded + unaccounted. `landed` counts the rows that the run read:
    the current state, which for a snapshot is its newest delivery; of some persons, where the run is of some. `cdm`
    are CDM rows by table, `not_landed` those of them that decode to no landed row. `merged`, `supporting` and `flagged`
    rows are part of others, not of the sums.
    """

    table: str
    received: int
    rejected: dict[str, int]
    landed: int
    used: int
    merged: int
    supporting: int
    excluded: dict[str, int]
    unaccounted: int
    not_landed: int
    flagged: dict[str, int]
    cdm: dict[str, int]
    is_snapshot: bool
    is_complete: bool

    @property
    def adds_up(self) -> bool:
        return not self.disagreements

    @property
    def disagreements(self) -> tuple[str, ...]:
        """What does not agree, in words with the counts; empty when the ledger adds up."""
        rejected, excluded = sum(self.rejected.values()), sum(self.excluded.values())
        found = []
        if not self.is_complete:
            found.append(f"has no line of {', '.join(BASIC)} rows")
        if self.is_snapshot and self.received != self.landed + rejected:
            found.append(f"received {self.received:,}, but landed {self.landed:,} and rejected {rejected:,}")
        if self.landed != self.used + excluded + self.unaccounted:
            found.append(
                f"landed {self.landed:,}, but used {self.used:,}, excluded {excluded:,} "
                f"and unaccounted {self.unaccounted:,}"
            )
        if self.unaccounted:
            found.append(f"{self.unaccounted:,} landed rows are neither in the CDM nor excluded by a rule")
        if self.not_landed:
            found.append(f"{self.not_landed:,} CDM rows come from no landed row")
        return tuple(f"{self.table}: {what}" for what in found)


def settle(run: Run, engine: sqlalchemy.Engine) -> str:
    """Write the run's ledger into `etl.row_account`; a line that says how it came out."""
    lines = _received(run, engine) + _accounted(run)
    for line in lines:
        line["run_id"] = run.run_id
    with engine.begin() as con:
        con.execute(state.row_account.delete().where(state.row_account.c.run_id == run.run_id))
        if lines:
            con.execute(state.row_account.insert(), lines)
    missing = sum(line["rows"] for line in lines if line["kind"] == "unaccounted")
    flagged = sum(line["rows"] for line in lines if line["kind"] == "flagged")
    return f"{missing:,} landed rows unaccounted for, {flagged:,} flagged"


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
            sqlalchemy.select(batch.table_name, sqlalchemy.func.sum(batch.received_rows))
            .where(batch.batch_id.in_(mine))
            .group_by(batch.table_name)
        ).all()
        rejects = con.execute(
            sqlalchemy.select(batch.table_name, reject.reason, sqlalchemy.func.sum(reject.rows))
            .join_from(state.reject_count, state.batch)
            .where(batch.batch_id.in_(mine))
            .group_by(batch.table_name, reject.reason)
        ).all()
    received = [{"table_name": table, "kind": "received", "detail": "", "rows": int(rows)} for table, rows in batches]
    return received + [
        {"table_name": table, "kind": "rejected", "detail": reason, "rows": int(rows)}
        for table, reason, rows in rejects
    ]


def table_accounts(engine: sqlalchemy.Engine, run: Run) -> list[TableAccount]:
    """The ledger of a run per source table, in the order of the registry of parts; empty before the run has one."""
    with engine.connect() as con:
        lines = con.execute(
            sqlalchemy.select(state.row_account).where(state.row_account.c.run_id == run.run_id)
        ).mappings()
        by_table: dict[str, list[Any]] = {}
        for line in lines:
            by_table.setdefault(line["table_name"], []).append(line)
    order = dict.fromkeys(part["table"] for part in source_parts().values() if part["source"] == run.source)
    contract = land.load_contract(settings(), run.source)
    return [
        _table_account(
            table, by_table.get(table, []), contract.tables[table].change == "snapshot" and run.scope == "all"
        )
        for table in order
        if by_table
    ]


def _table_account(table: str, lines: Sequence[Any], is_snapshot: bool) -> TableAccount:
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
        merged=details("used").get("merged", 0),
        supporting=details("used").get("supports", 0),
        excluded=details("excluded"),
        unaccounted=total("unaccounted"),
        not_landed=total("not_landed"),
        flagged=details("flagged"),
        cdm=details("cdm"),
        is_snapshot=is_snapshot,
        is_complete={line["kind"] for line in lines} >= set(BASIC),
    )


def source_accounts(accounts: Sequence[TableAccount]) -> list[quality.SourceAccount]:
    """The ledger as the gate asks for it; of a table without a ledger each received row is unaccounted for."""
    return [
        quality.SourceAccount(
            table=account.table,
            received=account.received if account.is_snapshot else None,
            rejected=sum(account.rejected.values()),
            landed=account.landed,
            used=account.used,
            excluded=sum(account.excluded.values()),
            unaccounted=account.unaccounted if account.is_complete else max(account.received, account.landed, 1),
            not_landed=account.not_landed,
            cdm=sum(account.cdm.values()),
        )
        for account in accounts
    ]
