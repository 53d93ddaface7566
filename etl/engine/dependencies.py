"""What a SQL text reads, derived from its syntax tree."""

from functools import lru_cache

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.scope import traverse_scope

from etl.engine.template import PLACEHOLDER
from etl.errors import CdmflowError


def parse(sql_text: str) -> exp.Expression:
    """The syntax tree of one SELECT; placeholders count as numbers. Two statements or none are an error."""
    try:
        statements = [tree for tree in sqlglot.parse(PLACEHOLDER.sub("0", sql_text), read="duckdb") if tree is not None]
    except SqlglotError as error:
        raise CdmflowError(f"This SQL cannot be parsed: {str(error).splitlines()[0]}") from None
    if len(statements) != 1 or not isinstance(statements[0], exp.Query):
        raise CdmflowError("A SQL file holds exactly one SELECT.")
    return statements[0]


@lru_cache(maxsize=512)
def inputs_of(sql_text: str) -> frozenset[str]:
    """The relations that a SELECT reads, as `schema.table`; a CTE that shadows a table is not one of them."""
    found = set()
    for scope in traverse_scope(parse(sql_text)):
        for source in scope.sources.values():
            if isinstance(source, exp.Table):
                if not isinstance(source.this, exp.Identifier):
                    raise CdmflowError(f"A table function hides its inputs: {source.sql(dialect='duckdb')[:80]}")
                if not source.db:
                    raise CdmflowError(f"{source.name} is neither a CTE nor written as schema.table.")
                found.add(f"{source.db}.{source.name}".lower())
    return frozenset(found)
