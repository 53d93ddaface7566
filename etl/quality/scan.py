"""One aggregate scan per table: the SQL that counts all its row-wise checks at once.

Each check becomes two aggregates, violated and denominator; equal ones are computed once. A check of another table's
rows (foreign keys, life, visits) is a left join with a relation of `candidate` that is unique by key, so rows never
multiply.
"""

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from etl.cdm import Table, quoted, tables
from etl.quality.candidate import relation_of
from etl.quality.model import Check

# A death certificate, an autopsy or a bill may follow; the Data Quality Dashboard's limit.
DAYS_AFTER_DEATH = 60
# Type concepts of these thousands (38000xxx, 44818xxx) were withdrawn in 2020 for the ones from 32809 on.
OLD_TYPES = (38000, 44818)


@dataclass
class Scan:
    """The aggregates of one table's scan and the joins they need, in order of arrival."""

    table: Table
    aggregates: dict[str, int] = field(default_factory=dict)
    joins: dict[str, str] = field(default_factory=dict)
    counts: dict[str, tuple[int, int]] = field(default_factory=dict)

    def count(self, expression: str) -> int:
        return self.aggregates.setdefault(expression, len(self.aggregates))

    def parent(self, column: str, table: str) -> str:
        """The alias of the table that a column refers to, joined once."""
        alias = f"parent_{column}"
        self.joins[alias] = f"LEFT JOIN key_{table} AS {alias} ON t.{quoted(column)} = {alias}.key"
        return alias

    def facts(self) -> str:
        """The alias of the candidate's one row of facts: its cut-off and its source's part numbers."""
        self.joins["facts"] = "CROSS JOIN facts"
        return "facts"

    def life(self) -> str:
        self.joins["life"] = "LEFT JOIN life ON t.person_id = life.person_id"
        return "life"

    def selects(self, without: Collection[str] = ()) -> dict[str, list[str]]:
        """The aggregates by SELECT: one without a join, and one for each joined relation; those `without` are known.

        A join hands on every column that is read, so one with all joins took twice the time of narrow ones.
        """
        by_alias: dict[str, list[str]] = {}
        for aggregate in (each for each in self.aggregates if each not in without):
            alias = next((alias for alias in self.joins if re.search(rf"\b{alias}\.", aggregate)), "")
            by_alias.setdefault(alias, []).append(aggregate)
        rows = f"{relation_of(self.table.name)} AS t"
        return {
            f"SELECT {', '.join(aggregates)} FROM {rows} {self.joins.get(alias, '')}": aggregates
            for alias, aggregates in by_alias.items()
        }


def plan_scan(table: Table, checks: Sequence[Check]) -> Scan:
    """The scan that counts these checks; those of types not counted by a scan are left to others."""
    scan = Scan(table)
    for check in checks:
        aggregates = aggregates_of(check, scan)
        if aggregates:
            violated, denominator = aggregates
            scan.counts[check.check_id] = (scan.count(violated), scan.count(denominator))
    return scan


def parents_of(table: Table, checks: Sequence[Check]) -> set[str]:
    """The tables whose keys this scan joins; persons come with `life`, concepts are checked apart."""
    fields = {column.name: column.foreign_table for column in table.fields}
    parents = {
        fields.get(column, "")
        for check in checks
        if check.check_type in ("foreign_key", "same_person", "within_visit")
        for column in (check.column, *check.argument)
    }
    return parents - {"", "person", "concept"}


def aggregates_of(check: Check, scan: Scan) -> tuple[str, str] | None:
    """The two aggregates of a check, or None for a type that is not counted by the scan."""
    builder = BUILDERS.get(check.check_type)
    return builder(check, scan) if builder else None


def condition_of(check: Check, scan: Scan) -> str | None:
    """When a row `t` of the table violates a check, or None for a check that does not count rows one by one.

    `scan` takes up the joins that the condition needs.
    """
    aggregates = aggregates_of(check, scan)
    violated = aggregates[0] if aggregates else ""
    if missing := MISSING.fullmatch(violated):
        return f"{missing['column']} IS NULL"
    found = FILTERED.fullmatch(violated)
    return found["condition"] if found else None


MISSING = re.compile(r"count\(\*\) - count\((?P<column>t\.\"\w+\")\)")
FILTERED = re.compile(r"count\(\*\) FILTER \(WHERE (?P<condition>.*)\)", re.DOTALL)


def _filtered(condition: str) -> str:
    return f"count(*) FILTER (WHERE {condition})"


def _required(check: Check, scan: Scan) -> tuple[str, str]:
    return f"count(*) - count(t.{quoted(check.column)})", "count(*)"


