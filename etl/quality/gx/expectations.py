"""The gate's own expectations: one per check type, each deciding on counts.

A batch is the frame of counted checks. All expectations of a suite share one metric, the frame as a mapping, so a suite
costs one pass however many checks it has. Each check of ours has an expectation; those of OHDSI's Data Quality
Dashboard are asked by type, one expectation for all of a table's that have the same severity. Importing this module
registers them; Great Expectations leaves out what it does not know, which is why `decision` compares answered with
asked.
"""

from collections import defaultdict
from typing import Any, ClassVar

from great_expectations.execution_engine import PandasExecutionEngine
from great_expectations.expectations.expectation import BatchExpectation
from great_expectations.expectations.metrics.metric_provider import metric_value
from great_expectations.expectations.metrics.table_metric_provider import TableMetricProvider
from great_expectations.render import RenderedStringTemplateContent
from great_expectations.render.renderer.renderer import renderer

COUNTS = "cdmflow.check_counts"
GROUPS = "cdmflow.check_groups"
SHOWN = 20


class CheckCounts(TableMetricProvider):  # type: ignore[misc]
    """The frame of counted checks as check_id → (violated, denominator)."""

    metric_name = COUNTS

    @metric_value(engine=PandasExecutionEngine)  # type: ignore[untyped-decorator]
    def _pandas(
        cls,  # noqa: N805 - the decorator makes it a class method
        execution_engine: PandasExecutionEngine,
        metric_domain_kwargs: dict[str, Any],
        metric_value_kwargs: dict[str, Any],
        metrics: dict[str, Any],
        runtime_configuration: dict[str, Any],
    ) -> dict[str, tuple[int, int]]:
        frame, _, _ = execution_engine.get_compute_domain(metric_domain_kwargs, domain_type="table")
        columns = (frame["check_id"], frame["violated"], frame["denominator"])
        return {
            check_id: (int(violated), int(denominator))
            for check_id, violated, denominator in zip(*columns, strict=True)
        }


class CheckGroups(TableMetricProvider):  # type: ignore[misc]
    """The frame as (table, check type, severity) → (check_id, violated, denominator, allowed percent, status)."""

    metric_name = GROUPS

    @metric_value(engine=PandasExecutionEngine)  # type: ignore[untyped-decorator]
    def _pandas(
        cls,  # noqa: N805 - the decorator makes it a class method
        execution_engine: PandasExecutionEngine,
        metric_domain_kwargs: dict[str, Any],
        metric_value_kwargs: dict[str, Any],
        metrics: dict[str, Any],
        runtime_configuration: dict[str, Any],
    ) -> dict[tuple[str, str, str], list[tuple[str, int, int, float, str]]]:
        frame, _, _ = execution_engine.get_compute_domain(metric_domain_kwargs, domain_type="table")
        found: dict[tuple[str, str, str], list[tuple[str, int, int, float, str]]] = defaultdict(list)
        keys = zip(frame["table"], frame["check_type"], frame["severity"], strict=True)
        columns = ("check_id", "violated", "denominator", "allowed_percent", "status")
        rows = zip(*(frame[column] for column in columns), strict=True)
        for key, (check_id, violated, denominator, allowed, status) in zip(keys, rows, strict=True):
            found[key].append((check_id, int(violated), int(denominator), float(allowed), status))
        return dict(found)


class CheckExpectation(BatchExpectation):  # type: ignore[misc]
    """A counted check holds when at most `allowed_percent` of its denominator is violated.

    A check that is not in the frame is an error, never a success.
    """

    metric_dependencies = (COUNTS,)
    success_keys = ("check_id", "column", "argument", "allowed_percent")
    sentence: ClassVar[str] = ""

    check_id: str
    column: str = ""
    argument: str = ""
    allowed_percent: float = 0

    @classmethod
    def is_abstract(cls) -> bool:
        return not cls.sentence

    def _validate(
        self,
        metrics: dict[str, Any],
        runtime_configuration: dict[str, Any] | None = None,
        execution_engine: Any = None,
    ) -> dict[str, Any]:
        violated, denominator = metrics[COUNTS][self.check_id]
        return {
            "success": violated * 100 <= self.allowed_percent * denominator,
            "result": {
                "observed_value": f"{violated:,} of {denominator:,}",
                "unexpected_count": violated,
                "element_count": denominator,
            },
        }

    @classmethod
    @renderer(renderer_type="renderer.prescriptive")  # type: ignore[untyped-decorator]
    def _prescriptive_renderer(
        cls, configuration: Any = None, result: Any = None, runtime_configuration: Any = None
    ) -> list[RenderedStringTemplateContent]:
        configuration = configuration or result.expectation_config
        kwargs = configuration.kwargs
        sentence = cls.sentence.format(column=kwargs.get("column", ""), argument=kwargs.get("argument", ""))
        severity = getattr(configuration.severity, "value", configuration.severity)
        allowed = f", at most {kwargs['allowed_percent']:g} % otherwise" if kwargs.get("allowed_percent") else ""
        template = {"template": "$sentence", "params": {"sentence": f"{sentence} ({severity}{allowed})"}}
        return [RenderedStringTemplateContent(content_block_type="string_template", string_template=template)]


