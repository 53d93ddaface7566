"""What checks compare a candidate with that is no row of it: its cut-off, its source's parts, plausible ranges."""

import csv
from pathlib import Path

from etl.errors import ContractError
from etl.quality.candidate import Connection
from etl.yaml_text import read_yaml

RANGE_COLUMNS = ["concept_id", "concept", "unit_concept_id", "unit", "low", "high"]


def make_facts(con: Connection, registry: Path) -> None:
    """`facts`: one row with the candidate's cut-off and the numbers of its source's parts, from its own cdm_source.

    `registry` is `sources/source_parts.yml`. Without a row of cdm_source there is no cut-off and no part.
    """
    numbered = read_yaml(registry.read_text(encoding="utf-8"))
    parts = ", ".join(f"({int(number)}, {_text(part['source'])})" for number, part in numbered.items())
    con.execute(
        "CREATE TEMP TABLE facts AS SELECT max(made.source_release_date) AS cutoff, "
        "coalesce(list(DISTINCT part.number) FILTER (WHERE part.number IS NOT NULL), []) AS parts "
        "FROM cdm.cdm_source AS made "
        f"LEFT JOIN (VALUES {parts}) AS part(number, source) ON made.cdm_source_name = part.source"
    )


def make_plausible(con: Connection, ranges: Path) -> None:
    """`plausible`: the lowest and highest value of a concept in a unit, one row each; ContractError if `ranges` is not.

    `ranges` is `expectations/cdm/ranges.csv`.
    """
    with ranges.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        if reader.fieldnames != RANGE_COLUMNS:
            raise _broken(ranges, f"needs the columns {', '.join(RANGE_COLUMNS)}")
        rows = [_range(row, reader.line_num, ranges) for row in reader]
    keys = [(concept, unit) for concept, unit, *_ in rows]
    if doubled := sorted({key for key in keys if keys.count(key) > 1}):
        raise _broken(ranges, f"has more than one range of concept {doubled[0][0]} in unit {doubled[0][1]}")
    con.execute("CREATE TEMP TABLE plausible (concept_id INTEGER, unit_concept_id INTEGER, low DOUBLE, high DOUBLE)")
    if rows:
        con.execute(f"INSERT INTO plausible VALUES {', '.join(str(row) for row in rows)}")


def _range(row: dict[str, str], line: int, path: Path) -> tuple[int, int, float, float]:
    try:
        concept, unit, low, high = (
            int(row["concept_id"]), int(row["unit_concept_id"]), float(row["low"]), float(row["high"]),
        )  # fmt: skip
    except (ValueError, TypeError):
        raise _broken(path, f"has something that is no number in line {line}") from None
    if not low < high:
        raise _broken(path, f"has a range that does not end above its beginning in line {line}")
    return concept, unit, low, high


def _text(value: object) -> str:
    return "'" + str(value).replace("'", "''") + "'"


def _broken(path: Path, what: str) -> ContractError:
    return ContractError(
        f"{'/'.join(path.parts[-3:])} {what}.",
        state="Nothing was checked, so nothing is published.",
        todo="Correct the file; expectations/README.md describes it.",
    )
