"""The tables that docs/conventions.md and docs/compared.md show of a comparison, as Markdown."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from comparison import Comparison, Result

DOCS = Path(__file__).resolve().parents[2] / "docs"
COUNTS = (
    "table",
    "theirs",
    "ours",
    "equal",
    "same fact",
    "ours says more",
    "different",
    "theirs only",
    "ours only",
    "unexplained",
)
SIDE = {"both": "pairs", "reference": "theirs only", "ours": "ours only"}


def counts_table(results: Mapping[str, Result]) -> str:
    """One line per table: rows of either side, how they pair, what is left unexplained."""
    lines = [_line(COUNTS), _line(["---", *["---:"] * (len(COUNTS) - 1)])]
    for name, of in results.items():
        counts = (of.reference, of.ours, of.equal, of.same, of.more, of.different, of.only_reference, of.only_ours)
        lines.append(_line([f"`{name}`", *(f"{count:,}" for count in (*counts, of.unexplained))]))
    return "\n".join(lines) + "\n"


def rules_table(results: Mapping[str, Result], comparisons: Mapping[str, Comparison]) -> str:
    """One line per table and rule: whose rows, how many, and why they differ."""
    lines = [_line(["table", "difference", "rows", "of", "why"]), _line(["---", "---", "---:", "---", "---"])]
    for name, result in results.items():
        for rule in comparisons[name].rules:
            rows = f"{result.by_rule[rule.side, rule.name]:,}"
            form = " (form only)" if rule.form else " (ours says more)" if rule.more else ""
            lines.append(_line([f"`{name}`", rule.name + form, rows, SIDE[rule.side], " ".join(rule.why.split())]))
    return "\n".join(lines) + "\n"


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"
