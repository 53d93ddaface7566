"""The SQL subset that means the same on DuckDB and Spark, as an allow-list over the syntax tree.

Source: `sql-subset.md` (230 constructs tried on both engines). What is not listed here is not allowed: a construct
enters the list after it was tried on both. Types are not known here, so rules on types (double → text …) catch the
nested casts that a reader would see; the digests of both engines catch the rest.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sqlglot import exp

from etl.engine.dependencies import inputs_of, parse
from etl.errors import CdmflowError

STRUCTURE = {
    "Select", "From", "Join", "Lateral", "Where", "Group", "Having", "Qualify", "Order", "Ordered", "Distinct",
    "Union", "With", "CTE", "Subquery", "Table", "TableAlias", "Alias", "Aliases", "Column", "Identifier", "Star",
    "Tuple", "Values", "Paren", "Literal", "Null", "Boolean", "Var", "Filter", "Window", "WindowSpec", "IgnoreNulls",
    "Exists", "In", "Any",
}  # fmt: skip
OPERATORS = {
    "And", "Or", "Not", "EQ", "NEQ", "GT", "GTE", "LT", "LTE", "Is", "NullSafeEQ", "NullSafeNEQ", "Between", "Like",
    "Add", "Sub", "Mul", "Div", "IntDiv", "Mod", "Neg", "DPipe", "Case", "If",
}  # fmt: skip
FUNCTIONS = {
    "Cast", "TryCast", "DataType", "DataTypeParam", "Interval", "Coalesce", "Nullif", "Greatest", "Least", "Abs",
    "Round", "Floor", "Ceil", "Count", "Sum", "Min", "Max", "Avg", "LogicalAnd", "LogicalOr", "GroupConcat",
    "RowNumber", "Rank", "DenseRank", "Lag", "Lead", "FirstValue", "LastValue",
    "Lower", "Upper", "Trim", "Length", "Substring", "Left", "Right", "Replace", "SplitPart", "Concat", "ConcatWs",
    "StartsWith", "EndsWith", "Contains", "Lpad", "Pad", "RegexpLike", "RegexpExtract", "RegexpReplace",
    "MD5", "SHA2", "DateDiff", "TimestampTrunc", "DateTrunc", "Extract", "Year", "Month", "Day", "StrToTime",
    "TimeToStr", "StrPosition", "Unnest", "Explode", "GenerateSeries", "Array", "TsOrDsToDate", "Date", "Chr",
}  # fmt: skip
ALLOWED = STRUCTURE | OPERATORS | FUNCTIONS
ALLOWED_TYPES = {
    "INT",
    "BIGINT",
    "DATE",
    "TIMESTAMP",
    "TIMESTAMPNTZ",
    "DOUBLE",
    "VARCHAR",
    "TEXT",
    "DECIMAL",
    "BOOLEAN",
}
LOSSY_CASTS = {  # from → to: rounds here and truncates there, or is spelled otherwise
    "DOUBLE": {"INT", "BIGINT", "DECIMAL", "VARCHAR", "TEXT"},
    "DECIMAL": {"INT", "BIGINT"},
}
RANKING = (exp.RowNumber, exp.Rank, exp.DenseRank, exp.Lag, exp.Lead, exp.FirstValue, exp.LastValue)


@dataclass(frozen=True)
class Finding:
    """One breach of the subset; `line` is 1-based, 0 where the tree does not tell."""

    path: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.message}"


def lint(sql_text: str, path: str) -> list[Finding]:
    """All breaches of the subset in one SQL file, in reading order."""
    try:
        tree = parse(sql_text)
        inputs_of(sql_text)
    except CdmflowError as error:
        return [Finding(path, 0, error.what)]
    findings = [
        Finding(path, _line(node, sql_text), message) for node in tree.walk(bfs=False) for message in _breaches(node)
    ]
    findings += [Finding(path, _line(node, sql_text), message) for node, message in _uncast_outputs(tree)]
    return sorted(set(findings), key=lambda finding: (finding.line, finding.message))


def _breaches(node: exp.Expression) -> Iterator[str]:
    kind = type(node).__name__
    if isinstance(node, exp.Anonymous):
        yield f"{node.name}() is not in the subset."
    elif kind not in ALLOWED:
        yield f"{_shown(node)}: {kind} is not in the subset."
    rule = RULES.get(kind)
    message = rule(node) if rule else None
    if message:
        yield f"{_shown(node)}: {message}"


def _shown(node: exp.Expression) -> str:
    text = " ".join(node.sql(dialect="duckdb").split())
    return text if len(text) <= 60 else f"{text[:57]}…"


def _line(node: exp.Expression, sql_text: str) -> int:
    for part in node.walk():
        line = part.meta.get("line")
        if line:
            return int(line)
    return 0


def _type_name(node: exp.Expression) -> str:
    return str(node.this.value) if isinstance(node, exp.DataType) else ""


def _cast(node: exp.Expression) -> str | None:
    target = _type_name(node.args["to"])
    if target not in ALLOWED_TYPES:
        return f"cast to {target}; the subset has {', '.join(sorted(ALLOWED_TYPES))}."
    inner = node.this.unnest()
    if isinstance(inner, exp.Cast) and target in LOSSY_CASTS.get(_type_name(inner.args["to"]), set()):
        return f"{_type_name(inner.args['to'])} → {target} differs between engines (rounding, spelling)."
    if isinstance(inner, exp.Div) and target in {"INT", "BIGINT"}:
        return "a quotient cast to an integer rounds here and truncates there; use //."
    return None


def _try_cast(node: exp.Expression) -> str | None:
    branch = node.find_ancestor(exp.If, exp.Case)
    if branch is None or branch.find(exp.RegexpLike) is None:
        return "try_cast on loose text differs; guard it with CASE WHEN regexp_matches(…)."
    return _cast(node)


def _interval(node: exp.Expression) -> str | None:
    arithmetic = node.parent
    around = arithmetic.parent if isinstance(arithmetic, (exp.Add, exp.Sub)) else None
    if isinstance(around, exp.Paren):
        around = around.parent
    if not (isinstance(around, exp.Cast) and _type_name(around.args["to"]) == "DATE"):
        return "date + interval gives a timestamp on one engine; write cast(d + interval … as date)."
    if not isinstance(node.this, exp.Literal):
        return "an interval over a column fails on one engine; use date + integer."
    return None


def _is_date(node: exp.Expression) -> bool:
    node = node.unnest()
    if isinstance(node, exp.Cast):
        return _type_name(node.args["to"]) in {"DATE", "TIMESTAMP"}
    return isinstance(node, exp.Column) and node.name.lower().endswith(("_date", "_datetime"))


def _subtraction(node: exp.Expression) -> str | None:
    if _is_date(node.this) and _is_date(node.expression):
        return "date − date differs; use date_diff('day', …)."
    return None


def _division(node: exp.Expression) -> str | None:
    divisor = node.expression.unnest()
    if isinstance(divisor, exp.Cast):
        divisor = divisor.this.unnest()
    if isinstance(divisor, exp.Nullif) or (isinstance(divisor, exp.Literal) and float(divisor.this) != 0):
        return None
    return "guard the divisor with nullif(…, 0): one engine gives NULL, the other an error."


def _date_diff(node: exp.Expression) -> str | None:
    unit = str(node.args.get("unit") or "").upper().strip("'")
    return None if unit == "DAY" else "date_diff in other units than days differs."


def _extract(node: exp.Expression) -> str | None:
    return None if node.name.upper() in {"YEAR", "MONTH", "DAY"} else "extract only year, month or day."


def _string_agg(node: exp.Expression) -> str | None:
    return None if node.find(exp.Order) else "string_agg needs an ORDER BY."


def _window(node: exp.Expression) -> str | None:
    function = node.this
    while isinstance(function, (exp.IgnoreNulls, exp.Filter)):
        function = function.this
    if isinstance(function, RANKING) and not node.args.get("order"):
        return "this window needs a unique ORDER BY."
    return None


def _regexp_replace(node: exp.Expression) -> str | None:
    replacement, modifiers = node.args.get("replacement"), node.args.get("modifiers")
    if modifiers is None or "g" not in modifiers.name:
        return "regexp_replace without 'g' replaces once here and everywhere there."
    if replacement is not None and re.search(r"\\\d", replacement.name):
        return "backreferences are spelled differently."
    return None


def _substring(node: exp.Expression) -> str | None:
    start = node.args.get("start")
    return "substring starts at 1." if isinstance(start, exp.Literal) and start.this == "0" else None


def _star(node: exp.Expression) -> str | None:
    return "* EXCLUDE / REPLACE fails on one engine; name the columns." if any(node.args.values()) else None


def _union(node: exp.Expression) -> str | None:
    return "UNION BY NAME fails on one engine." if node.args.get("by_name") else None


def _join(node: exp.Expression) -> str | None:
    return "ASOF joins fail on one engine." if str(node.args.get("method") or "").upper() == "ASOF" else None


def _text_to_time(node: exp.Expression) -> str | None:
    pattern = node.args.get("format")
    if isinstance(pattern, exp.Literal) and re.search(r"[A-Za-z]", re.sub(r"%-?[A-Za-z]", "", pattern.this)):
        return "literal letters in a time format are read differently."
    return None


RULES: dict[str, Callable[[exp.Expression], str | None]] = {
    "Cast": _cast,
    "TryCast": _try_cast,
    "Interval": _interval,
    "Sub": _subtraction,
    "Div": _division,
    "IntDiv": _division,
    "Mod": _division,
    "DateDiff": _date_diff,
    "Extract": _extract,
    "GroupConcat": _string_agg,
    "Window": _window,
    "RegexpReplace": _regexp_replace,
    "Substring": _substring,
    "Star": _star,
    "Union": _union,
    "Join": _join,
    "StrToTime": _text_to_time,
    "TimeToStr": _text_to_time,
}


def _uncast_outputs(tree: exp.Expression) -> Iterator[tuple[exp.Expression, str]]:
    """Output columns that are computed but not cast: their types differ between engines."""
    for select in _outermost(tree):
        for projection in select.expressions:
            value = projection.this if isinstance(projection, exp.Alias) else projection
            if not isinstance(value, (exp.Cast, exp.Column, exp.Star)):
                yield projection, f"{_shown(projection)}: cast every output column to its declared type."


def _outermost(tree: exp.Expression) -> list[exp.Select]:
    if isinstance(tree, exp.SetOperation):
        return _outermost(tree.left) + _outermost(tree.right)
    if isinstance(tree, exp.Subquery):
        return _outermost(tree.this)
    return [tree] if isinstance(tree, exp.Select) else []
