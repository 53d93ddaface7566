"""Quarantine: source rows that a critical check refused and records that landing turned away, until they are right.

A row in quarantine by the gate is of a refused night, so nothing of it is published. It leaves by itself once a run has
judged it and it no longer violates; accepted, it no longer counts against its check for as long as it violates.
"""

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import sqlalchemy

from etl import land, quality, state
from etl.config import settings
from etl.engine import connection, relation
from etl.errors import UsageError
from etl.land.locate import Origin, origins
from etl.log import get_logger
from etl.pipeline.lineage import DERIVED, lake_of
from etl.pipeline.runs import Run, current_run, database, engine, load_run
from etl.pipeline.violating import MOST_ROWS, Looked, derived_rows, looked

log = get_logger(__name__)

LANDING = "landing."
Arrival = dict[str, Any]
COLUMNS = {
    "table_name": "text",
    "batch_id": "integer",
    "record": "bigint",
    "file": "text",
    "line": "bigint",
    "source_row_id": "bigint",
    "check_id": "text",
    "reason": "text",
    "rows": "bigint",
    "derived": "json",
}
UPSERT = """
    INSERT INTO etl.quarantine AS known ({columns}, source, first_run, last_run)
    SELECT {columns}, :source, :run_id, :run_id FROM unnest({arrays}) AS arrived({columns})
    ON CONFLICT ON CONSTRAINT row_is_quarantined_once DO UPDATE SET
        nights = known.nights + CASE WHEN known.last_run = excluded.last_run THEN 0 ELSE 1 END,
        last_run = excluded.last_run, reason = excluded.reason, rows = excluded.rows,
        derived = excluded.derived
""".format(
    columns=", ".join(f'"{name}"' for name in COLUMNS),
    arrays=", ".join(f"CAST(:{name} AS {kind}[])" for name, kind in COLUMNS.items()),
)


@dataclass(frozen=True)
class Settled:
    """What a verdict did to the quarantine: source rows that wait because of this run, those that left.

    `beyond` violate too and are only counted, since a check keeps no more than its first; `unplaced` are CDM rows that
    no single source row made (eras, periods).
    """

    waiting: int
    left: int
    beyond: int
    unplaced: int

    def __str__(self) -> str:
        if not self.waiting + self.beyond + self.unplaced:
            return ""
        more = f" and {self.beyond:,} more that are counted only" if self.beyond else ""
        derived = f"; {self.unplaced:,} violating rows are derived and have no source row" if self.unplaced else ""
        return f"{self.waiting:,} source rows are in quarantine{more} (./cdmflow quarantine list){derived}."


def row_checks(results: Sequence[quality.CheckResult]) -> list[quality.CheckResult]:
    """Failed critical checks of single rows: what their rows are put into quarantine for."""
    return [
        result
        for result in results
        if result.origin == "cdm"
        and result.severity == "critical"
        and result.status == "failed"
        and result.check_type in quality.ROW_TYPES
    ]


def settle_quarantine(run: Run, results: Sequence[quality.CheckResult], *, passed: bool) -> Settled:
    """Bring the quarantine up to date with a verdict, in one transaction; the same run again changes nothing.

    `results` are the counts as judged, accepted rows taken off. Rows of failed critical checks are recorded; those that
    the run judged and that no longer violate leave. Rejected records of the run's batches are recorded; once the gate
    has passed, those of batches that are no longer part of the state leave.
    """
    failed = {result.check_id: result for result in row_checks(results)}
    asked = set(failed) | known_checks(run.source)
    asked |= _following(results, known_checks(run.source, accepted=True))
    rejects = _rejects(run)
    arrivals: list[Arrival] = []
    leaving: list[int] = []
    beyond = unplaced = 0
    if asked:
        with looked(run, asked) as found:
            arrivals = _violating_rows(found, failed, derived_rows(run, found))
            leaving = _corrected(found, failed)
            kept = Counter(arrival["check_id"] for arrival in arrivals)
            seen = dict(found.con.execute("SELECT check_id, count(*) FROM seen GROUP BY 1").fetchall())
            beyond = sum(seen.get(check_id, 0) - kept[check_id] for check_id in failed)
            unplaced = sum(found.unplaced.get(check_id, 0) for check_id in failed)
    waiting = sum(arrival["check_id"] in failed for arrival in arrivals)
    values = {name: [arrival.get(name) for arrival in (*arrivals, *rejects)] for name in COLUMNS}
    with engine(database(settings())).begin() as con:
        con.execute(sqlalchemy.text(UPSERT), {"source": run.source, "run_id": run.run_id, **values})
        left = _remove(con, leaving)
        if passed:
            left += _remove(con, _rejects_of_gone_batches(con, run))
    settled = Settled(waiting, left, beyond, unplaced)
    log.info("quarantine: %d rows of this run wait, %d left; %d rejected records", waiting, left, len(rejects))
    return settled


