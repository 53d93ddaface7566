"""Two versions of a table lined up by what rows mean, every difference given to a named rule.

A comparison is a YAML file, one per table:

    what: one sentence about the table
    reference: SELECT of the published rows, in the columns to compare
    ours: SELECT of our rows, in the same columns and types
    line_up: [[column, …], …]     how a row finds its counterpart: by the first list, what is left by the next
    rules:
      - name: what the difference is
        side: both | reference | ours        a pair that differs, or a row that only one side has
        columns: [column, …]                 both: whose difference the rule explains
        form: true                           both: the same fact, only written otherwise
        more: true                           both: we tell what the reference leaves empty (NULL or 0)
        when: SQL condition on the aliases `reference` and `ours`; {column} is the column in question
        why: one sentence

Rows that agree in all columns are paired first. Every column of a pair that differs, and every row without a
counterpart, goes to the first rule whose condition holds; where none holds it is unexplained.
"""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import yaml

UNEXPLAINED = "unexplained"
SIDES = ("both", "reference", "ours")


@dataclass(frozen=True)
class Rule:
    name: str
    side: str
    when: str
    why: str
    columns: tuple[str, ...] = ()
    form: bool = False
    more: bool = False

    @property
    def condition(self) -> str:
        """`when`, and for a rule of `more` that the reference is empty there."""
        empty = "coalesce(CAST(reference.{column} AS varchar), '0') = '0'"
        return f"({self.when}) AND {empty}" if self.more else self.when


@dataclass(frozen=True)
class Comparison:
    table: str
    what: str
    reference: str
    ours: str
    line_up: tuple[tuple[str, ...], ...]
    rules: tuple[Rule, ...]


@dataclass(frozen=True)
class Result:
    """Rows of a comparison. Pairs are `equal` in all columns, the `same` but for rules of form, the same but that ours
    say `more`, or `different`.

    `by_rule` counts rows by (side, rule); a pair with two differences counts for both rules.
    `samples` are keys of unexplained rows: source keys and codes, no other values.
    """

    table: str
    reference: int
    ours: int
    equal: int
    same: int
    more: int
    different: int
    only_reference: int
    only_ours: int
    by_rule: dict[tuple[str, str], int]
    samples: list[str] = field(default_factory=list)

    @property
    def unexplained(self) -> int:
        return sum(count for (_, rule), count in self.by_rule.items() if rule == UNEXPLAINED)


def load_comparison(path: Path) -> Comparison:
    """Read a file, refusing rules that could explain anything: without a condition, a reason or a known side."""
    text = yaml.safe_load(path.read_text(encoding="utf-8"))
    rules = tuple(Rule(**{**rule, "columns": tuple(rule.get("columns", ()))}) for rule in text.get("rules", []))
    for rule in rules:
        if rule.side not in SIDES or not rule.why.strip() or rule.when.strip().lower() in ("", "true"):
            raise ValueError(f"{path.name}: rule {rule.name!r} lacks a side, a reason or a condition")
        if (rule.side == "both") != bool(rule.columns):
            raise ValueError(f"{path.name}: rule {rule.name!r}: columns belong to rules of pairs, and only to them")
        if (rule.form or rule.more) and rule.side != "both":
            raise ValueError(f"{path.name}: rule {rule.name!r}: only pairs can be the same fact or say more of it")
    if len({(rule.side, rule.name) for rule in rules}) < len(rules):
        raise ValueError(f"{path.name}: two rules of one side have the same name")
    line_up = tuple(tuple(columns) for columns in text["line_up"])
    return Comparison(path.stem, text["what"], text["reference"], text["ours"], line_up, rules)


def compare(con: duckdb.DuckDBPyConnection, comparison: Comparison) -> Result:
    """Line the two SELECTs up and classify every row; leaves the tables `pair`, `reference_alone` and `ours_alone`."""
    for side in ("reference", "ours"):
        rows = f"({getattr(comparison, side)})"
        ordered = ", ".join(_columns(con, f"SELECT * FROM {rows}"))
        con.execute(
            f"CREATE OR REPLACE TEMP TABLE {side}_row AS "
            f"SELECT row_number() OVER (ORDER BY {ordered}) AS row_no, * FROM {rows}"
        )
    columns = _columns(con, "reference_row")
    if columns != _columns(con, "ours_row"):
        raise ValueError(f"{comparison.table}: the two sides differ in columns: {columns}, {_columns(con, 'ours_row')}")
    _line_up(con, comparison, list(columns))
    counts = Counter(dict.fromkeys(((rule.side, rule.name) for rule in comparison.rules), 0))
    counts.update(_classify_pairs(con, comparison, list(columns)))
    for side in ("reference", "ours"):
        counts.update(_classify_alone(con, comparison, side))
    sizes = {name: _count(con, name) for name in ("reference_row", "ours_row", "reference_alone", "ours_alone")}
    forms = ", ".join(quoted(rule.name) for rule in comparison.rules if rule.form)
    harmless = ", ".join(quoted(rule.name) for rule in comparison.rules if rule.form or rule.more)
    [(equal, same, more)] = con.execute(
        f"""
        SELECT
            count(*) FILTER (WHERE len(rules) = 0),
            count(*) FILTER (WHERE len(rules) > 0 AND list_has_all([{forms}]::varchar[], rules)),
            count(*) FILTER (
                WHERE list_has_all([{harmless}]::varchar[], rules) AND NOT list_has_all([{forms}]::varchar[], rules)
            )
        FROM pair_rules
        """
    ).fetchall()
    return Result(
        comparison.table,
        sizes["reference_row"],
        sizes["ours_row"],
        equal,
        same,
        more,
        _count(con, "pair") - equal - same - more,
        sizes["reference_alone"],
        sizes["ours_alone"],
        {key: counts[key] for key in [*((r.side, r.name) for r in comparison.rules), *counts]},
        _samples(con, comparison),
    )


