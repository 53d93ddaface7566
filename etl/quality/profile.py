"""What a CDM is made of, in counts that add up over persons: what drift is measured by.

A profile is one Parquet with the columns measure, table_name, item, rows; what has no row is not in it.

| measure | item | rows |
|---|---|---|
| rows | '' | rows of the table |
| month | 2026-03 | rows whose main date, the table's first, lies in the month |
| mapped | a concept field | rows with a concept but 0 |
| concept | a concept_id but 0 | rows of the concept that says what a row is (`main_concept`) |
| referring | an id of a place or provider (`PLACES`) | rows of any table that refer to it |

1.7 million rows of 10,000 patients: 0.5 s to count, 0.05 s to merge, 14 kB.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from etl.cdm import Table, quoted, tables
from etl.config import Settings
from etl.engine import connection, quote_path, write_parquet
from etl.errors import CdmflowError
from etl.quality.candidate import Connection, open_candidate
from etl.quality.scan import references_to

COLUMNS = "measure, table_name, item, rows"
PLACES = ("location", "care_site", "provider")
DERIVED_CONCEPTS = {
    "condition_era": "condition_concept_id",
    "drug_era": "drug_concept_id",
    "dose_era": "drug_concept_id",
}


@dataclass(frozen=True)
class Profile:
    """A profile in memory: rows by measure, table and item. A large hospital's holds some 100,000 items."""

    rows: dict[tuple[str, str], dict[str, int]]

    def items(self, measure: str, table: str) -> dict[str, int]:
        return self.rows.get((measure, table), {})

    def count(self, measure: str, table: str, item: str = "") -> int:
        return self.items(measure, table).get(item, 0)

    def tables(self, measure: str) -> set[str]:
        return {table for found, table in self.rows if found == measure}


def make_profile(settings: Settings, run_dir: Path, output: Path) -> Path:
    """Write the profile of `run_dir`/cdm/<table>.parquet to `output` and return it; a table without a file is empty."""
    specified = {name: table for name, table in tables().items() if table.schema == "CDM"}
    with connection(settings.workers, settings.memory_limit) as con:
        try:
            opened = open_candidate(con, run_dir / "cdm", None, specified)
            present = [table for name, table in specified.items() if opened[name].columns is not None]
            selects = [select for table in present for select in _counted(table)]
            selects += [_referring(place, {table.name for table in present}) for place in PLACES]
            _write(con, " UNION ALL ".join(selects), output)
        except Exception as error:  # noqa: BLE001 - DuckDB's message may quote a cell; its class does not
            raise CdmflowError(
                f"The candidate {run_dir.name} cannot be counted ({type(error).__name__}).",
                state="Nothing of it is published; the last release stays.",
                todo="Read the tables below its cdm folder in a DuckDB shell; rebuild the one that fails.",
            ) from None
    return output


def merge_profiles(base: Path, before: Path, now: Path, output: Path) -> Path:
    """Write base - before + now: the profile of a release in which some persons' rows are replaced. Exact.

    `before` is of what the release holds of these persons, `now` of what takes its place; tables of people and places
    are whole in both. CdmflowError where `before` holds more than `base`: it is of another release.
    """
    left = f"{_signed(base)} UNION ALL {_signed(before, '-')}"
    with connection(threads=1) as con:
        negative = con.execute(f"SELECT count(*) FROM ({_summed(left)}) WHERE rows < 0").fetchall()[0][0]
        if negative:
            raise CdmflowError(
                f"The profile {base.name} does not hold what is to be replaced in it ({negative:,} counts below 0).",
                state="Nothing is published; the last release stays.",
                todo="Run ./cdmflow rebuild: it counts everything again.",
            )
        _write(con, _summed(f"{left} UNION ALL {_signed(now)}"), output)
    return output