def known_checks(source: str, *, accepted: bool = False) -> set[str]:
    """The gate's checks that have rows of a source in quarantine, or accepted ones there."""
    row = state.quarantine.c
    query = sqlalchemy.select(row.check_id).where(row.source == source, row.source_row_id.is_not(None)).distinct()
    with engine(database(settings())).connect() as con:
        return set(con.execute(query.where(row.accepted_at.is_not(None)) if accepted else query).scalars())


def _following(results: Sequence[quality.CheckResult], accepted: Collection[str]) -> set[str]:
    """Checks of derived tables, of the types that rows are accepted for."""
    types = {check_id.split(".")[1] for check_id in accepted}
    return {one.check_id for one in results if one.table in DERIVED and one.check_type in types}


def accepted_counts(run: Run, results: Sequence[quality.CheckResult]) -> dict[str, int]:
    """CDM rows by check that violate it now and were accepted: to be taken off before the check is judged.

    `results` are the counts of all violated rows. Eras and periods of the person that follow from an accepted row count
    as accepted with it. Additive: rows of persons whom the run makes again are counted in the candidate, those of all
    others as they were counted last; a corrected row is in neither. Accepted rows of a night that was refused and is
    not brought again are not counted.
    """
    checks = known_checks(run.source, accepted=True)
    if not checks:
        return {}
    counts: Counter[str] = Counter()
    with looked(run, checks | _following(results, checks)) as found:
        now = derived_rows(run, found)
        rows = found.con.execute(
            "SELECT known.quarantine_id, known.check_id, known.is_concerned, known.derived, "
            "CASE WHEN known.is_concerned THEN coalesce(seen.rows, 0) ELSE known.rows END "
            "FROM known LEFT JOIN seen USING (check_id, table_name, source_row_id) "
            "WHERE known.accepted AND known.in_state AND (known.is_concerned OR known.is_same)"
        ).fetchall()
    for number, check_id, is_concerned, derived, count in rows:
        counts[check_id] += count
        counts.update(now.get(number, {}) if is_concerned else json.loads(derived or "{}"))
    return {check_id: count for check_id, count in counts.items() if count}


def without_accepted(results: Sequence[quality.CheckResult], accepted: Mapping[str, int]) -> list[quality.CheckResult]:
    """The results as they are judged: accepted rows no longer count as violated, and the reason says how many."""
    found = []
    for result in results:
        count = min(accepted.get(result.check_id, 0), result.violated)
        if count and result.status in ("passed", "failed"):
            violated = result.violated - count
            status = quality.status_of(violated, result.denominator, result.allowed_percent)
            told = f"{count:,} more rows are accepted"
            result = replace(result, violated=violated, status=status, reason=told)
        found.append(result)
    return found


def _violating_rows(
    found: Looked, failed: Mapping[str, quality.CheckResult], derived: Mapping[int, Mapping[str, int]]
) -> list[Arrival]:
    """Rows of failed checks, the first of each; and accepted ones, so that it is known when they were last seen."""
    rows = found.con.execute(
        "SELECT seen.check_id, seen.table_name, seen.source_row_id, seen.rows, seen.first_id, seen.place, "
        "known.quarantine_id, coalesce(known.accepted, false) "
        "FROM seen LEFT JOIN known USING (check_id, table_name, source_row_id) "
        f"WHERE seen.place <= {MOST_ROWS} OR known.quarantine_id IS NOT NULL ORDER BY ALL"
    ).fetchall()
    return [
        {
            "table_name": table,
            "source_row_id": number,
            "check_id": check_id,
            "rows": count,
            "reason": _reason(check_id, first_id, count, found, failed.get(check_id)),
            "derived": json.dumps(derived[known]) if known in derived else None,
        }
        for check_id, table, number, count, first_id, _, known, accepted in rows
        if check_id in failed or accepted
    ]


