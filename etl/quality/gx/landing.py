"""Landing suites: Great Expectations' own expectations on landed Parquet, one suite per source table.

All are critical: the loader has quarantined what breaks the contract, so a violation is a fault of the landing itself.
No regular expressions (not supported on DuckDB), and nothing that fetches a value.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from great_expectations.core.expectation_validation_result import ExpectationSuiteValidationResult

from etl.config import Settings
from etl.quality.gx.duckdb_source import add_parquet_source, close_source
from etl.quality.gx.session import ASKED, Asked, context, validate
from etl.quality.model import LandedTable

Expectation = dict[str, Any]


def ask_landing(tables: Sequence[LandedTable]) -> dict[str, list[Expectation]]:
    """The suites of these tables, by table."""
    return {table.name: _suite(table) for table in tables}


def validate_landing(
    settings: Settings, tables: Sequence[LandedTable], suites: Mapping[str, Sequence[Expectation]]
) -> list[ExpectationSuiteValidationResult]:
    """Run the suites on the tables' files; the stripped results, one per suite."""
    if not tables:
        return []
    ctx = context()
    config = {"threads": settings.workers, "memory_limit": settings.memory_limit}
    source, batches = add_parquet_source(ctx, {table.name: table.path for table in tables}, config)
    try:
        return validate(Asked(batches, suites))
    finally:
        close_source(source)


def _suite(table: LandedTable) -> list[Expectation]:
    named = dict.fromkeys((*table.columns, *table.key, *table.required_columns, "source_row_id"))
    suite = [
        _ask(table, "row_count", "expect_table_row_count_to_equal", value=table.rows),
        _ask(table, "columns", "expect_table_columns_to_match_set", column_set=list(named), exact_match=False),
    ]
    suite += [
        _ask(table, f"required.{column}", "expect_column_values_to_not_be_null", column=column)
        for column in dict.fromkeys((*table.key, *table.required_columns))
        if column not in table.optional_columns
    ]
    if len(table.key) == 1:
        suite.append(_distinct(table, "key", table.key[0]))
    elif table.key:
        suite.append(_ask(table, "key", "expect_compound_columns_to_be_unique", column_list=list(table.key)))
    if table.rows:
        suite += _contiguous(table)
    return suite


def _contiguous(table: LandedTable) -> list[Expectation]:
    """As many different ids as rows, between the first and the last: then none is missing."""
    first, last = table.first_source_row_id, table.first_source_row_id + table.rows - 1
    column = "source_row_id"
    return [
        _ask(table, f"{column}.required", "expect_column_values_to_not_be_null", column=column),
        _distinct(table, f"{column}.unique", column),
        _ask(
            table, f"{column}.first", "expect_column_min_to_be_between", column=column, min_value=first, max_value=first
        ),
        _ask(table, f"{column}.last", "expect_column_max_to_be_between", column=column, min_value=last, max_value=last),
    ]


def _distinct(table: LandedTable, question: str, column: str) -> Expectation:
    """As many different values as rows: one count(distinct), where asking for unique values is a self-join."""
    limits = {"min_value": table.rows, "max_value": table.rows}
    return _ask(table, question, "expect_column_unique_value_count_to_be_between", column=column, **limits)


def _ask(table: LandedTable, question: str, expectation_type: str, **kwargs: Any) -> Expectation:
    return {
        "type": expectation_type,
        "kwargs": kwargs,
        "severity": "critical",
        "meta": {ASKED: f"{table.name}.{question}"},
    }