def read_profile(path: Path) -> Profile:
    """The profile of a file that `make_profile` or `merge_profiles` wrote."""
    found: dict[tuple[str, str], dict[str, int]] = {}
    with connection(threads=1) as con:
        for measure, table, item, rows in con.execute(
            f"SELECT {COLUMNS} FROM read_parquet({quote_path(path)})"
        ).fetchall():
            found.setdefault((measure, table), {})[item] = rows
    return Profile(found)


def unreferred(profile: Profile) -> dict[str, tuple[int, int]]:
    """Violated rows and rows counted of the checks `referred_to`, by check id, from a profile.

    What a scan of some persons' rows cannot tell: whether anybody else's refer to a place.
    """
    found = {}
    for place in PLACES:
        rows = profile.count("rows", place)
        # A reference to a place that there is not is the foreign key's finding.
        found[f"{place}.referred_to.{place}_id"] = (max(0, rows - len(profile.items("referring", place))), rows)
    return found


def main_date(table: Table) -> str | None:
    """The date by which a person's rows are told apart by month: the table's first."""
    dates = [field.name for field in table.fields if field.sql_type == "date"]
    return dates[0] if dates and "person_id" in table.column_names else None


def main_concept(table: Table) -> str | None:
    """The concept that says what a row is."""
    prefixed = f"{table.concept_prefix}concept_id".lower() if table.concept_prefix else ""
    name = DERIVED_CONCEPTS.get(table.name, prefixed)
    return name if name in table.column_names else None


def _counted(table: Table) -> Iterator[str]:
    """The selects of a table's counts, each a scan of the columns that it names."""
    here = f"cdm.{quoted(table.name)}"
    yield _select("rows", table.name, "''", "count(*)", here)
    if date := main_date(table):
        yield _select("month", table.name, f"strftime({quoted(date)}, '%Y-%m')", "count(*)", here, quoted(date))
    if main := main_concept(table):
        concept = quoted(main)
        yield _select("concept", table.name, f"CAST({concept} AS VARCHAR)", "count(*)", here, f"nullif({concept}, 0)")
    if fields := [field.name for field in table.fields if field.foreign_table == "concept"]:
        names = ", ".join(f"'{name}'" for name in fields)
        counts = ", ".join(f"count(nullif({quoted(name)}, 0))" for name in fields)
        yield (
            f"SELECT 'mapped', '{table.name}', unnest([{names}]), unnest(counts) "
            f"FROM (SELECT [{counts}] AS counts FROM {here})"
        )


def _referring(place: str, present: set[str]) -> str:
    used = " UNION ALL ".join(
        f"SELECT {quoted(column)} AS id FROM cdm.{quoted(table)}"
        for table, column in references_to(place)
        if table in present
    )
    return _select("referring", place, "CAST(id AS VARCHAR)", "count(*)", f"({used or 'SELECT NULL AS id'})", "id")


def _select(measure: str, table: str, item: str, count: str, source: str, filled: str = "true") -> str:
    where = "" if filled == "true" else f" WHERE {filled} IS NOT NULL"
    return f"SELECT '{measure}', '{table}', {item}, {count} FROM {source}{where} GROUP BY {item}"


def _signed(path: Path, sign: str = "") -> str:
    return f"SELECT measure, table_name, item, {sign}rows AS rows FROM read_parquet({quote_path(path)})"


def _summed(signed: str) -> str:
    return f"SELECT measure, table_name, item, sum(rows) AS rows FROM ({signed}) GROUP BY measure, table_name, item"


def _write(con: Connection, select: str, output: Path) -> None:
    """Without zeros: an empty table, one without a file and one whose rows were all replaced are the same."""
    output.parent.mkdir(parents=True, exist_ok=True)
    write_parquet(
        con,
        "SELECT CAST(measure AS VARCHAR) AS measure, CAST(table_name AS VARCHAR) AS table_name, "
        "CAST(item AS VARCHAR) AS item, CAST(rows AS BIGINT) AS rows "
        f"FROM ({select}) AS t({COLUMNS}) WHERE rows <> 0",
        output,
    )