def _reason(check_id: str, first_id: int, count: int, found: Looked, failed: quality.CheckResult | None) -> str:
    table = check_id.split(".")[0]
    more = f" and {count - 1} more of its rows" if count > 1 else ""
    of = f"; {found.violating.get(check_id, 0):,} rows of the run violate it"
    if failed is not None:
        of += f", {failed.allowed_percent:g} % of {failed.denominator:,} may"
    return f"{table} {first_id}{more}{of}"


def _corrected(found: Looked, failed: Collection[str]) -> list[int]:
    """Rows that the run has judged and that no longer violate, or whose check holds; accepted ones while they do not.

    A check with a limit holds with a few rows beyond it: those are published, so they do not wait.
    """
    rows = found.con.execute(
        "SELECT known.quarantine_id, known.check_id, known.accepted, seen.rows IS NOT NULL "
        "FROM known LEFT JOIN seen USING (check_id, table_name, source_row_id) WHERE known.judged"
    ).fetchall()
    return [
        number for number, check_id, accepted, violates in rows if not violates or not (accepted or check_id in failed)
    ]


def _rejects(run: Run) -> list[Arrival]:
    """The records that landing turned away, of the batches that make up the run's state."""
    batch, configured = state.batch.c, settings()
    query = sqlalchemy.select(batch.batch_id, batch.table_name).where(
        batch.batch_id.in_(run.batch_ids or []), batch.rejected_rows > 0
    )
    with engine(database(configured)).connect() as db:
        batches = db.execute(query.order_by(batch.batch_id)).all()
    found: list[Arrival] = []
    for batch_id, table in batches:
        path = configured.rejects_dir / run.source / table / f"{batch_id}.parquet"
        if not path.exists():
            continue
        with connection(threads=1) as con:
            rows = con.execute(
                f"SELECT file, record_no, line_no, reason FROM {relation([path])} "
                f"ORDER BY file, record_no LIMIT {MOST_ROWS}"
            ).fetchall()
        found += [
            {
                "table_name": table,
                "batch_id": batch_id,
                "record": record,
                "file": file,
                "line": line,
                "check_id": LANDING + reason,
                "reason": reason,
                "rows": 0,
            }
            for file, record, line, reason in rows
        ]
    return found


def _rejects_of_gone_batches(con: sqlalchemy.Connection, run: Run) -> list[int]:
    """Rejects whose batch was part of the last release's state, or of this night's delivery, and is so no more.

    Those of another night that was refused go on waiting with it.
    """
    row, contract = state.quarantine.c, land.load_contract(settings(), run.source)
    db = engine(database(settings()))
    arrived = land.batches_by_table(db, run.source, run.parameters.get("landed") or [])
    is_complete = run.parameters.get("base_run") is None
    base = run.parameters.get("base_run") or current_run(run.source)
    before = set(load_run(base).batch_ids or []) if base else set()
    before |= set(run.parameters.get("replaces") or [])
    night = run.parameters.get("night")
    query = (
        sqlalchemy.select(row.quarantine_id, row.batch_id, row.table_name, state.run.c.parameters["night"].as_string())
        .join_from(state.quarantine, state.run, row.last_run == state.run.c.run_id, isouter=True)
        .where(row.source == run.source, row.batch_id.is_not(None), row.batch_id.not_in(run.batch_ids or []))
    )
    return [
        number
        for number, batch_id, table, of_night in con.execute(query)
        if is_complete
        or batch_id in before
        or (table in arrived and table in contract.tables and contract.tables[table].change == "snapshot")
        or (table in arrived and night is not None and night == of_night)
    ]


def _remove(con: sqlalchemy.Connection, numbers: Sequence[int]) -> int:
    if not numbers:
        return 0
    gone = sqlalchemy.text("DELETE FROM etl.quarantine WHERE quarantine_id = ANY(:numbers)")
    return int(con.execute(gone, {"numbers": list(numbers)}).rowcount)


