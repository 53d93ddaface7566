"""The two gates of a run: what was landed, and the candidate. Verdicts are recorded; a refusal stops the run."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy

from etl import land, publish, quality, state
from etl.config import settings
from etl.errors import GateRefused
from etl.pipeline.account import source_accounts, table_accounts
from etl.pipeline.quarantine import accepted_counts, settle_quarantine, without_accepted
from etl.pipeline.runs import Run, database, engine, load_run, record, vocabulary_folder
from etl.pipeline.scope import keep_scope_only, scope_ids


def judge_landing(run: Run) -> str:
    """Great Expectations on the landed tables, as `expectations/landing` says; the verdict in words."""
    configured = settings()
    contract = land.load_contract(configured, run.source)
    with engine(database(configured)).connect() as con:
        batches = con.execute(
            sqlalchemy.select(state.batch)
            .where(state.batch.c.batch_id.in_(run.parameters.get("landed") or run.batch_ids or []))
            .order_by(state.batch.c.batch_id)
        ).all()
    landed = []
    for batch in {batch.table_name: batch for batch in batches}.values():
        table = contract.tables[batch.table_name]
        landed.append(
            quality.LandedTable(
                name=batch.table_name,
                path=land.batch_path(configured, run.source, batch.table_name, batch.batch_id),
                key=table.key,
                optional_columns=tuple(column.lower for column in table.columns if column.optional),
                required_columns=tuple(column.name.lower() for column in table.columns if column.required),
                rows=batch.landed_rows,
                first_source_row_id=batch.first_source_row_id,
                columns=tuple(column.name.lower() for column in table.columns),
            )
        )
    result = quality.gate_landing(configured, landed, run.folder / "report" / "landing")
    record(run.run_id, landing_verdict=verdict_of(result))
    return decide(run, result, "landed data")


def judge_candidate(run: Run) -> str:
    """Count every check of the candidate, let Great Expectations judge the counts; the verdict in words."""
    configured = settings()
    assert run.vocabulary_id is not None
    db = engine(database(configured))
    ledger = table_accounts(db, run)
    vocabulary = vocabulary_folder(run.vocabulary_id)
    if run.scope == "persons":
        ids = scope_ids(run)
        keep_scope_only(run, ids)
    results = quality.compute_candidate(configured, run.folder, vocabulary, source_accounts(ledger))
    if run.scope == "persons":
        results = _with_everybody_else(run, results, ids)
    judged = without_accepted(results, accepted_counts(run))
    # All violated rows are kept, so that the counts of the next night of some persons add up; with the judged status.
    _remember(
        db,
        run,
        [
            replace(all_of_it, status=one.status, reason=one.reason)
            for all_of_it, one in zip(results, judged, strict=True)
        ],
    )
    result = quality.gate_candidate(judged, run.folder / "report" / "candidate")
    record(run.run_id, verdict=verdict_of(result))
    settled = settle_quarantine(run, judged, passed=result.passed)
    problems = [problem for account in ledger for problem in account.disagreements]
    return decide(run, result, "candidate", problems, str(settled))


def _with_everybody_else(run: Run, results: list[quality.CheckResult], ids: Path) -> list[quality.CheckResult]:
    """The counts of the release as it would be: the current one's, without what it holds of the run's persons.

    Judged by themselves, a few persons would be refused for a share that nobody would mind in the whole.
    """
    configured = settings()
    base = run.parameters["base_run"]
    before_it = load_run(base).vocabulary_id
    assert before_it is not None
    folder = run.folder / "scope" / "present"
    with engine(database(configured)).connect() as con:
        schema = con.execute(
            sqlalchemy.select(state.release.c.schema_name).where(state.release.c.run_id == base)
        ).scalar_one()
        check = state.check_result.c
        counted = con.execute(
            sqlalchemy.select(check.check_id, check.violated, check.denominator).where(check.run_id == base)
        ).all()
    publish.write_present_rows(database(configured), run.run_id, schema, ids, folder / "cdm")
    before = quality.compute_candidate(configured, folder, vocabulary_folder(before_it), [])
    return quality.replaced(
        configured, {row.check_id: (row.violated, row.denominator) for row in counted}, before, results
    )


def verdict_of(result: quality.GateResult) -> dict[str, Any]:
    """What is kept of a gate's answer: counts and check ids."""
    return {
        "passed": result.passed,
        "evaluated": result.evaluated,
        "expected": result.expected,
        "failed": [asdict(check) for check in result.failed],
        "warnings": [asdict(check) for check in result.warnings],
        "reasons": list(result.reasons),
        "seconds": round(result.seconds, 2),
    }


def decide(run: Run, result: quality.GateResult, what: str, ledger: Sequence[str] = (), quarantined: str = "") -> str:
    """The verdict in words, or GateRefused with what of the ledger disagrees, the checks, the counts and the page."""
    if not result.passed:
        reasons = "\n".join(f"  {reason}" for reason in (*ledger, *result.reasons[:20]))
        more = f"\n  … and {len(result.reasons) - 20} more" if len(result.reasons) > 20 else ""
        record(run.run_id, status="refused", ended_at=datetime.now(UTC), message=f"the gate refused the {what}")
        raise GateRefused(
            f"The gate refused the {what} of run {run.run_id}:\n{reasons}{more}",
            state=f"Nothing was published; the last release stays as it was. {quarantined}".rstrip(),
            todo=f"See {result.report}, mend the data or the mapping, and run again.",
        )
    return f"{result.evaluated} of {result.expected} checks evaluated, {len(result.warnings)} warnings"


def _remember(db: sqlalchemy.Engine, run: Run, results: list[quality.CheckResult]) -> None:
    rows = [
        {
            "run_id": run.run_id,
            "check_id": result.check_id,
            "table_name": result.table,
            "column_name": result.column,
            "check_type": result.check_type,
            "severity": result.severity,
            "violated": result.violated,
            "denominator": result.denominator,
            "status": result.status,
            "seconds": result.seconds,
            "origin": result.origin,
            "category": result.category,
            "allowed_percent": result.allowed_percent,
            "reason": result.reason,
        }
        for result in results
    ]
    with db.begin() as con:
        con.execute(state.check_result.delete().where(state.check_result.c.run_id == run.run_id))
        if rows:
            con.execute(state.check_result.insert(), rows)
