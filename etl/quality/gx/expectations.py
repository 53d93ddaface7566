"""The gate's own expectations: one per check type, each deciding on the counts of a table's checks of that type.

A batch is the frame of a suite's counted checks, each with the id of the expectation that was asked about it. All
expectations share one metric, the frame as a mapping, so a suite costs one pass however many checks it has. An
expectation holds all checks of a table that have one type and severity: 2,800 checks in some 700 expectations.
Importing this module registers them; Great Expectations leaves out what it does not know, which is why `decision`
compares answered with asked.
"""

from collections import defaultdict
from typing import Any, ClassVar

from great_expectations.execution_engine import PandasExecutionEngine
from great_expectations.expectations.expectation import BatchExpectation
from great_expectations.expectations.expectation_configuration import ExpectationConfiguration
from great_expectations.expectations.metrics.metric_provider import metric_value
from great_expectations.expectations.metrics.table_metric_provider import TableMetricProvider
from great_expectations.render import RenderedStringTemplateContent
from great_expectations.render.renderer.renderer import renderer

COUNTS = "cdmflow.check_counts"
SHOWN = 20  # check ids that an answer names
Counted = tuple[str, int, int, float, str]


class CheckCounts(TableMetricProvider):  # type: ignore[misc]
    """The frame as asked → (check_id, violated, denominator, allowed percent, status) of each check."""

    metric_name = COUNTS

    @metric_value(engine=PandasExecutionEngine)  # type: ignore[untyped-decorator]
    def _pandas(
        cls,  # noqa: N805 - the decorator makes it a class method
        execution_engine: PandasExecutionEngine,
        metric_domain_kwargs: dict[str, Any],
        metric_value_kwargs: dict[str, Any],
        metrics: dict[str, Any],
        runtime_configuration: dict[str, Any],
    ) -> dict[str, list[Counted]]:
        frame, _, _ = execution_engine.get_compute_domain(metric_domain_kwargs, domain_type="table")
        found: dict[str, list[Counted]] = defaultdict(list)
        columns = ("asked", "check_id", "violated", "denominator", "allowed_percent", "status")
        for asked, check_id, violated, denominator, allowed, status in zip(
            *(frame[column] for column in columns), strict=True
        ):
            found[asked].append((check_id, int(violated), int(denominator), float(allowed), status))
        return dict(found)


class CheckExpectation(BatchExpectation):  # type: ignore[misc]
    """All of its checks hold: each has at most its allowed share of violated rows, or does not apply.

    `checks` says how many there are. One that is not in the frame is an error, never a success; so is one more.
    """

    metric_dependencies = (COUNTS,)
    success_keys = ("asked", "checks", "told")
    sentence: ClassVar[str] = ""

    asked: str
    checks: int
    told: str

    @classmethod
    def is_abstract(cls) -> bool:
        return not cls.sentence

    @property
    def configuration(self) -> ExpectationConfiguration:
        """What Great Expectations makes of the fields, without its way through pydantic.

        It asks 28 times an expectation: a third of the time of a validation.
        """
        kwargs = {"asked": self.asked, "checks": self.checks, "told": self.told}
        if self.batch_id is not None:
            kwargs["batch_id"] = self.batch_id
        return ExpectationConfiguration(
            type=type(self).expectation_type,
            kwargs=kwargs,
            meta=self.meta,
            notes=self.notes,
            description=self.description,
            severity=self.severity,
            id=self.id,
            rendered_content=self.rendered_content,
        )

    def _validate(
        self,
        metrics: dict[str, Any],
        runtime_configuration: dict[str, Any] | None = None,
        execution_engine: Any = None,
    ) -> dict[str, Any]:
        rows = metrics[COUNTS][self.asked]
        if len(rows) != self.checks:
            raise ValueError(f"{len(rows)} of {self.checks} checks were counted")
        broken = [check_id for check_id, *counts in rows if _is_broken(*counts)]
        named = ": " + ", ".join(broken[:SHOWN]) + (" …" if len(broken) > SHOWN else "") if broken else ""
        return {
            "success": not broken,
            "result": {
                "observed_value": f"{len(rows) - len(broken):,} of {len(rows):,} hold{named and f', not{named}'}",
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
        severity = getattr(configuration.severity, "value", configuration.severity)
        template = {"template": "$sentence", "params": {"sentence": f"{configuration.kwargs['told']} ({severity})"}}
        return [RenderedStringTemplateContent(content_block_type="string_template", string_template=template)]


def _is_broken(violated: int, denominator: int, allowed: float, status: str) -> bool:
    """An error never holds, what does not apply does; nothing allowed means no row, otherwise no greater share."""
    if status == "error":
        return True
    return status != "not_applicable" and violated > 0 and violated * 100 > allowed * denominator


class ExpectDashboardChecksToHold(CheckExpectation):
    sentence = "OHDSI's Data Quality Dashboard: {column}"


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


TYPES: dict[str, type[CheckExpectation]] = {
    "has_rows": ExpectTableToHaveRows,
    "columns": ExpectSpecifiedColumns,
    "types": ExpectSpecifiedTypes,
    "required": ExpectRequiredValues,
    "length": ExpectTextToFit,
    "primary_key": ExpectPrimaryKeyToBeUnique,
    "unique": ExpectOneRowEach,
    "foreign_key": ExpectForeignKeyToExist,
    "concept_domain": ExpectConceptOfDomain,
    "concept_class": ExpectConceptOfClass,
    "standard_concept": ExpectStandardConcept,
    "unmapped": ExpectMappedConcept,
    "dates_in_order": ExpectDatesInOrder,
    "after_birth": ExpectDateAfterBirth,
    "before_death": ExpectDateBeforeDeath,
    "within_observation_period": ExpectDateWithinObservationPeriod,
    "same_person": ExpectVisitOfSamePerson,
    "within_visit": ExpectDateWithinVisit,
    "no_overlap": ExpectPeriodsNotToOverlap,
    "stays_apart": ExpectStaysApart,
    "in_range": ExpectValueInRange,
    "current_type": ExpectCurrentType,
    "not_in_future": ExpectDateNotInFuture,
    "decodes": ExpectIdToDecode,
    "plausible_value": ExpectPlausibleValue,
    "eras_apart": ExpectErasApart,
    "no_repeat": ExpectRowsNotToRepeat,
    "referred_to": ExpectRowsToBeReferredTo,
    "accounting": ExpectRowsToBeAccountedFor,
    "landed_or_rejected": ExpectRowsLandedOrRejected,
    "used_or_excluded": ExpectRowsUsedOrExcluded,
    "from_landed": ExpectRowsFromLanded,
    # drift
    "rows": ExpectRowsAsInLastRelease,
    "persons": ExpectPersonsAsInLastRelease,
    "rows_by_month": ExpectMonthsAsInLastRelease,
    "mapped_share": ExpectMappedShareAsInLastRelease,
    "top_concepts": ExpectTopConceptsToStay,
    "checks": ExpectChecksAsInLastRelease,
}