def accept(numbers: Sequence[int], reason: str, by: str) -> int:
    """Let these rows count no longer against their check; how many were not accepted before.

    UsageError: an id that is not there, a record that landing turned away, a check that PostgreSQL enforces.
    """
    if not reason.strip():
        raise UsageError("An accepted row needs a reason.", state="Nothing was accepted.", todo="Give it by --reason.")
    rows = in_quarantine(numbers)
    rejected = [row.quarantine_id for row in rows if row.check_id.startswith(LANDING)]
    if rejected:
        raise UsageError(
            f"{_listed(rejected)} did not land, so there is no row to accept.",
            state="Nothing was accepted.",
            todo="Deliver a corrected file; or let the contract (tables.yml) take the record and "
            "./cdmflow quarantine retry.",
        )
    enforced = sorted({row.check_id for row in rows if row.check_id in quality.enforced_checks()})
    if enforced:
        raise UsageError(
            f"PostgreSQL enforces {', '.join(enforced)} itself: an accepted row could not be loaded.",
            state="Nothing was accepted.",
            todo="Correct the row in the source, or the SQL that makes it; then ./cdmflow quarantine retry.",
        )
    row = state.quarantine.c
    with engine(database(settings())).begin() as con:
        done = con.execute(
            state.quarantine.update()
            .where(row.quarantine_id.in_(numbers), row.accepted_at.is_(None))
            .values(accepted_by=by, accepted_reason=reason.strip(), accepted_at=datetime.now(UTC))
        )
    return int(done.rowcount)


def in_quarantine(numbers: Sequence[int]) -> Sequence[Any]:
    """These rows of the quarantine, by id; UsageError where one is not there."""
    row = state.quarantine.c
    with engine(database(settings())).connect() as con:
        query = sqlalchemy.select(state.quarantine).where(row.quarantine_id.in_(numbers)).order_by(row.quarantine_id)
        rows = con.execute(query).all()
    missing = sorted(set(numbers) - {found.quarantine_id for found in rows})
    if missing:
        raise UsageError(
            f"{_listed(missing)} is not in quarantine.",
            todo="It may have left by itself. ./cdmflow quarantine list --csv shows all ids.",
        )
    return rows


def _listed(numbers: Sequence[int]) -> str:
    more = f" and {len(numbers) - 5} more" if len(numbers) > 5 else ""
    return f"Row {', '.join(map(str, numbers[:5]))}{more}"


def waiting_rows(source: str | None = None, check: str | None = None) -> Sequence[Any]:
    """All rows of the quarantine, by source, table and check."""
    row = state.quarantine.c
    query = sqlalchemy.select(state.quarantine).order_by(row.source, row.table_name, row.check_id, row.quarantine_id)
    if source is not None:
        query = query.where(row.source == source)
    if check is not None:
        query = query.where(row.check_id == check)
    with engine(database(settings())).connect() as con:
        return con.execute(query).all()


def counted(con: sqlalchemy.Connection) -> tuple[int, int]:
    """Rows that wait in quarantine, and rows that were accepted."""
    row = state.quarantine.c
    waits = sqlalchemy.func.count().filter(row.accepted_at.is_(None))
    total = sqlalchemy.func.count()
    every, waiting = con.execute(sqlalchemy.select(total, waits).select_from(state.quarantine)).one()
    return int(waiting), int(every - waiting)


@dataclass(frozen=True)
class Described:
    """A row of the quarantine, its place in the newest file that had it, and its CDM rows that violate.

    `cdm` is empty for a rejected record, and where the run's files are not in the lake any more.
    """

    row: Any
    batch_id: int | None
    file: str | None
    line: int | None
    record: int | None
    cdm: tuple[tuple[str, int], ...]


def describe(number: int) -> Described:
    """Where a row of the quarantine came from and what was made of it. UsageError: no such row."""
    [row] = in_quarantine([number])
    if row.batch_id is not None:
        return Described(row, row.batch_id, row.file, row.line, row.record, ())
    origin = _origin(row)
    path = settings().runs_dir / row.last_run / "quarantine" / "rows.parquet"
    cdm: list[tuple[str, int]] = []
    if path.exists():
        with connection(threads=1) as con:
            cdm = con.execute(
                f"SELECT cdm_table, row_id FROM {relation([path])} WHERE check_id = ? AND table_name = ? "
                "AND source_row_id = ? ORDER BY ALL",
                [row.check_id, row.table_name, row.source_row_id],
            ).fetchall()
    if origin is None:
        return Described(row, None, None, None, None, tuple(cdm))
    return Described(row, origin.batch_id, origin.file, origin.line_no, origin.record_no, tuple(cdm))


def _origin(row: Any) -> Origin | None:
    """The newest place of a gate row, as long as the run's files tell it; else where its number first arrived."""
    configured = settings()
    if (configured.runs_dir / row.last_run / "landing.json").exists():
        with lake_of(row.last_run) as lake:
            now, _ = lake.places(row.table_name, lake.state_files(row.table_name), [row.source_row_id])
            return now.get(row.source_row_id)
    first = origins(configured, engine(database(configured)), row.source, row.table_name, [row.source_row_id])
    return first.get(row.source_row_id)
