"""What a gate leaves for people and for OHDSI's tools: the quality page and DQD's JSON in the run's report.

The results table that ATLAS and Ares read from PostgreSQL is a view over the same records (`etl/publish/dashboard.py`).
"""

import json
from collections.abc import Collection, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

import sqlalchemy
from sqlalchemy.dialects.postgresql import insert

from etl import state
from etl.config import settings
from etl.engine import connection, quote_path
from etl.pipeline.check_results import quarantined_rows, releases_before, stored_results, trend_of
from etl.pipeline.overrides import overrides_in_force
from etl.pipeline.runs import Run, database, engine
from etl.quality import CheckResult
from etl.quality.dqd.catalogue import read_catalogue
from etl.quality.dqd.definition import Places, violating_rows
from etl.quality.report import DqdFacts, QualityReport, dqd_facts, dqd_json, quality_page
from etl.quality.report.model import counts_of

PAGE, DQD_FILE = "quality.html", "dqd.json"
# Whoever reads a query there may run it as cdm_reader: vocabulary tables too are views of `cdm`.
AS_SERVED = Places(cdm="cdm", vocabulary="cdm")


def write_quality_report(
    run: Run,
    results: Sequence[CheckResult],
    *,
    passed: bool,
    reasons: Sequence[str] = (),
    regressed: Collection[str] = (),
) -> Path:
    """Write quality.html and dqd.json into the run's report; the page's path. Also for a gate that is shut.

    `results` are all that were counted so far, drift among them once it is; each gate writes both files anew. `passed`,
    `reasons` and `regressed` (ids of warnings that got so much worse that they stop) are the gate's answer.
    """
    report = run.folder / "report"
    report.mkdir(parents=True, exist_ok=True)
    db = engine(database(settings()))
    catalogue = read_catalogue(settings().expectations_dir / "dqd", deprecated=True)
    facts = dqd_facts(catalogue, {check.check_id: violating_rows(check, AS_SERVED) for check in catalogue})
    with db.begin() as con:
        remember_facts(con, [facts[result.check_id] for result in results if result.origin == "dqd"])
        told = _told(con, run, results, passed, reasons, regressed)
    ended = datetime.now(UTC)
    started = ended - timedelta(seconds=sum(result.seconds for result in results))
    content = dqd_json(
        results, facts, cdm_source_of(run) | {"dqd_version": f"cdmflow {run.code_version}"}, started, ended
    )
    _write(report / DQD_FILE, json.dumps(content, ensure_ascii=False))
    _write(report / PAGE, quality_page(told))
    return report / PAGE


def _told(
    con: sqlalchemy.Connection,
    run: Run,
    results: Sequence[CheckResult],
    passed: bool,
    reasons: Sequence[str],
    regressed: Collection[str],
) -> QualityReport:
    releases = releases_before(con, run.source, run.run_id)
    now = counts_of("now", [result for result in results if result.origin != "drift"])
    return QualityReport(
        source=run.source,
        run_id=run.run_id,
        data_until=run.cutoff_date,
        passed=passed,
        results=results,
        reasons=reasons,
        before=stored_results(con, releases[0][1]) if releases else None,
        before_release=releases[0][0] if releases else None,
        overrides=overrides_in_force(),
        regressed=regressed,
        trend=[*trend_of(con, releases), now],
        quarantined=quarantined_rows(con, run.source),
        pages={
            path.stem: path.relative_to(run.folder / "report").as_posix()
            for folder in ("candidate", "drift")
            for path in (run.folder / "report" / folder).glob("*.html")
            if path.stem != "index"
        },
    )


def remember_facts(con: sqlalchemy.Connection, facts: Sequence[DqdFacts]) -> None:
    """Keep what is said of these checks; a fact that changed takes the place of the old one. None is removed:

    results of older releases refer to them.
    """
    if not facts:
        return
    arriving = insert(state.dqd_check)
    changed = {name: arriving.excluded[name] for name in DqdFacts.__dataclass_fields__ if name != "check_id"}
    con.execute(
        arriving.on_conflict_do_update(index_elements=["check_id"], set_=changed),
        [asdict(each) for each in sorted(facts, key=lambda each: each.check_id)],
    )


def cdm_source_of(run: Run) -> dict[str, str]:
    """The candidate's row of cdm_source, by column; empty where it has none."""
    path = run.folder / "cdm" / "cdm_source.parquet"
    if not path.is_file():
        return {}
    with connection(threads=1) as con:
        found = con.execute(f"SELECT * FROM read_parquet({quote_path(path)}) LIMIT 1")
        names = [column[0] for column in found.description]
        row = found.fetchone()
    return {name: str(value) for name, value in zip(names, row or (), strict=False) if value is not None}


def _write(path: Path, text: str) -> None:
    """Beside and renamed, so that nobody copies a half."""
    beside = path.with_name(f".{path.name}.part")
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)
