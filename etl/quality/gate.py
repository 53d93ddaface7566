"""The gate's two doors. Great Expectations answers, `decision` decides, a report stays.

Great Expectations is imported inside these functions only: it takes 4 s, and most commands never need it.
"""

import json
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from etl.config import Settings, settings
from etl.log import get_logger
from etl.quality.compute import LEDGER_TYPES, ledger_checks
from etl.quality.decision import Answer, Decision, decide
from etl.quality.dqd.catalogue import DqdCheck
from etl.quality.model import Check, CheckResult, FailedCheck, GateResult, LandedTable
from etl.quality.questions import Suites, questions
from etl.quality.suites import read_suites

logger = get_logger(__name__)

# Two threads that import parts of Great Expectations at once deadlock in its circular imports, and its context is one
# per process: one thread at a time.
_ONE_AT_A_TIME = threading.RLock()


def warm_up() -> threading.Thread:
    """Import Great Expectations in the background while earlier stages run; the gates wait for it by themselves."""
    thread = threading.Thread(target=_import_gx, name="great-expectations", daemon=True)
    thread.start()
    return thread


def _import_gx() -> None:
    with _ONE_AT_A_TIME:
        from etl.quality.gx import candidate, landing, report

    logger.debug("imported %s, %s, %s", candidate.__name__, landing.__name__, report.__name__)


def gate_candidate(
    results: Sequence[CheckResult],
    report_dir: Path,
    *,
    suites: Mapping[str, Sequence[Check]] | None = None,
    dashboard: Sequence[DqdCheck] = (),
    severities: Mapping[str, str] | None = None,
    notes: Mapping[str, str] | None = None,
) -> GateResult:
    """Whether a candidate may be published; writes `report_dir`/index.html, a page per table, and results.json.

    `results` are all counts; `suites` are by default the files of expectations/cdm, `dashboard` are the checks of
    OHDSI's Data Quality Dashboard that must be among them. `severities` replaces a check's own, `notes` say why, by
    check id. A refusal is an answer (`passed` false, with `reasons`), not an error. Counts only, in the answer and in
    every file.
    """
    with _ONE_AT_A_TIME:
        if suites is None:
            suites = read_suites(settings().expectations_dir / "cdm")
        # Without an account this suite is empty, and so shuts the gate.
        tables = dict.fromkeys(result.column for result in results if result.check_type in LEDGER_TYPES)
        accounted = [check for table in tables for check in ledger_checks(table)]
        counted = {result.check_id: result for result in results}
        asked = questions({**suites, "accounting": accounted}, dashboard, counted, severities or {})
        return _gate_counts("The candidate's checks", asked, results, report_dir, notes or {})


def gate_drift(
    results: Sequence[CheckResult],
    checks: Sequence[Check],
    report_dir: Path,
    severities: Mapping[str, str],
    notes: Mapping[str, str],
) -> GateResult:
    """Whether a candidate has not drifted from the last release; `checks` are asked, `results` their counts."""
    with _ONE_AT_A_TIME:
        asked = questions({"drift": checks}, (), {}, severities)
        return _gate_counts("Drift from the last release", asked, results, report_dir, notes)


def _gate_counts(
    title: str,
    asked: Suites,
    results: Sequence[CheckResult],
    report_dir: Path,
    notes: Mapping[str, str],
) -> GateResult:
    from etl.quality.gx.candidate import validate_candidate

    began = time.perf_counter()
    validated = validate_candidate(asked, results)
    by_id = {result.check_id: result for result in results}
    judged, broken = {}, {}
    for question in (question for suite in asked.values() for question in suite):
        known = [by_id[check_id] for check_id in question.check_ids if check_id in by_id]
        failed = [result for result in known if result.status in ("failed", "error")]
        judged[question.asked] = not failed and len(known) == len(question.check_ids)
        broken[question.asked] = [
            FailedCheck(one.check_id, question.severity, one.violated, one.denominator, notes.get(one.check_id, ""))
            for one in failed
        ]
    expected = {suite: [question.asked for question in questions] for suite, questions in asked.items()}
    return _report(title, _decide(expected, validated, judged, broken), validated, report_dir, began)


def gate_landing(settings: Settings, tables: Sequence[LandedTable], report_dir: Path) -> GateResult:
    """Whether landed batches are what their ledger rows say; writes a report like the candidate's.

    Great Expectations' own expectations, run on the Parquet through DuckDB: row count, columns, required columns,
    unique keys, source_row_id contiguous from `first_source_row_id`.
    """
    with _ONE_AT_A_TIME:
        return _gate_landing(settings, tables, report_dir)


def _gate_landing(settings: Settings, tables: Sequence[LandedTable], report_dir: Path) -> GateResult:
    from etl.quality.gx.landing import ask_landing, validate_landing

    began = time.perf_counter()
    asked = ask_landing(tables)
    validated = validate_landing(settings, tables, asked)
    questions = {suite: [one["meta"]["asked"] for one in expectations] for suite, expectations in asked.items()}
    return _report("The landed batches", _decide(questions, validated), validated, report_dir, began)


def _decide(
    asked: Mapping[str, Iterable[str]],
    validated: Sequence[Any],
    judged: Mapping[str, bool] | None = None,
    broken: Mapping[str, Sequence[FailedCheck]] | None = None,
) -> Decision:
    from etl.quality.gx.session import answers

    given: list[Answer] = list(answers(validated))
    return decide(asked, given, judged, broken)


def _report(title: str, decision: Decision, validated: Sequence[Any], directory: Path, began: float) -> GateResult:
    from etl.quality.gx.report import write_report

    index = write_report(directory, title, validated, decision)
    result = GateResult(
        passed=not decision.reasons,
        evaluated=decision.evaluated,
        expected=decision.expected,
        failed=decision.failed,
        warnings=decision.warnings,
        reasons=decision.reasons,
        report=index,
        seconds=0.0,
    )
    content = {key: value for key, value in asdict(result).items() if key not in ("report", "seconds")}
    (directory / "results.json").write_text(json.dumps(content, indent=1), encoding="utf-8")
    result = replace(result, seconds=time.perf_counter() - began)
    logger.info(
        "%s: %d of %d expectations evaluated, %d critical failures, %d warnings, %.1f s",
        title,
        result.evaluated,
        result.expected,
        len(result.failed),
        len(result.warnings),
        result.seconds,
    )
    return result