class ExpectDashboardChecksToHold(BatchExpectation):  # type: ignore[misc]
    """All checks of one type of OHDSI's Data Quality Dashboard on one table hold; `checks` says how many there are.

    DQD's rule: an error never holds, what is not applicable does; nothing allowed means no violated row, otherwise the
    share must be strictly greater to fail. Fewer or more checks in the frame than asked is a failure.
    """

    metric_dependencies = (GROUPS,)
    success_keys = ("cdm_table", "check_type", "asked_severity", "checks")

    cdm_table: str
    check_type: str
    asked_severity: str
    checks: int

    def _validate(
        self,
        metrics: dict[str, Any],
        runtime_configuration: dict[str, Any] | None = None,
        execution_engine: Any = None,
    ) -> dict[str, Any]:
        rows = metrics[GROUPS].get((self.cdm_table, self.check_type, self.asked_severity), [])
        broken = [row[0] for row in rows if _is_broken(*row[1:])]
        named = ": " + ", ".join(broken[:SHOWN]) + (" …" if len(broken) > SHOWN else "") if broken else ""
        return {
            "success": len(rows) == self.checks and not broken,
            "result": {
                "observed_value": f"{len(broken):,} of {len(rows):,} do not hold{named}",
                "unexpected_count": len(broken),
                "element_count": len(rows),
            },
        }

    @classmethod
    @renderer(renderer_type="renderer.prescriptive")  # type: ignore[untyped-decorator]
    def _prescriptive_renderer(
        cls, configuration: Any = None, result: Any = None, runtime_configuration: Any = None
    ) -> list[RenderedStringTemplateContent]:
        configuration = configuration or result.expectation_config
        kwargs = configuration.kwargs
        sentence = f"Data Quality Dashboard: all {kwargs['checks']} checks {kwargs['check_type']} hold"
        severity = getattr(configuration.severity, "value", configuration.severity)
        template = {"template": "$sentence", "params": {"sentence": f"{sentence} ({severity})"}}
        return [RenderedStringTemplateContent(content_block_type="string_template", string_template=template)]


def _is_broken(violated: int, denominator: int, allowed: float, status: str) -> bool:
    if status == "error":
        return True
    return status != "not_applicable" and violated > 0 and violated * 100 > allowed * denominator


class ExpectTableToHaveRows(CheckExpectation):
    sentence = "the table has rows"


class ExpectSpecifiedColumns(CheckExpectation):
    sentence = "columns have the specification's names and order"


class ExpectSpecifiedTypes(CheckExpectation):
    sentence = "columns have the specification's types"


class ExpectRequiredValues(CheckExpectation):
    sentence = "{column} is never empty"


class ExpectTextToFit(CheckExpectation):
    sentence = "{column} has at most {argument} characters"


class ExpectPrimaryKeyToBeUnique(CheckExpectation):
    sentence = "{column} is unique"


class ExpectOneRowEach(CheckExpectation):
    sentence = "{column} occurs once"


class ExpectForeignKeyToExist(CheckExpectation):
    sentence = "{column} exists in {argument}"


class ExpectConceptOfDomain(CheckExpectation):
    sentence = "{column} is of domain {argument}"


class ExpectConceptOfClass(CheckExpectation):
    sentence = "{column} is of class {argument}"


class ExpectStandardConcept(CheckExpectation):
    sentence = "{column} is a standard concept or 0"


class ExpectMappedConcept(CheckExpectation):
    sentence = "{column} is mapped to a concept"


class ExpectDatesInOrder(CheckExpectation):
    sentence = "{column} is not after {argument}"


class ExpectDateAfterBirth(CheckExpectation):
    sentence = "{column} is not before the person's birth"


class ExpectDateBeforeDeath(CheckExpectation):
    sentence = "{column} is at most 60 days after the person's death"


class ExpectDateWithinObservationPeriod(CheckExpectation):
    sentence = "{column} lies in an observation period of the person"


class ExpectVisitOfSamePerson(CheckExpectation):
    sentence = "{column} is a {argument} of the same person"


class ExpectDateWithinVisit(CheckExpectation):
    sentence = "{column} lies within the dates of {argument}"


