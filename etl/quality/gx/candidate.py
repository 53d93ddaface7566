"""The candidate's suites: one per CDM table, over one frame of counts.

One expectation for each check of ours; one for all checks of a type of OHDSI's Data Quality Dashboard.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from great_expectations.core.expectation_validation_result import ExpectationSuiteValidationResult

from etl.quality.gx import expectations
from etl.quality.gx.session import ASKED, Asked, context, validate
from etl.quality.model import CheckResult
from etl.quality.questions import Question

COLUMNS = ("check_id", "table", "check_type", "severity", "violated", "denominator", "allowed_percent", "status")
# Check types whose argument is columns that count together; of others it is what may stand there.
ALL_OF = ("eras_apart", "no_repeat")


def expectation_of(question: Question) -> dict[str, Any]:
    """A question as Great Expectations stores one."""
    asked = {"severity": question.severity, "meta": {ASKED: question.asked}}
    check = question.check
    if check is None:
        kwargs = {
            "cdm_table": question.table,
            "check_type": question.check_type,
            "asked_severity": question.severity,
            "checks": len(question.check_ids),
        }
        return {"type": expectations.GROUP, "kwargs": kwargs, **asked}
    kwargs = {
        "check_id": check.check_id,
        "column": check.column,
        "argument": (", " if check.check_type in ALL_OF else " or ").join(check.argument),
        "allowed_percent": check.allowed_percent,
    }
    return {"type": expectations.TYPES[check.check_type], "kwargs": kwargs, **asked}


def frame_of(results: Sequence[CheckResult], severities: Mapping[str, str]) -> pd.DataFrame:
    """The counts as a frame, with the severity under which each check is asked."""
    rows = [
        (
            result.check_id,
            result.table,
            result.check_type,
            severities.get(result.check_id, result.severity),
            result.violated,
            result.denominator,
            result.allowed_percent,
            result.status,
        )
        for result in results
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def validate_candidate(
    asked: Mapping[str, Sequence[Question]], results: Sequence[CheckResult], severities: Mapping[str, str]
) -> list[ExpectationSuiteValidationResult]:
    """Run all suites over the counts; the stripped results, one per suite.

    An empty suite gives a result without answers: the caller compares.
    """
    ctx = context()
    source = ctx.data_sources.add_pandas("candidate")
    counts = source.add_dataframe_asset("counts").add_batch_definition_whole_dataframe("checks")
    suites = {name: [expectation_of(question) for question in questions] for name, questions in asked.items()}
    return validate(Asked(dict.fromkeys(suites, counts), suites), {"dataframe": frame_of(results, severities)})