def _length(check: Check, scan: Scan) -> tuple[str, str]:
    # strlen counts bytes without decoding: only texts that may be too long are counted by character.
    column, limit = f"t.{quoted(check.column)}", check.argument[0]
    return _filtered(f"strlen({column}) > {limit} AND length({column}) > {limit}"), f"count({column})"


def _unique(check: Check, scan: Scan) -> tuple[str, str]:
    column = f"t.{quoted(check.column)}"
    return f"count({column}) - count(DISTINCT {column})", f"count({column})"


def _foreign_key(check: Check, scan: Scan) -> tuple[str, str] | None:
    parent = check.argument[0].split(".")[0]
    column = f"t.{quoted(check.column)}"
    if parent == "concept":
        return None
    key = f"{scan.life()}.is_person" if parent == "person" else f"{scan.parent(check.column, parent)}.key"
    return _filtered(f"{column} IS NOT NULL AND {key} IS NULL"), f"count({column})"


def _dates_in_order(check: Check, scan: Scan) -> tuple[str, str]:
    start, end = f"t.{quoted(check.column)}", f"t.{quoted(check.argument[0])}"
    return _filtered(f"{start} > {end}"), _filtered(f"{start} IS NOT NULL AND {end} IS NOT NULL")


def _after_birth(check: Check, scan: Scan) -> tuple[str, str]:
    column, life = f"t.{quoted(check.column)}", scan.life()
    known = f"{column} IS NOT NULL AND {life}.birth_date IS NOT NULL"
    return _filtered(f"{column} < {life}.birth_date"), _filtered(known)


def _before_death(check: Check, scan: Scan) -> tuple[str, str]:
    column, life = f"t.{quoted(check.column)}", scan.life()
    known = f"{column} IS NOT NULL AND {life}.death_date IS NOT NULL"
    return _filtered(f"{column} > {life}.death_date + {DAYS_AFTER_DEATH}"), _filtered(known)


def _within_observation_period(check: Check, scan: Scan) -> tuple[str, str]:
    column, life = f"t.{quoted(check.column)}", scan.life()
    observed = f"coalesce({column} BETWEEN {life}.observed_from AND {life}.observed_to, false)"
    in_gap = f"lambda gap: {column} > gap.after AND {column} < gap.before"
    outside = f"NOT {observed} OR len(list_filter({life}.gaps, {in_gap})) > 0"
    return _filtered(f"{column} IS NOT NULL AND ({outside})"), f"count({column})"


def _same_person(check: Check, scan: Scan) -> tuple[str, str]:
    visit = scan.parent(check.column, check.argument[0])
    return _filtered(f"t.person_id <> {visit}.person_id"), f"count({visit}.key)"


def _within_visit(check: Check, scan: Scan) -> tuple[str, str]:
    visit_column = check.argument[0]
    parent = next(column.foreign_table for column in scan.table.fields if column.name == visit_column)
    column, visit = f"t.{quoted(check.column)}", scan.parent(visit_column, parent)
    outside = f"{column} < {visit}.start_date OR {column} > {visit}.end_date"
    return _filtered(outside), _filtered(f"{column} IS NOT NULL AND {visit}.key IS NOT NULL")


def _in_range(check: Check, scan: Scan) -> tuple[str, str]:
    column, (least, most) = f"t.{quoted(check.column)}", check.argument[0].split("..")
    return _filtered(f"{column} NOT BETWEEN {int(least)} AND {int(most)}"), f"count({column})"


def _current_type(check: Check, scan: Scan) -> tuple[str, str]:
    column = f"t.{quoted(check.column)}"
    return _filtered(" OR ".join(f"{column} // 1000 = {block}" for block in OLD_TYPES)), f"count({column})"


def _not_in_future(check: Check, scan: Scan) -> tuple[str, str]:
    # Against the candidate's own cut-off, so that a night judged again a year later is judged alike.
    column, facts = f"t.{quoted(check.column)}", scan.facts()
    known = f"{column} IS NOT NULL AND {facts}.cutoff IS NOT NULL"
    return _filtered(f"{column} > {facts}.cutoff"), _filtered(known)


def _decodes(check: Check, scan: Scan) -> tuple[str, str]:
    # A candidate of an unknown source has no parts, so none of its ids decodes.
    column, facts = f"t.{quoted(check.column)}", scan.facts()
    part, row = f"{column} // 100 % 1000", f"{column} // 100000"
    decodes = f"{row} > 0 AND list_contains({facts}.parts, {part})"
    return _filtered(f"{column} IS NOT NULL AND NOT ({decodes})"), f"count({column})"