class ExpectPeriodsNotToOverlap(CheckExpectation):
    sentence = "periods from {column} to {argument} of a person do not overlap"


class ExpectStaysApart(CheckExpectation):
    sentence = "stays (visits of concept {argument}) of a person do not overlap, by {column}"


class ExpectValueInRange(CheckExpectation):
    sentence = "{column} is within {argument}"


class ExpectCurrentType(CheckExpectation):
    sentence = "{column} is no withdrawn type concept (38000xxx, 44818xxx)"


class ExpectDateNotInFuture(CheckExpectation):
    sentence = "{column} is not after the data cut-off"


class ExpectIdToDecode(CheckExpectation):
    sentence = "{column} decodes to a source row of a registered part"


class ExpectPlausibleValue(CheckExpectation):
    sentence = "{column} is plausible for {argument} and its unit"


class ExpectErasApart(CheckExpectation):
    sentence = "eras of a person with the same {argument} do not overlap, by {column}"


class ExpectRowsNotToRepeat(CheckExpectation):
    sentence = "no two rows of a person are alike in {column}, {argument}"


class ExpectRowsToBeReferredTo(CheckExpectation):
    sentence = "each {column} is referred to by some row"


class ExpectRowsToBeAccountedFor(CheckExpectation):
    sentence = "each landed row of {column} is in the CDM or excluded by a named rule"


class ExpectRowsLandedOrRejected(CheckExpectation):
    sentence = "received rows of {column} are as many as landed and rejected ones"


class ExpectRowsUsedOrExcluded(CheckExpectation):
    sentence = "landed rows of {column} are as many as used, excluded and unaccounted ones"


class ExpectRowsFromLanded(CheckExpectation):
    sentence = "each CDM row of {column} decodes to a landed row"


class ExpectRowsAsInLastRelease(CheckExpectation):
    sentence = "{column} has about as many rows as in the last accepted release"


class ExpectPersonsAsInLastRelease(CheckExpectation):
    sentence = "there are about as many persons as in the last accepted release"


class ExpectMonthsAsInLastRelease(CheckExpectation):
    sentence = "{column} keeps its rows of months that are over"


class ExpectMappedShareAsInLastRelease(CheckExpectation):
    sentence = "{column} is mapped as often as in the last accepted release"


class ExpectTopConceptsToStay(CheckExpectation):
    sentence = "the most frequent concepts of {column} are still there"


class ExpectChecksAsInLastRelease(CheckExpectation):
    sentence = "not many more checks fail than in the last accepted release"


GROUP = "expect_dashboard_checks_to_hold"
# Names, not classes: a suite names its expectations as a stored suite would, and GX looks them up in its registry.
TYPES = {
    "has_rows": "expect_table_to_have_rows",
    "columns": "expect_specified_columns",
    "types": "expect_specified_types",
    "required": "expect_required_values",
    "length": "expect_text_to_fit",
    "primary_key": "expect_primary_key_to_be_unique",
    "unique": "expect_one_row_each",
    "foreign_key": "expect_foreign_key_to_exist",
    "concept_domain": "expect_concept_of_domain",
    "concept_class": "expect_concept_of_class",
    "standard_concept": "expect_standard_concept",
    "unmapped": "expect_mapped_concept",
    "dates_in_order": "expect_dates_in_order",
    "after_birth": "expect_date_after_birth",
    "before_death": "expect_date_before_death",
    "within_observation_period": "expect_date_within_observation_period",
    "same_person": "expect_visit_of_same_person",
    "within_visit": "expect_date_within_visit",
    "no_overlap": "expect_periods_not_to_overlap",
    "stays_apart": "expect_stays_apart",
    "in_range": "expect_value_in_range",
    "current_type": "expect_current_type",
    "not_in_future": "expect_date_not_in_future",
    "decodes": "expect_id_to_decode",
    "plausible_value": "expect_plausible_value",
    "eras_apart": "expect_eras_apart",
    "no_repeat": "expect_rows_not_to_repeat",
    "referred_to": "expect_rows_to_be_referred_to",
    "accounting": "expect_rows_to_be_accounted_for",
    "landed_or_rejected": "expect_rows_landed_or_rejected",
    "used_or_excluded": "expect_rows_used_or_excluded",
    "from_landed": "expect_rows_from_landed",
    # drift
    "rows": "expect_rows_as_in_last_release",
    "persons": "expect_persons_as_in_last_release",
    "rows_by_month": "expect_months_as_in_last_release",
    "mapped_share": "expect_mapped_share_as_in_last_release",
    "top_concepts": "expect_top_concepts_to_stay",
    "checks": "expect_checks_as_in_last_release",
}
