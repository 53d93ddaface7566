"""The candidate's suites: one per CDM table, one expectation per check, all over one frame of counts."""

from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd
from great_expectations.core.expectation_validation_result import ExpectationSuiteValidationResult

from etl.quality.gx import expectations
from etl.quality.gx.session import ASKED, Asked, context, validate
from etl.quality.model import Check, CheckResult


def expectation_of(check: Check) -> dict[str, Any]:
    """A check as Great Expectations stores one."""
    return {
        "type": expectations.TYPES[check.check_type],
        "kwargs": {
            "check_id": check.check_id,
            "column": check.column,
            "argument": " or ".join(check.argument),
            "allowed_percent": check.allowed_percent,
        },
        "severity": check.severity,
        "meta": {ASKED: check.check_id},
    }


def frame_of(results: Iterable[CheckResult]) -> pd.DataFrame:
    """The counts as a frame: check_id, violated, denominator."""
    rows = [(result.check_id, result.violated, result.denominator) for result in results]
    return pd.DataFrame(rows, columns=["check_id", "violated", "denominator"])


def validate_candidate(
    suites: dict[str, Sequence[Check]], results: Sequence[CheckResult]
) -> list[ExpectationSuiteValidationResult]:
    """Run all suites over the counts; the stripped results, one per suite.

    An empty suite gives a result without answers: the caller compares.
    """
    ctx = context()
    source = ctx.data_sources.add_pandas("candidate")
    counts = source.add_dataframe_asset("counts").add_batch_definition_whole_dataframe("checks")
    asked = Asked(
        dict.fromkeys(suites, counts),
        {name: [expectation_of(check) for check in checks] for name, checks in suites.items()},
    )
    return validate(asked, {"dataframe": frame_of(results)})
