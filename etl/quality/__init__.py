"""The gate: counts, a verdict, and Great Expectations that decides.

Light to import: Great Expectations is loaded inside `gate_landing` and `gate_candidate`, or ahead of them by `warm_up`.
"""

from etl.quality.compute import compute_candidate, replaced
from etl.quality.gate import gate_candidate, gate_landing, warm_up
from etl.quality.model import Check, CheckResult, FailedCheck, GateResult, LandedTable, SourceAccount
from etl.quality.verdict import Threshold, Verdict, judge, status_of
from etl.quality.violations import ROW_TYPES, enforced_checks, write_violations

__all__ = [
    "ROW_TYPES",
    "Check",
    "CheckResult",
    "FailedCheck",
    "GateResult",
    "LandedTable",
    "SourceAccount",
    "Threshold",
    "Verdict",
    "compute_candidate",
    "enforced_checks",
    "gate_candidate",
    "gate_landing",
    "judge",
    "replaced",
    "status_of",
    "warm_up",
    "write_violations",
]