def _plausible_value(check: Check, scan: Scan) -> tuple[str, str]:
    column, concept = f"t.{quoted(check.column)}", f"t.{quoted(check.argument[0])}"
    scan.joins["plausible"] = (
        f"LEFT JOIN plausible ON {concept} = plausible.concept_id AND t.unit_concept_id = plausible.unit_concept_id"
    )
    known = f"{column} IS NOT NULL AND plausible.concept_id IS NOT NULL"
    return _filtered(f"{column} NOT BETWEEN plausible.low AND plausible.high"), _filtered(known)


def _has_rows(check: Check, scan: Scan) -> tuple[str, str]:
    return "CAST(count(*) = 0 AS BIGINT)", "1"


BUILDERS: dict[str, Callable[[Check, Scan], tuple[str, str] | None]] = {
    "has_rows": _has_rows,
    "required": _required,
    "length": _length,
    "primary_key": _unique,
    "unique": _unique,
    "foreign_key": _foreign_key,
    "dates_in_order": _dates_in_order,
    "after_birth": _after_birth,
    "before_death": _before_death,
    "within_observation_period": _within_observation_period,
    "same_person": _same_person,
    "within_visit": _within_visit,
    "in_range": _in_range,
    "current_type": _current_type,
    "not_in_future": _not_in_future,
    "decodes": _decodes,
    "plausible_value": _plausible_value,
}


def alone_sql(check: Check) -> str:
    """The query of a check that compares a table's rows with each other, or counts another table's."""
    return ALONE[check.check_type](check)


def _overlap_sql(check: Check) -> str:
    """Rows of a person that begin on or before the end of an earlier one, and all rows: a window of its own.

    `stays_apart` counts only visits of its concepts, `eras_apart` compares the eras of the same concept (and dose).
    """
    return f"SELECT count(*) FILTER (WHERE starts <= ended), count(*) FROM ({spans_sql(check)})"


def spans_sql(check: Check, columns: str = "") -> str:
    """The rows that `_overlap_sql` counts: when each starts, and the latest end of the earlier ones."""
    start, end, only, of = quoted(check.column), quoted(check.argument[0]), "", ["person_id"]
    if check.check_type == "stays_apart":
        end = quoted("visit_end_date")
        only = f" WHERE visit_concept_id IN ({', '.join(str(int(concept)) for concept in check.argument)})"
    if check.check_type == "eras_apart":
        end = quoted(check.column.replace("_start_", "_end_"))
        of += check.argument
    return (
        f"SELECT {columns}{start} AS starts, max({end}) OVER (PARTITION BY {_listed(of)} ORDER BY {start}, {end} "
        f"ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS ended FROM cdm.{quoted(check.table)}{only}"
    )


def _repeat_sql(check: Check) -> str:
    """Rows beyond the first that are alike in person, this column and the argument's; NULL is like NULL.

    Grouped by a hash of 64 bits within a person, which is half of the time of grouping by the texts: among a million
    rows of one person two different ones are alike with a probability of 3 in 100 million.
    """
    alike = _listed([check.column, *check.argument])
    return (
        "SELECT coalesce(sum(n - 1), 0), coalesce(sum(n), 0) FROM ("
        f"SELECT count(*) AS n FROM cdm.{quoted(check.table)} GROUP BY person_id, hash({alike}))"
    )


def _referred_sql(check: Check) -> str:
    """Rows of a place or provider that no row of any table refers to, and all rows."""
    key = quoted(check.column)
    return (
        "SELECT count(*) FILTER (WHERE used.key IS NULL), count(*) FROM "
        f"(SELECT {key} AS key FROM cdm.{quoted(check.table)} WHERE {key} IS NOT NULL) AS here "
        f"LEFT JOIN ({referring_sql(check.table)}) AS used ON here.key = used.key"
    )


def referring_sql(table: str) -> str:
    """The keys of a table that any row of the CDM refers to, each once."""
    used = " UNION ALL ".join(
        f"SELECT {quoted(column)} AS key FROM cdm.{quoted(name)}" for name, column in references_to(table)
    )
    return f"SELECT key FROM ({used}) GROUP BY key"


def references_to(table: str) -> list[tuple[str, str]]:
    """Table and column of every field of the CDM that refers to a table."""
    return [
        (name, column.name)
        for name, other in tables().items()
        if other.schema == "CDM"
        for column in other.fields
        if column.foreign_table == table
    ]


def _listed(columns: Sequence[str]) -> str:
    return ", ".join(quoted(column) for column in columns)


ALONE: dict[str, Callable[[Check], str]] = {
    "no_overlap": _overlap_sql,
    "stays_apart": _overlap_sql,
    "eras_apart": _overlap_sql,
    "no_repeat": _repeat_sql,
    "referred_to": _referred_sql,
}
