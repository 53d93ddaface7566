"""What is kept of the gate's work: results by run, releases to compare with, rows held back."""

from collections import defaultdict

import sqlalchemy

from etl import state
from etl.pipeline.runs import release_in
from etl.quality import CheckResult
from etl.quality.report import Quarantined, ReleaseCounts

RELEASES_SHOWN = 24


def stored_results(con: sqlalchemy.Connection, run_id: str) -> list[CheckResult]:
    """The results that a run's gates recorded, drift among them."""
    check = state.check_result.c
    rows = con.execute(sqlalchemy.select(state.check_result).where(check.run_id == run_id).order_by(check.check_id))
    return [
        CheckResult(
            check_id=row.check_id,
            table=row.table_name,
            column=row.column_name,
            check_type=row.check_type,
            severity=row.severity,
            violated=row.violated,
            denominator=row.denominator,
            status=row.status,
            seconds=row.seconds,
            origin=row.origin,
            category=row.category,
            allowed_percent=row.allowed_percent,
            reason=row.reason,
        )
        for row in rows
    ]


def releases_before(con: sqlalchemy.Connection, source: str, run_id: str) -> list[tuple[int, str]]:
    """Releases of a source with their runs, newest first: those before the run's own, else all; none taken back."""
    run, release = state.run.c, state.release.c
    wanted = (
        sqlalchemy.select(release.release_id, release.run_id)
        .join_from(state.release, state.run)
        .where(run.source == source, release.withdrawn_at.is_(None), release.run_id != run_id)
        .order_by(release.release_id.desc())
    )
    own = release_in(con, run_id)
    if own is not None:
        wanted = wanted.where(release.release_id < own)
    return [(row.release_id, row.run_id) for row in con.execute(wanted)]


def trend_of(con: sqlalchemy.Connection, releases: list[tuple[int, str]]) -> list[ReleaseCounts]:
    """The outcomes of these releases' checks without drift, oldest first."""
    shown = releases[:RELEASES_SHOWN]
    check = state.check_result.c
    counted = con.execute(
        sqlalchemy.select(check.run_id, check.status, check.severity, sqlalchemy.func.count())
        .where(check.run_id.in_([run_id for _, run_id in shown]), check.origin != "drift")
        .group_by(check.run_id, check.status, check.severity)
    )
    found: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for run_id, status, severity, checks in counted:
        found[run_id][severity if status == "failed" else status] += checks
    return [
        ReleaseCounts(
            name=str(release_id),
            passed=found[run_id]["passed"],
            critical=found[run_id]["critical"],
            warning=found[run_id]["warning"],
            info=found[run_id]["info"],
            errors=found[run_id]["error"],
            not_applicable=found[run_id]["not_applicable"],
        )
        for release_id, run_id in reversed(shown)
        if run_id in found
    ]


def quarantined_rows(con: sqlalchemy.Connection, source: str) -> list[Quarantined]:
    """Source rows that are held back and not accepted, by table and check, the most first."""
    held = state.quarantine.c
    rows = sqlalchemy.func.count()
    counted = con.execute(
        sqlalchemy.select(held.table_name, held.check_id, rows, sqlalchemy.func.max(held.nights))
        .where(held.source == source, held.accepted_at.is_(None))
        .group_by(held.table_name, held.check_id)
        .order_by(rows.desc(), held.table_name, held.check_id)
    )
    return [Quarantined(*row) for row in counted]
