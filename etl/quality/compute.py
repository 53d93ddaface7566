"""Counts all checks of a candidate: one scan per table, one pass over all concept fields."""

import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from etl.cdm import tables
from etl.config import Settings
from etl.engine import connection
from etl.errors import CdmflowError
from etl.log import get_logger
from etl.quality.candidate import NEVER_WRITTEN, Connection, Opened, make_keys, make_life, open_candidate, relation_of
from etl.quality.concepts import Used, are_concepts_doubled, count_concepts, is_concept_check, used_concepts
from etl.quality.dqd import fused
from etl.quality.dqd.catalogue import DqdCheck, read_catalogue
from etl.quality.dqd.count import DqdCounts, Scanned, count_dqd, countable, dqd_results, is_scanned
from etl.quality.dqd.definition import Places
from etl.quality.dqd.grouped import is_of_concepts
from etl.quality.facts import make_facts, make_plausible
from etl.quality.model import Check, CheckResult, SourceAccount
from etl.quality.scan import Scan, alone_sql, parents_of, plan_scan
from etl.quality.suites import read_suites
from etl.quality.verdict import status_of

logger = get_logger(__name__)

KEPT = "quality"  # below a run: counts in a grain that later nights can add to


@dataclass(frozen=True)
class _Counted:
    violated: int
    denominator: int
    seconds: float


def compute_candidate(
    settings: Settings,
    run_dir: Path,
    vocabulary_dir: Path,
    account: Sequence[SourceAccount],
    *,
    deprecated: bool = False,
    empty_tables: Collection[str] = NEVER_WRITTEN,
    today: date | None = None,
) -> list[CheckResult]:
    """Violated rows and denominators of all checks: `expectations/cdm`, the row account's, and DQD's (origin dqd).

    Reads `run_dir`/cdm/<table>.parquet and the Parquet of `vocabulary_dir`; writes the counts of source values into
    `run_dir`/quality. A table without a file is empty to our own checks and missing to DQD's, unless it is one of
    `empty_tables`, which a release has without our filling them. `deprecated` adds the types that DQD has superseded;
    `today` is the day that dates in the future are told by. 2 s for 3.3 million CDM rows on 2 cores.
    """
    suites = read_suites(settings.expectations_dir / "cdm")
    dqd = read_catalogue(settings.expectations_dir / "dqd", deprecated=deprecated)
    places = Places(today=f"DATE '{today}'" if today else "CURRENT_DATE")
    began = time.perf_counter()
    with connection(settings.workers, settings.memory_limit) as con:
        try:
            counted, by_dqd = count_checks(con, settings, suites, dqd, run_dir, vocabulary_dir, empty_tables, places)
        except CdmflowError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever the driver raises, its message must not get out
            # DuckDB's message may quote a cell; its class does not.
            raise CdmflowError(
                f"The candidate {run_dir.name} cannot be checked ({type(error).__name__}).",
                state="Nothing of it is published; the last release stays.",
                todo="Read the tables below its cdm folder in a DuckDB shell; rebuild the one that fails.",
            ) from None
    results = [_result(check, counted[check.check_id]) for suite in suites.values() for check in suite]
    results += [_result(check, count) for check, count in _accounting(account)]
    results += dqd_results(dqd, by_dqd)
    failed = sum(result.status == "failed" for result in results)
    logger.info("%d checks counted in %.1f s, %d beyond their limit", len(results), time.perf_counter() - began, failed)
    return results


def ledger_checks(table: str) -> tuple[Check, ...]:
    """What must hold of a source table's rows: no threshold can allow one to be lost, doubled or made up."""
    return tuple(
        Check(table="accounting", column=table, check_type=check_type, severity="critical")
        for check_type in LEDGER_TYPES
    )


def count_checks(
    con: Connection,
    settings: Settings,
    suites: Mapping[str, Sequence[Check]],
    dqd: Sequence[DqdCheck],
    run_dir: Path,
    vocabulary: Path,
    empty_tables: Collection[str],
    places: Places,
) -> tuple[dict[str, _Counted], DqdCounts]:
    """The counts of our own checks, by check id, and of DQD's."""
    asked = {*suites, *(check.table for check in dqd)}
    opened = open_candidate(con, run_dir / "cdm", vocabulary, asked, empty_tables=empty_tables)
    by_dqd = DqdCounts()
    dqd = countable(dqd, opened, by_dqd)
    present = {name for name, table in opened.items() if table.columns is not None and name in suites}
    make_life(con)
    make_facts(con, settings.sources_dir / "source_parts.yml")
    make_plausible(con, settings.expectations_dir / "cdm" / "ranges.csv")
    parents: set[str] = set().union(*(parents_of(tables()[name], suites[name]) for name in present))
    doubled = make_keys(con, parents | fused.parents_of(dqd))

    counted: dict[str, _Counted] = {}
    scanned = Scanned()
    by_table = _by_table(check for check in dqd if is_scanned(check, doubled))
    for name in (name for name in opened if name in asked):
        counted.update(_count_table(con, opened[name], suites.get(name, ()), by_table[name], places, scanned))

    began = time.perf_counter()
    used = _used_by_field(con, [c for name in suites for c in suites[name] if c.table in present], dqd)
    counted.update(_count_concepts([c for name in suites for c in suites[name]], used, time.perf_counter() - began))
    if are_concepts_doubled(con):
        doubled.add("concept")
    count_dqd(con, dqd, opened, scanned, used, doubled, places, run_dir / KEPT, by_dqd)
    return counted, by_dqd


