"""What a release changed, and why: each different row leads to its source row, which is new, corrected or deleted."""

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import sqlalchemy

from etl import land, publish, state
from etl.cdm import quoted
from etl.config import settings
from etl.engine import connection, quote_path, relation, written_beside
from etl.errors import UsageError
from etl.log import get_logger
from etl.pipeline.lineage import decodable_tables
from etl.pipeline.models import rules_digest, source_parts
from etl.pipeline.runs import Run, database, engine, kept_state, load_run, state_files

Files = Mapping[str, Sequence[Path]]

log = get_logger(__name__)

NEW, CORRECTED, DELETED = "new data", "correction", "deletion"
MERGE, MAPPING, RULE, FOLLOWS = "merge", "mapping", "rule", "follows"


@dataclass(frozen=True)
class Difference:
    """Rows of a CDM table that were added, changed or removed for one cause, and the persons they belong to."""

    table: str
    kind: str
    cause: str
    rows: int
    persons: int


@dataclass(frozen=True)
class ReleaseDiff:
    """All differences of two releases, and the persons that any of them touches. `older` is None for the first one."""

    older: int | None
    newer: int
    differences: tuple[Difference, ...]
    persons: int


def diff(older: int, newer: int) -> ReleaseDiff:
    """Compare two kept releases of one source.

    A row's cause is what happened to its source row: `new data` and `deletion` where only one of the states has it,
    `correction` where its values differ. If the source row is the same in both, the cause is `merge` for persons who
    were merged or whose merge was taken back, `mapping` when the
    vocabularies differ, `rule` when SQL, maps or contract do, else `follows`: another row of the person changed, or the
    cut-off moved. Rows derived from several (eras, periods) have the last three causes only, in that order.
    UsageError: no such release, its tables are gone, or the releases are of different sources.
    """
    configured = settings()
    with tempfile.TemporaryDirectory(prefix=".diff-", dir=_beside(configured.runs_dir)) as folder:
        rows = Path(folder) / "differences.csv"
        pair = publish.write_differences(database(configured), older, newer, rows)
        before, after = (load_run(release.run_id) for release in pair)
        if before.source != after.source:
            raise UsageError(f"Releases {older} and {newer} are of different sources.", state="Nothing was changed.")
        old, new = (_state(run, Path(folder) / run.run_id) for run in (before, after))
        merged = _merged_persons(after.source, old, new)
        return _summed(older, newer, rows, _causes(after.source, old, new), merged, _otherwise(before, after))


def _state(run: Run, folder: Path) -> Files:
    """A run's source tables with today's columns: its own files, as long as it has them and they were made by today's
    contract (two runs' states take 0.7 s to make again).
    """
    kept = kept_state(run) if run.parameters.get("rules") == rules_digest(run.source) else None
    return kept or state_files(run, folder)


def diff_file(release_id: int) -> Path:
    return settings().releases_dir / str(release_id) / "diff.json"


def write_diff(source: str, release: publish.Release) -> None:
    """Write what a release that was just published changed against the one before it into its `diff.json`.

    Of a source's first release everything is new. Where the one before is not kept there is no file.
    """
    mine, run = state.release.c, state.run.c
    with engine(database(settings())).connect() as con:
        older = con.execute(
            sqlalchemy.select(mine.release_id)
            .join_from(state.release, state.run)
            .where(run.source == source, mine.withdrawn_at.is_(None), mine.release_id < release.release_id)
            .order_by(mine.release_id.desc())
            .limit(1)
        ).scalar_one_or_none()
    try:
        found = diff(older, release.release_id) if older is not None else _everything(release)
    except UsageError as gone:
        log.warning("release %s has no diff: %s", release.release_id, gone.what)
        return
    output = diff_file(release.release_id)
    output.parent.mkdir(parents=True, exist_ok=True)
    with written_beside(output) as beside:
        beside.write_text(json.dumps(asdict(found), indent=1) + "\n", encoding="utf-8")


def read_diff(release_id: int) -> ReleaseDiff:
    """The diff that a release was published with."""
    told = json.loads(diff_file(release_id).read_text(encoding="utf-8"))
    return ReleaseDiff(**told | {"differences": tuple(Difference(**each) for each in told["differences"])})


def _everything(release: publish.Release) -> ReleaseDiff:
    persons = int(release.tables["person"]["rows"])
    rows = ((name, int(table["rows"])) for name, table in sorted(release.tables.items()))
    added = tuple(Difference(name, "added", NEW, count, 0) for name, count in rows if count)
    return ReleaseDiff(None, release.release_id, added, persons)


