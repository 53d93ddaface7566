"""What the gate speaks of: checks, their counts, and its answer. Ids and counts only, never a cell's value."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

# The order is the order of consequence: critical stops the publish, warning and info are reported.
SEVERITIES = ("critical", "warning", "info")


@dataclass(frozen=True)
class Check:
    """One thing that must hold for a table: what is counted, how much of it is allowed, and what follows.

    `column` is '' for checks of the whole table. `argument` is the check type's own: the referenced table and field of
    a foreign key, the domains of a concept, the end of a start. `allowed_percent` is of the check's denominator.
    """

    table: str
    column: str
    check_type: str
    severity: str
    allowed_percent: float = 0.0
    argument: tuple[str, ...] = ()

    @property
    def check_id(self) -> str:
        """Stable across runs: `condition_occurrence.required.person_id`, `accounting.synthea.patients`."""
        return ".".join(part for part in dict.fromkeys((self.table, self.check_type, self.column)) if part)


@dataclass(frozen=True)
class CheckResult:
    """A check counted on one candidate. `status` is passed, failed, not_applicable (nothing to count) or error.

    `origin` says who asks: cdm (`expectations/cdm` and the row account), dqd (OHDSI's Data Quality Dashboard) or drift.
    `category` is Kahn's: Conformance, Completeness or Plausibility. `reason` says why it is not applicable, what an
    error was by its class, or what drifted.
    """

    check_id: str
    table: str
    column: str
    check_type: str
    severity: str
    violated: int
    denominator: int
    status: str
    seconds: float
    origin: str = "cdm"
    category: str = ""
    allowed_percent: float = 0.0
    reason: str = ""


@dataclass(frozen=True)
class SourceAccount:
    """The row account of one source table, in rows; `compute.LEDGER_TYPES` says what of it must agree.

    `received` is None where `landed` holds earlier deliveries too (a table that is appended to). `used` counts merged
    and supporting rows. `cdm` are the table's rows in the CDM, `not_landed` those that decode to no landed row.
    """

    table: str
    received: int | None
    rejected: int
    landed: int
    used: int
    excluded: int
    unaccounted: int
    not_landed: int
    cdm: int


@dataclass(frozen=True)
class LandedTable:
    """A landed batch of a source table, as the gate needs to know it.

    `key` is empty when the whole row is the key; `rows` and `first_source_row_id` are those of the batch's ledger row.
    Optional columns may be missing from the file, so they may be NULL in a key too.
    """

    name: str
    path: Path
    key: Sequence[str]
    required_columns: Sequence[str]
    rows: int
    first_source_row_id: int
    columns: Sequence[str] = ()
    optional_columns: Sequence[str] = ()


@dataclass(frozen=True)
class FailedCheck:
    """A check that did not hold, with its counts; `note` says why it stops although its own severity would not."""

    check_id: str
    severity: str
    violated: int
    denominator: int
    note: str = ""

    def __str__(self) -> str:
        return f"{self.check_id}: {self.violated:,} of {self.denominator:,}" + (f" ({self.note})" if self.note else "")


@dataclass(frozen=True)
class GateResult:
    """The gate's answer. `passed` is false when a critical check failed or the gate itself did not work as it must.

    `failed` are critical, `warnings` all others; `reasons` says in words why the gate is shut, check by check;
    `expected` counts the expectations of the suites, `evaluated` those that Great Expectations answered.
    """

    passed: bool
    evaluated: int
    expected: int
    failed: tuple[FailedCheck, ...]
    warnings: tuple[FailedCheck, ...]
    reasons: tuple[str, ...]
    report: Path
    seconds: float
