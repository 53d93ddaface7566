"""The gate: counts, a verdict, and Great Expectations that decides.

Light to import: Great Expectations is loaded inside `gate_landing` and `gate_candidate`, or ahead of them by `warm_up`.
"""

from etl.quality.compute import compute_candidate
from etl.quality.gate import gate_candidate, gate_drift, gate_landing, warm_up
from etl.quality.maintained import replaced
from etl.quality.model import Check, CheckResult, FailedCheck, GateResult, LandedTable, SourceAccount
from etl.quality.verdict import Threshold, Verdict, asked_severity, judge, status_of
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
    "asked_severity",
    "compute_candidate",
    "enforced_checks",
    "gate_candidate",
    "gate_drift",
    "gate_landing",
    "judge",
    "replaced",
    "status_of",
    "warm_up",
    "write_violations",
]