def quoted(text: str) -> str:
    """A SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


def _columns(con: duckdb.DuckDBPyConnection, table: str) -> dict[str, str]:
    return {name: kind for name, kind, *_ in con.execute(f"DESCRIBE {table}").fetchall() if name != "row_no"}


def _count(con: duckdb.DuckDBPyConnection, table: str) -> int:
    [(rows,)] = con.execute(f"SELECT count(*) FROM {table}").fetchall()
    return int(rows)


def _line_up(con: duckdb.DuckDBPyConnection, comparison: Comparison, columns: list[str]) -> None:
    """Pair rows: equal ones first, then what is left by each list of columns; equal keys pair off in order."""
    con.execute("CREATE OR REPLACE TEMP TABLE pair (reference_no BIGINT, ours_no BIGINT)")
    for keys in (columns, *comparison.line_up):
        numbered = ", ".join(keys)
        same = " AND ".join(f"reference.{key} IS NOT DISTINCT FROM ours.{key}" for key in keys)
        con.execute(
            f"""
            INSERT INTO pair
            WITH reference AS (
                SELECT *, row_number() OVER (PARTITION BY {numbered} ORDER BY row_no) AS key_no
                FROM reference_row WHERE row_no NOT IN (SELECT reference_no FROM pair)
            ),
            ours AS (
                SELECT *, row_number() OVER (PARTITION BY {numbered} ORDER BY row_no) AS key_no
                FROM ours_row WHERE row_no NOT IN (SELECT ours_no FROM pair)
            )
            SELECT reference.row_no, ours.row_no FROM reference INNER JOIN ours
            ON reference.key_no = ours.key_no AND {same}
            """
        )
    for side in ("reference", "ours"):
        con.execute(
            f"CREATE OR REPLACE TEMP TABLE {side}_alone AS "
            f"SELECT * FROM {side}_row WHERE row_no NOT IN (SELECT {side}_no FROM pair)"
        )


def _classify_pairs(
    con: duckdb.DuckDBPyConnection, comparison: Comparison, columns: list[str]
) -> dict[tuple[str, str], int]:
    rules = [rule for rule in comparison.rules if rule.side == "both"]
    unknown = {column for rule in rules for column in rule.columns} - set(columns)
    if unknown:
        raise ValueError(f"{comparison.table}: rules name columns that are not compared: {sorted(unknown)}")
    verdicts = []
    for column in columns:
        cases = "".join(
            f" WHEN {rule.condition.replace('{column}', column)} THEN {quoted(rule.name)}"
            for rule in rules
            if column in rule.columns
        )
        same = f"reference.{column} IS NOT DISTINCT FROM ours.{column}"
        verdicts.append(f"CASE WHEN {same} THEN NULL{cases} ELSE '{UNEXPLAINED}: {column}' END")
    con.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE pair_rules AS
        SELECT pair.*, list_distinct([{", ".join(verdicts)}]) AS rules
        FROM pair
        INNER JOIN reference_row AS reference ON pair.reference_no = reference.row_no
        INNER JOIN ours_row AS ours ON pair.ours_no = ours.row_no
        """
    )
    found = con.execute("SELECT rule, count(*) FROM (SELECT unnest(rules) AS rule FROM pair_rules) GROUP BY 1")
    return _summed("both", found.fetchall())


def _classify_alone(con: duckdb.DuckDBPyConnection, comparison: Comparison, side: str) -> dict[tuple[str, str], int]:
    rules = [rule for rule in comparison.rules if rule.side == side]
    cases = "".join(f" WHEN {rule.when} THEN {quoted(rule.name)}" for rule in rules)
    verdict = f"CASE{cases} ELSE '{UNEXPLAINED}' END" if rules else f"'{UNEXPLAINED}'"
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE {side}_rules AS SELECT row_no, {verdict} AS rule FROM {side}_alone AS {side}"
    )
    found = con.execute(f"SELECT rule, count(*) FROM {side}_rules GROUP BY 1").fetchall()
    return _summed(side, found)


def _summed(side: str, found: list[tuple[str, int]]) -> dict[tuple[str, str], int]:
    counts: Counter[tuple[str, str]] = Counter()
    for rule, rows in found:
        counts[side, UNEXPLAINED if rule.startswith(UNEXPLAINED) else rule] += rows
    return dict(counts)


def _samples(con: duckdb.DuckDBPyConnection, comparison: Comparison) -> list[str]:
    """Up to five keys of unexplained rows of each kind, with the columns that differ."""
    keys = ", ".join(f"{column} := {{side}}.{column}" for column in comparison.line_up[0])
    queries = [
        f"""
        SELECT verdict, struct_pack({keys.format(side="reference")}) FROM (
            SELECT reference_no, list_filter(rules, lambda rule: starts_with(rule, '{UNEXPLAINED}')) AS verdict
            FROM pair_rules
        ) AS judged INNER JOIN reference_row AS reference ON judged.reference_no = reference.row_no
        WHERE len(verdict) > 0 QUALIFY row_number() OVER (PARTITION BY verdict ORDER BY reference.row_no) <= 5
        """,
        *(
            f"""
            SELECT '{side} only, unexplained', struct_pack({keys.format(side=side)})
            FROM {side}_rules AS judged INNER JOIN {side}_row AS {side} USING (row_no)
            WHERE judged.rule = '{UNEXPLAINED}' ORDER BY row_no LIMIT 5
            """
            for side in ("reference", "ours")
        ),
    ]
    return [f"{verdict}: {key}" for query in queries for verdict, key in con.execute(query).fetchall()]
