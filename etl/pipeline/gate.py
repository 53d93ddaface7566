"""The gates of a run: what was landed, the candidate, its drift. Verdicts are recorded; a refusal stops the run.

Results and pages are kept whether a gate passes or not.
"""

from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any

import sqlalchemy

from etl import land, quality, state
from etl.config import settings
from etl.errors import GateRefused
from etl.pipeline.account import source_accounts, table_accounts
from etl.pipeline.counts import PROFILE, count_release, dashboard_checks, kept_with, quality_folder
from etl.pipeline.judgement import judge_counts, remember, stored_results, with_all_violations
from etl.pipeline.quality_report import write_quality_report
from etl.pipeline.quarantine import accepted_counts, settle_quarantine, without_accepted
from etl.pipeline.runs import Run, current_run, database, engine, record
from etl.quality import drift
from etl.quality.drift import drift_checks, more_failures, read_limits
from etl.quality.profile import read_profile

NOT_ASKED: dict[str, Any] = {
    "passed": True, "evaluated": 0, "expected": 0, "failed": [], "warnings": [], "reasons": [], "seconds": 0.0
}  # fmt: skip


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
    """Count every check of the release as it would be, let Great Expectations judge them; the verdict in words."""
    db = engine(database(settings()))
    ledger = table_accounts(db, run)
    counted = count_release(run, source_accounts(ledger))
    judgement = judge_counts(run, without_accepted(counted, accepted_counts(run, counted)))
    remember(run, with_all_violations(judgement.results, counted), ("cdm", "dqd"))
    result = quality.gate_candidate(
        judgement.results,
        run.folder / "report" / "candidate",
        dashboard=dashboard_checks(),
        severities=judgement.severities,
        notes=judgement.notes,
    )
    record(run.run_id, verdict=verdict_of(result))
    asked = [replace(one, severity=judgement.severities.get(one.check_id, one.severity)) for one in judgement.results]
    settled = settle_quarantine(run, asked, passed=result.passed)
    problems = [problem for account in ledger for problem in account.disagreements]
    if not result.passed:  # otherwise drift's gate writes it, with what it found
        reasons, worse = [*problems, *result.reasons], judgement.regressed
        page = write_quality_report(run, judgement.results, passed=False, reasons=reasons, regressed=worse)
        result = replace(result, report=page)
    return decide(run, result, "candidate", problems, str(settled))


def judge_drift(run: Run) -> str:
    """Compare the candidate with the current release; the verdict in words. The first release is compared with none."""
    base_run = current_run(run.source)
    kept = kept_with(base_run, PROFILE) if base_run else None
    results: list[quality.CheckResult] = []
    if base_run is not None and kept is not None:
        limits = read_limits(settings().expectations_dir / "drift.yml")
        results = drift_checks(read_profile(kept), read_profile(quality_folder(run) / PROFILE), limits)
        before = {result.check_id: result for result in stored_results(base_run)}
        results.append(more_failures(before, stored_results(run.run_id), limits))
    found: quality.GateResult | None = None
    regressed: list[str] = []
    remember(run, [], ("drift",))
    if results:
        judgement = judge_counts(run, results)
        regressed = judgement.regressed
        remember(run, judgement.results, ("drift",))
        found = quality.gate_drift(
            judgement.results,
            drift.asked(judgement.results),
            run.folder / "report" / "drift",
            judgement.severities,
            judgement.notes,
        )
    verdict = verdict_of(found) if found else NOT_ASKED
    record(run.run_id, drift_verdict=verdict)
    page = write_quality_report(
        run,
        stored_results(run.run_id),
        passed=bool(verdict["passed"]),
        reasons=verdict["reasons"],
        regressed=regressed,
    )
    return decide(run, replace(found, report=page), "drift") if found else "there is no release to compare with"


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
    return f"{result.evaluated} of {result.expected} expectations evaluated, {len(result.warnings)} warnings"
