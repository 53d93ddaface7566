"""What follows from counts: a site's own limits, what was accepted or overridden, what got worse since a release."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from etl import quality, state
from etl.config import settings
from etl.pipeline import check_results
from etl.pipeline.overrides import overrides_in_force
from etl.pipeline.runs import Run, current_run, database, engine
from etl.quality import CheckResult
from etl.quality.drift import read_limits
from etl.quality.thresholds import Rule, apply_thresholds, read_thresholds

SITE = "site.yml"
DRIFT = "drift."


@dataclass(frozen=True)
class Judgement:
    """Judged results, the verdict on them, and how Great Expectations is asked: severities and notes by check id."""

    results: list[CheckResult]
    verdict: quality.Verdict
    severities: dict[str, str]
    notes: dict[str, str]

    @property
    def regressed(self) -> list[str]:
        return [one.result.check_id for one in self.verdict.regressions]


def judge_counts(run: Run, results: Sequence[CheckResult]) -> Judgement:
    """The verdict on a candidate's counts (or on drift's) for this site, today."""
    limits = read_limits(settings().expectations_dir / "drift.yml")
    is_drift = any(result.origin == "drift" for result in results)
    judged = apply_thresholds(results, site_rules(lambda rule: rule.check.startswith(DRIFT) == is_drift))
    base = {result.check_id: result for result in results_of_current(run)}
    verdict = quality.judge(judged, {}, base=base, overrides=overrides_in_force(), limits=limits.regression)
    worse = {one.result.check_id: one for one in verdict.regressions}
    let_through = {one.result.check_id: one for one in verdict.overridden}
    severities = {
        result.check_id: quality.asked_severity(result, worse, let_through)
        for result in judged
        if result.check_id in worse or result.check_id in let_through
    }
    notes = {
        check_id: f"a warning that got worse: {one.violated_before:,} of {one.denominator_before:,} in the last release"
        for check_id, one in worse.items()
    }
    notes |= {result.check_id: result.reason for result in judged if result.origin == "drift" and result.reason}
    for check_id, one in let_through.items():
        override = one.override
        told = f"overridden by {override.made_by} until {override.until}: {override.reason}"
        notes[check_id] = f"{notes[check_id]}; {told}" if check_id in notes else told
    return Judgement(judged, verdict, severities, notes)


def site_rules(wanted: Callable[[Rule], bool]) -> list[Rule]:
    """The rules of `expectations/site.yml`, where a site has one."""
    path = settings().expectations_dir / SITE
    return [rule for rule in read_thresholds(path) if wanted(rule)] if path.exists() else []


def results_of_current(run: Run) -> list[CheckResult]:
    """The check results of the current release of the run's source; none before the first."""
    current = current_run(run.source)
    return stored_results(current) if current is not None else []


def stored_results(run_id: str) -> list[CheckResult]:
    """What is kept of a run's checks."""
    with engine(database(settings())).connect() as con:
        return check_results.stored_results(con, run_id)


def remember(run: Run, results: Sequence[CheckResult], origins: Sequence[str]) -> None:
    """Keep a run's results of these origins, in the place of those it had."""
    rows = [{"run_id": run.run_id, **_row(result)} for result in results]
    check = state.check_result.c
    with engine(database(settings())).begin() as con:
        con.execute(state.check_result.delete().where(check.run_id == run.run_id, check.origin.in_(origins)))
        if rows:
            con.execute(state.check_result.insert(), rows)


def _row(result: CheckResult) -> dict[str, object]:
    row: dict[str, object] = dict(vars(result))
    return row | {"table_name": row.pop("table"), "column_name": row.pop("column")}


def with_all_violations(judged: Sequence[CheckResult], counted: Sequence[CheckResult]) -> list[CheckResult]:
    """Judged results with all rows that violate, accepted ones too: what the next night of some persons adds to."""
    violated = {result.check_id: result.violated for result in counted}
    return [replace(result, violated=violated[result.check_id]) for result in judged]
