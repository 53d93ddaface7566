"""Checks of concept fields, on the few distinct concepts of each field rather than on its rows.

2.5 million rows hold a few thousand different concept ids: they are grouped once per field, looked up in `concept`
once for all tables, and every check of a field is then a sum over what is left.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from etl.cdm import quoted
from etl.quality.candidate import Connection, relation_of
from etl.quality.model import Check

TYPES = ("concept_domain", "concept_class", "standard_concept", "unmapped")


@dataclass(frozen=True)
class Used:
    """`rows` rows of a field whose concept is like this. Concept 0 is not mapped; a known one is in `concept`.

    An `invalid` one was withdrawn or replaced.
    """

    table: str
    column: str
    mapped: bool
    known: bool
    domain: str | None
    concept_class: str | None
    standard: bool
    invalid: bool
    rows: int


def is_concept_check(check: Check) -> bool:
    return check.check_type in TYPES or (
        check.check_type == "foreign_key" and check.argument[0].split(".")[0] == "concept"
    )


def used_concepts(con: Connection, fields: Iterable[tuple[str, str]]) -> list[Used]:
    """How many rows of each concept field (table, column) hold which kind of concept; a few hundred rows in all."""
    grouped = " UNION ALL ".join(
        f"SELECT '{table}' AS field_table, '{column}' AS field_column, {quoted(column)} AS concept_id, count(*) AS n "
        f"FROM {relation_of(table)} WHERE {quoted(column)} IS NOT NULL GROUP BY {quoted(column)}"
        for table, column in sorted(set(fields))
    )
    con.execute(f"CREATE TEMP TABLE used AS {grouped or NOTHING_USED}")
    con.execute(
        "CREATE TEMP TABLE known AS SELECT concept_id, min(domain_id) AS domain_id, "
        "min(concept_class_id) AS concept_class_id, min(standard_concept) AS standard_concept, "
        "min(invalid_reason) AS invalid_reason, count(*) AS times FROM vocabulary.concept "
        "WHERE concept_id IN (SELECT concept_id FROM used) GROUP BY concept_id"
    )
    rows = con.execute(
        "SELECT field_table, field_column, concept_id <> 0, known.concept_id IS NOT NULL, domain_id, concept_class_id, "
        "coalesce(standard_concept = 'S', false), invalid_reason IS NOT NULL, CAST(sum(n) AS BIGINT) "
        "FROM used LEFT JOIN known USING (concept_id) GROUP BY ALL"
    ).fetchall()
    return [Used(*row) for row in rows]


def are_concepts_doubled(con: Connection) -> bool:
    """Whether a used concept stands more than once in the vocabulary."""
    return bool(con.execute("SELECT 1 FROM known WHERE times > 1 LIMIT 1").fetchall())


NOTHING_USED = (
    "SELECT CAST(NULL AS VARCHAR) AS field_table, CAST(NULL AS VARCHAR) AS field_column, "
    "CAST(NULL AS INTEGER) AS concept_id, CAST(NULL AS BIGINT) AS n WHERE false"
)


def count_concepts(check: Check, used: Sequence[Used]) -> tuple[int, int]:
    """Violated rows and rows counted, of one check; `used` are its field's.

    A foreign key counts every row that has a concept; domain, class and standard those with a known concept other
    than 0 (an unknown one is the foreign key's finding, an unmapped one is `unmapped`'s).
    """
    counted, violates = RULES[check.check_type]
    within = [group for group in used if counted(group)]
    return sum(group.rows for group in within if violates(group, check)), sum(group.rows for group in within)


def violating_concepts(con: Connection, check: Check) -> list[int]:
    """The concepts of a field that violate a check; `used_concepts` has looked the field up before."""
    counted, violates = RULES[check.check_type]
    rows = con.execute(
        "SELECT concept_id, concept_id <> 0, known.concept_id IS NOT NULL, coalesce(domain_id, ''), "
        "coalesce(concept_class_id, ''), coalesce(standard_concept = 'S', false), invalid_reason IS NOT NULL, n "
        "FROM used LEFT JOIN known USING (concept_id) "
        f"WHERE field_table = '{check.table}' AND field_column = '{check.column}'"
    ).fetchall()
    found = [(row[0], Used(check.table, check.column, *row[1:])) for row in rows]
    return [concept_id for concept_id, group in found if counted(group) and violates(group, check)]


def _any(group: Used) -> bool:
    return True


def _mapped(group: Used) -> bool:
    return group.mapped and group.known


RULES: dict[str, tuple[Callable[[Used], bool], Callable[[Used, Check], bool]]] = {
    "foreign_key": (_any, lambda group, check: not group.known),
    "unmapped": (_any, lambda group, check: not group.mapped),
    "standard_concept": (_mapped, lambda group, check: not group.standard),
    "concept_domain": (_mapped, lambda group, check: group.domain not in check.argument),
    "concept_class": (_mapped, lambda group, check: group.concept_class not in check.argument),
}