def _beside(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _otherwise(before: Run, after: Run) -> str:
    """Why a row differs whose own source row does not."""
    if before.vocabulary_id != after.vocabulary_id or before.parameters.get("maps") != after.parameters.get("maps"):
        return MAPPING
    return RULE if before.parameters.get("rules") != after.parameters.get("rules") else FOLLOWS


def _merged_persons(source: str, old: Files, new: Files) -> list[int]:
    """The numbers of the persons of merges that only one of the states has."""
    keys: set[str] = set()
    with connection(threads=1) as con:
        for name, table in land.load_contract(settings(), source).tables.items():
            if table.merges and old[name] != new[name]:
                both = [f"SELECT {', '.join(map(quoted, table.merges))} FROM {relation(of[name])}" for of in (old, new)]
                differing = f"({both[0]} EXCEPT {both[1]}) UNION ({both[1]} EXCEPT {both[0]})"
                keys.update(str(key) for row in con.execute(differing).fetchall() for key in row)
    person = state.person.c
    wanted = sqlalchemy.select(person.person_id).where(person.source == source, person.person_key.in_(keys))
    with engine(database(settings())).connect() as db:
        return list(db.execute(wanted).scalars())


def _causes(source: str, old: Files, new: Files) -> str:
    """A SELECT of table, source_row_id and cause of every row of `origin` that differs between the two states.

    Only these are compared: with 50,000 patients, a night of one took 0.3 s instead of 3.7 s.
    """
    contract = land.load_contract(settings(), source)

    def rows(name: str, files: Sequence[Path]) -> str:
        wanted = f"SELECT source_row_id FROM origin WHERE source_table = '{name}'"
        return f"(SELECT * FROM {relation(files)} WHERE source_row_id IN ({wanted}))"

    selects = [
        f"""SELECT '{name}' AS source_table, coalesce(b.source_row_id, a.source_row_id) AS source_row_id,
            CASE WHEN a.source_row_id IS NULL THEN '{NEW}' WHEN b.source_row_id IS NULL THEN '{DELETED}'
                ELSE '{CORRECTED}' END AS cause
            FROM {rows(name, old[name])} AS a FULL JOIN {rows(name, new[name])} AS b USING (source_row_id)
            WHERE a IS DISTINCT FROM b"""
        for name in contract.tables
        if old[name] != new[name]
    ]
    nothing = "SELECT '' AS source_table, CAST(0 AS BIGINT) AS source_row_id, '' AS cause WHERE FALSE"
    return " UNION ALL ".join(selects) or nothing


def _summed(older: int, newer: int, rows: Path, causes: str, merged: list[int], otherwise: str) -> ReleaseDiff:
    with connection() as con:
        columns = ", ".join(f"'{name}': '{kind}'" for name, kind in publish.DIFFERENCE_COLUMNS.items())
        con.execute(
            f"CREATE TABLE difference AS SELECT * FROM read_csv({quote_path(rows)}, header = false, "
            f"auto_detect = false, columns = {{{columns}}})"
        )
        con.execute(f"CREATE TABLE part AS SELECT * FROM (VALUES {_part_rows()}) AS part (part_no, source_table)")
        listed = ", ".join(f"'{name}'" for name in decodable_tables())
        con.execute(
            f"""
            CREATE TABLE decoded AS
            SELECT difference.*, part.source_table, difference.row_id // 100000 AS source_row_id
            FROM difference
            LEFT JOIN part
                ON difference.table_name IN ({listed}) AND difference.row_id // 100 % 1000 = part.part_no
            """
        )
        con.execute("CREATE TABLE origin AS SELECT DISTINCT source_table, source_row_id FROM decoded")
        con.execute(f"CREATE TABLE source_cause AS {causes}")
        found = con.execute(
            f"""
            SELECT table_name, kind,
                coalesce(cause, CASE WHEN list_contains(?, person_id) THEN '{MERGE}' ELSE '{otherwise}' END) AS cause,
                count(*) AS rows, count(DISTINCT person_id) AS persons
            FROM decoded
            LEFT JOIN source_cause USING (source_table, source_row_id)
            GROUP BY ALL ORDER BY ALL
            """,
            [merged],
        ).fetchall()
        persons = con.execute("SELECT count(DISTINCT person_id) FROM difference").fetchone()
    return ReleaseDiff(older, newer, tuple(Difference(*row) for row in found), int(persons[0]) if persons else 0)


def _part_rows() -> str:
    parts: Sequence[tuple[int, str]] = [(number, part["table"]) for number, part in source_parts().items()]
    return ", ".join(f"({number}, '{table}')" for number, table in parts)
