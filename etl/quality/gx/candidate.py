"""The candidate's suites: one per CDM table, an expectation per check type and severity, over a frame of counts."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from great_expectations.core.expectation_validation_result import ExpectationSuiteValidationResult

from etl.quality.gx import expectations
from etl.quality.gx.session import ASKED, Asked, context, validate
from etl.quality.model import Check, CheckResult
from etl.quality.questions import Question

COLUMNS = ("asked", "check_id", "violated", "denominator", "allowed_percent", "status")
# Check types whose argument is columns that count together; of others it is what may stand there.
ALL_OF = ("eras_apart", "no_repeat")


def expectation_of(question: Question) -> dict[str, Any]:
    """A question as Great Expectations stores one, by the name under which its registry knows the type."""
    expectation = expectations.ExpectDashboardChecksToHold
    told = expectation.sentence.format(column=f"{len(question.check_ids)} checks {question.check_type}")
    if question.checks:
        expectation = expectations.TYPES[question.check_type]
        told = "; ".join(_told(expectation.sentence, check) for check in question.checks)
    return {
        "type": expectation.expectation_type,
        "kwargs": {"asked": question.asked, "checks": len(question.check_ids), "told": told},
        "severity": question.severity,
        "meta": {ASKED: question.asked},
    }


def _told(sentence: str, check: Check) -> str:
    argument = (", " if check.check_type in ALL_OF else " or ").join(check.argument)
    allowed = f" (all but {check.allowed_percent:g} %)" if check.allowed_percent else ""
    return sentence.format(column=check.column, argument=argument) + allowed


def frames_of(asked: Mapping[str, Sequence[Question]], results: Sequence[CheckResult]) -> dict[str, pd.DataFrame]:
    """The counts of each suite as a frame, with the expectation that is asked about each."""
    suite_of = {check_id: (name, one.asked) for name in asked for one in asked[name] for check_id in one.check_ids}
    rows: dict[str, list[tuple[Any, ...]]] = {name: [] for name in asked}
    for one in results:
        if one.check_id in suite_of:
            name, question = suite_of[one.check_id]
            counts = (one.violated, one.denominator, one.allowed_percent, one.status)
            rows[name].append((question, one.check_id, *counts))
    return {name: pd.DataFrame(rows[name], columns=list(COLUMNS)) for name in asked}


def validate_candidate(
    asked: Mapping[str, Sequence[Question]], results: Sequence[CheckResult]
) -> list[ExpectationSuiteValidationResult]:
    """Run all suites, each over its counts; the stripped results, one per suite.

    An empty suite gives a result without answers: the caller compares.
    """
    ctx = context()
    source = ctx.data_sources.add_pandas("candidate")
    counts = source.add_dataframe_asset("counts").add_batch_definition_whole_dataframe("checks")
    suites = {name: [expectation_of(question) for question in questions] for name, questions in asked.items()}
    parameters = {name: {"dataframe": frame} for name, frame in frames_of(asked, results).items()}
    return validate(Asked(dict.fromkeys(suites, counts), suites, parameters))
