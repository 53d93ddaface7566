"""Which rows of a candidate violate a check: their ids, for the quarantine and for whoever looks into a refusal."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

from etl.cdm import Table, quoted, tables
from etl.config import Settings
from etl.engine import connection, quote_path, write_parquet
from etl.errors import CdmflowError
from etl.quality.candidate import Connection, make_keys, make_life, open_candidate
from etl.quality.concepts import TYPES, is_concept_check, used_concepts, violating_concepts
from etl.quality.defaults import structural
from etl.quality.facts import make_facts, make_plausible
from etl.quality.model import Check
from etl.quality.scan import ALONE, BUILDERS, Scan, condition_of, parents_of, referring_sql, spans_sql
from etl.quality.suites import read_suites

OVERLAPS = ("no_overlap", "stays_apart", "eras_apart")
DOUBLES = ("primary_key", "unique")
# Of a whole table: no single row is at fault.
OF_TABLES = ("has_rows", "columns", "types")
ROW_TYPES = frozenset({*BUILDERS, *TYPES, *ALONE} - {*OF_TABLES})


def write_violations(
    settings: Settings, run_dir: Path, vocabulary_dir: Path, check_ids: Collection[str], output: Path
) -> dict[str, int]:
    """Write the violating rows of these checks as Parquet (check_id, cdm_table, row_id); how many, by check id.

    Reads what `compute_candidate` reads and uses its conditions, so both count the same; of a doubled key all rows are
    written, not only those beyond the first. Checks of whole tables and unknown ones have no rows. `row_id` is the
    person's where that is how a table's rows are known (person, death), and NULL where a row has none.
    """
    suites = read_suites(settings.expectations_dir / "cdm")
    asked = {
        table: [check for check in checks if check.check_id in check_ids and check.check_type in ROW_TYPES]
        for table, checks in suites.items()
    }
    with connection(settings.workers, settings.memory_limit) as con:
        try:
            selects = list(
                _selects(
                    con, settings, {table: found for table, found in asked.items() if found}, run_dir, vocabulary_dir
                )
            )
            empty = "SELECT '' AS check_id, '' AS cdm_table, CAST(NULL AS BIGINT) AS row_id WHERE false"
            write_parquet(con, " UNION ALL ".join(selects or [empty]), output)
            rows = con.execute(
                f"SELECT check_id, count(*) FROM read_parquet({quote_path(output)}) GROUP BY 1"
            ).fetchall()
        except CdmflowError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever the driver raises, its message must not get out
            raise CdmflowError(
                f"The violating rows of {run_dir.name} cannot be selected ({type(error).__name__}).",
                state="Nothing of it is published; the last release stays.",
                todo="Read the tables below its cdm folder in a DuckDB shell; rebuild the one that fails.",
            ) from None
    return {check_id: int(count) for check_id, count in rows}


def _selects(
    con: Connection, settings: Settings, asked: Mapping[str, Sequence[Check]], run_dir: Path, vocabulary_dir: Path
) -> Iterator[str]:
    everywhere = [table.name for table in tables().values() if table.schema == "CDM"]  # a place is referred to from any
    opened = open_candidate(con, run_dir / "cdm", vocabulary_dir, everywhere)
    make_life(con)
    make_facts(con, settings.sources_dir / "source_parts.yml")
    make_plausible(con, settings.expectations_dir / "cdm" / "ranges.csv")
    parents: set[str] = set().union(*(parents_of(tables()[name], checks) for name, checks in asked.items()))
    make_keys(con, parents)
    checks = [check for found in asked.values() for check in found]
    used_concepts(con, [(check.table, check.column) for check in checks if is_concept_check(check)])
    for check in checks:
        yield _select(con, opened[check.table].table, check)


def _select(con: Connection, table: Table, check: Check) -> str:
    """The violating rows of one check; conditions of other tables' rows are joins that never multiply rows."""
    row_id = _row_id(table)
    if check.check_type in OVERLAPS:
        spans = spans_sql(check, f"{row_id} AS row_id, ")
        return f"SELECT {_named(check)}, CAST(row_id AS BIGINT) AS row_id FROM ({spans}) WHERE starts <= ended"
    if check.check_type == "no_repeat":
        alike = ", ".join(quoted(column) for column in ("person_id", check.column, *check.argument))
        numbered = f"{row_id} AS row_id, row_number() OVER (PARTITION BY {alike} ORDER BY {row_id}) AS place"
        rows = f"SELECT {numbered} FROM cdm.{quoted(table.name)}"
        return f"SELECT {_named(check)}, CAST(row_id AS BIGINT) AS row_id FROM ({rows}) WHERE place > 1"
    own = "NULL" if row_id == "NULL" else f"t.{row_id}"  # a join may have a column of this name
    scan = Scan(table)
    column = f"t.{quoted(check.column)}"
    if is_concept_check(check):
        found = ", ".join(map(str, violating_concepts(con, check)))
        condition = f"{column} IN ({found})" if found else "false"
    elif check.check_type in DOUBLES:
        doubled = f"SELECT {quoted(check.column)} FROM cdm.{quoted(table.name)} GROUP BY 1 HAVING count(*) > 1"
        condition = f"{column} IN ({doubled})"
    elif check.check_type == "referred_to":
        condition = f"{column} IS NOT NULL AND {column} NOT IN ({referring_sql(table.name)} HAVING key IS NOT NULL)"
    else:
        told = condition_of(check, scan)
        if told is None:
            raise CdmflowError(f"{check.check_id} counts rows, and no condition says which.")
        condition = told
    joins = " ".join(scan.joins.values())
    return (
        f"SELECT {_named(check)}, CAST({own} AS BIGINT) AS row_id "
        f"FROM cdm.{quoted(table.name)} AS t {joins} WHERE {condition}"
    )


def _named(check: Check) -> str:
    return f"'{check.check_id}' AS check_id, '{check.table}' AS cdm_table"


def _row_id(table: Table) -> str:
    if table.primary_key or "person_id" in table.column_names:
        return quoted(table.primary_key or "person_id")
    return "NULL"


@cache
def enforced_checks() -> frozenset[str]:
    """Ids of the checks that PostgreSQL enforces too: whatever anyone accepts, the load would fail."""
    return frozenset(
        Check(table.name, column, group.check, group.severity).check_id
        for table in tables().values()
        if table.schema == "CDM"
        for group in structural(table)
        for column in (group.columns or ("",))
    )