def _by_table(checks: Iterable[DqdCheck]) -> dict[str, list[DqdCheck]]:
    found: dict[str, list[DqdCheck]] = defaultdict(list)
    for check in checks:
        found[check.table].append(check)
    return found


def _count_table(
    con: Connection,
    opened: Opened,
    checks: Sequence[Check],
    dqd: Sequence[DqdCheck],
    places: Places,
    scanned: Scanned,
) -> Iterator[tuple[str, _Counted]]:
    """One scan for our own checks, which are yielded, and DQD's, which go into `scanned`."""
    rows = [check for check in checks if not is_concept_check(check)]
    began = time.perf_counter()
    scan = plan_scan(opened.table, rows if opened.columns is not None else [])
    fused.add_to_scan(scan, dqd, places)
    all_rows = scan.count("count(*)")
    values = _run(con, scan)
    share = (time.perf_counter() - began) / max(1, len(scan.counts))
    found = {check_id: (values[v], values[d]) for check_id, (v, d) in scan.counts.items()}
    scanned.rows[opened.table.name] = values[all_rows]
    for check in dqd:
        scanned.counts[check.check_id], scanned.seconds[check.check_id] = found[check.check_id], share
    for own in rows:
        if opened.columns is None:
            missing = int(own.check_type == "has_rows")
            yield own.check_id, _Counted(missing, missing, 0.0)
        elif own.check_id in found:
            yield own.check_id, _Counted(*found[own.check_id], share)
        else:
            yield own.check_id, _count_alone(con, opened, own)


def _run(con: Connection, scan: Scan) -> list[int]:
    """The values of a scan's aggregates, in their order.

    Of an empty table, as a night of a few persons has many, every count is 0 without planning its statements.
    """
    values: dict[str, int] = {}
    is_empty = con.execute(f"SELECT 1 FROM {relation_of(scan.table.name)} LIMIT 1").fetchall() == []
    if is_empty:
        values.update({aggregate: 0 for aggregate in scan.aggregates if aggregate.startswith("count(")})
    for select, aggregates in scan.selects(without=values).items():
        values.update(zip(aggregates, con.execute(select).fetchall()[0], strict=True))
    return [int(values[aggregate]) for aggregate in scan.aggregates]


def _used_by_field(
    con: Connection, checks: Iterable[Check], dqd: Iterable[DqdCheck]
) -> dict[tuple[str, str], list[Used]]:
    """The kinds of concepts that each checked concept field holds."""
    fields = {(check.table, check.column) for check in checks if is_concept_check(check)}
    fields |= {(check.table, check.field) for check in dqd if is_of_concepts(check)}
    by_field: dict[tuple[str, str], list[Used]] = defaultdict(list)
    for used in used_concepts(con, fields):
        by_field[used.table, used.column].append(used)
    return by_field


def _count_alone(con: Connection, opened: Opened, check: Check) -> _Counted:
    width = len(opened.table.fields)
    if check.check_type == "columns":
        return _Counted(opened.wrong_columns, max(width, opened.wrong_columns), 0.0)
    if check.check_type == "types":
        return _Counted(opened.wrong_types, width, 0.0)
    began = time.perf_counter()
    violated, denominator = con.execute(alone_sql(check)).fetchall()[0]
    return _Counted(int(violated), int(denominator), time.perf_counter() - began)


def _count_concepts(
    checks: Sequence[Check], used: Mapping[tuple[str, str], Sequence[Used]], seconds: float
) -> Iterator[tuple[str, _Counted]]:
    concept_checks = [check for check in checks if is_concept_check(check)]
    for check in concept_checks:
        counts = count_concepts(check, used.get((check.table, check.column), ()))
        yield check.check_id, _Counted(*counts, seconds / len(concept_checks))


def _accounting(account: Sequence[SourceAccount]) -> Iterator[tuple[Check, _Counted]]:
    for source in account:
        for check in ledger_checks(source.table):
            # A table that landed nothing has nothing to account for, but rows too many are never "not applicable".
            yield check, _Counted(*LEDGER_TYPES[check.check_type](source), 0.0)


# check type → violated and denominator
LEDGER_TYPES: dict[str, Callable[[SourceAccount], tuple[int, int]]] = {
    "accounting": lambda of: (of.unaccounted, of.landed),
    "landed_or_rejected": lambda of: (
        (0, 0) if of.received is None else (abs(of.received - of.landed - of.rejected), of.received)
    ),
    "used_or_excluded": lambda of: (abs(of.landed - of.used - of.excluded - of.unaccounted), of.landed),
    "from_landed": lambda of: (of.not_landed, of.cdm),
}


def _result(check: Check, counted: _Counted) -> CheckResult:
    return CheckResult(
        check_id=check.check_id,
        table=check.table,
        column=check.column,
        check_type=check.check_type,
        severity=check.severity,
        violated=counted.violated,
        denominator=counted.denominator,
        status=status_of(counted.violated, counted.denominator, check.allowed_percent),
        seconds=counted.seconds,
        allowed_percent=check.allowed_percent,
    )
