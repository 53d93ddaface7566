"""What trace and explain read: a run's files by name, ids decoded, rows with their place in the source's files."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from json import loads
from pathlib import Path
from typing import Any

import sqlalchemy

from etl import state
from etl.cdm import tables
from etl.config import settings
from etl.engine import connection, relation
from etl.errors import UsageError
from etl.land import load_contract
from etl.land.locate import Origin, landed_in, newest_batch, origins, versions
from etl.pipeline.models import source_parts
from etl.pipeline.runs import Run, database, engine, load_run, vocabulary_folder

ID_RULE = "An id is source row × 100 000 + part × 100 + number of the code's target."

Row = dict[str, Any]

# CDM table → source model that its ids lead to. Derived tables lead to other CDM tables.
EVENTS = (
    "condition_occurrence", "drug_exposure", "procedure_occurrence", "device_exposure", "measurement", "observation",
    "specimen",
)  # fmt: skip
MODELS = dict.fromkeys(EVENTS, "src_event") | {
    "visit_occurrence": "src_visit",
    "visit_detail": "src_visit_detail",
    "note": "src_note",
    "person": "src_person",
    "death": "src_death",
    "provider": "src_provider",
    "care_site": "src_care_site",
    "location": "src_location",
    "payer_plan_period": "src_payer_plan",
    "cost": "src_cost",
}
DERIVED = ("observation_period", "condition_era", "drug_era", "dose_era")


@dataclass(frozen=True)
class SourceRow:
    """A landed row: its values as they are now, the file they came in, and where its number first arrived if elsewhere.

    `origin` is None where no batch of the row is known any more.
    """

    table: str
    source_row_id: int
    values: Row
    origin: Origin | None
    first: Origin | None


@dataclass(frozen=True)
class Lake:
    """A run's files and a connection to read them; `release` is None for a run that was not published.

    `batch_ids` are the batches of the release's state: those of a later run, where `run` made only what that one left.
    """

    run: Run
    release: int | None
    con: Any
    batch_ids: Sequence[int]

    def files(self, name: str) -> list[Path]:
        """The Parquet files of `schema.table`; none where the run has no such relation."""
        schema, table = name.split(".")
        if schema == "vocabulary":
            folder = vocabulary_folder(self.run.vocabulary_id) if self.run.vocabulary_id else self.run.folder
            found = [folder / f"{table}.parquet"]
        elif schema == "landing":
            found = [Path(path) for path in loads((self.run.folder / "landing.json").read_text()).get(table, [])]
        else:
            found = [
                self.run.folder / schema / f"{table}.parquet",
                *sorted((self.run.folder / schema / table).glob("*.parquet")),
            ]
        return [path for path in found if path.exists()]

    def state_files(self, table: str) -> list[Path]:
        """The whole current state of a source table, of which `landing.<table>` may be some persons' rows."""
        whole = self.run.folder / "state.json"
        if not whole.exists():
            return self.files(f"landing.{table}")
        return [Path(path) for path in loads(whole.read_text()).get(table, []) if Path(path).exists()]

    def rows(self, name: str, where: str = "true", values: Sequence[Any] = (), columns: str = "*") -> list[Row]:
        """Rows of a relation as dictionaries; none where the run does not have it."""
        files = self.files(name)
        if not files:
            return []
        found = self.con.execute(f"SELECT {columns} FROM {relation(files)} WHERE {where}", list(values))
        names = [column[0] for column in found.description]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]

    def concepts(self, ids: Sequence[Any]) -> dict[int, Row]:
        wanted = sorted({int(number) for number in ids if number})
        if not wanted:
            return {}
        listed = ", ".join(str(number) for number in wanted)
        return {row["concept_id"]: row for row in self.rows("vocabulary.concept", f"concept_id IN ({listed})")}

    def landed(self, table: str, row_ids: Sequence[int]) -> list[SourceRow]:
        """Rows of a source table's current state, with their places."""
        files = self.files(f"landing.{table}")
        if not files or not row_ids:
            return []
        listed = ", ".join(str(number) for number in row_ids)
        rows = self.rows(f"landing.{table}", f"source_row_id IN ({listed}) ORDER BY source_row_id")
        now, first = self.places(table, files, row_ids)
        return [
            SourceRow(
                table,
                row["source_row_id"],
                {name: value for name, value in row.items() if name != "source_row_id" and value is not None},
                now.get(row["source_row_id"]),
                first.get(row["source_row_id"])
                if first.get(row["source_row_id"]) != now.get(row["source_row_id"])
                else None,
            )
            for row in rows
        ]

    def places(
        self, table: str, files: Sequence[Path], row_ids: Sequence[int]
    ) -> tuple[dict[int, Origin], dict[int, Origin]]:
        """Where the rows stand in the newest delivery, and where their numbers first arrived; by source_row_id."""
        configured, db = settings(), engine(database(settings()))
        first = origins(configured, db, self.run.source, table, row_ids)
        if landed_in(configured, self.run.source, table, files) is not None:
            return first, first
        contract = load_contract(configured, self.run.source).tables[table]
        newest = newest_batch(configured, db, table, self.batch_ids)
        if newest is None or (contract.change == "append" and not contract.key):
            return first, first
        same = versions(contract, files[0], newest["path"], row_ids)
        there = origins(configured, db, self.run.source, table, list(same.values()))
        return first | {row_id: there[number] for row_id, number in same.items() if number in there}, first


@contextmanager
def lake_of(run_id: str | None, person_key: str | None = None) -> Iterator[Lake]:
    """The files of this run, or of the current release's. UsageError: nothing published, or the files are gone.

    A night makes only some persons again: the files of a person are those of the last run that made him.
    """
    db = engine(database(settings()))
    release = state.release.c
    with db.connect() as con:
        query = sqlalchemy.select(release.release_id, release.run_id).order_by(release.release_id.desc()).limit(1)
        wanted = release.withdrawn_at.is_(None) if run_id is None else release.run_id == run_id
        found = con.execute(query.where(wanted)).one_or_none()
    if run_id is None and found is None:
        raise UsageError("Nothing is published yet.", todo="Name a run with --run; ./cdmflow status lists them.")
    asked = load_run(run_id or found.run_id)  # type: ignore[union-attr]
    run = load_run(made_by(asked.run_id, person_key))
    if not (run.folder / "landing.json").exists():
        raise UsageError(
            f"The files of run {run.run_id} are not in the lake any more, or it never landed any.",
            state="The files of the last three runs are kept.",
            todo="Trace in a newer run, or run the same input again.",
        )
    with connection() as con:
        yield Lake(run, found.release_id if found else None, con, asked.batch_ids or [])


def layers(run_id: str) -> list[str]:
    """The runs whose files hold a release, newest first: those that replaced some persons, then the one of all."""
    found = [run_id]
    while (run := load_run(found[-1])).scope == "persons":
        found.append(run.parameters["base_run"])
    return found


def made_by(run_id: str, person_key: str | None) -> str:
    """The last of a release's runs that made this person; without a person the newest, which made all places."""
    every = layers(run_id)
    if person_key is None or len(every) == 1:
        return run_id
    with connection(threads=1) as con:
        for layer in every[:-1]:
            concerned = settings().runs_dir / layer / "scope" / "person_key.parquet"
            if concerned.exists():
                query = f"SELECT count(*) FROM {relation([concerned])} WHERE person_key = ?"
                if con.execute(query, [person_key]).fetchone() != (0,):
                    return layer
    return every[-1]


def key_of_person(source: str, person_id: int) -> str | None:
    """The source's key of a person of the CDM."""
    person = state.person.c
    with engine(database(settings())).connect() as con:
        wanted = sqlalchemy.select(person.person_key).where(person.source == source, person.person_id == person_id)
        found: str | None = con.execute(wanted).scalar_one_or_none()
    return found


def person_of_row(table: str, row_id: int) -> int | None:
    """Whose row of the current release this is; None for a place, and for a row that is not there."""
    columns = tables()[table].column_names
    if table in ("location", "care_site", "provider") or id_column(table) not in columns:
        return None
    if table == "cost":
        events = " UNION ALL ".join(
            f"SELECT event.person_id FROM cdm.{name} AS event JOIN cdm.cost ON cost.cost_event_id = event.{name}_id "
            "WHERE cost.cost_id = :row"
            for name in (*EVENTS, "visit_occurrence", "visit_detail")
        )
        query = f"SELECT min(person_id) FROM ({events}) AS found"
    else:
        query = f"SELECT min(person_id) FROM cdm.{table} WHERE {id_column(table)} = :row"
    with engine(database(settings())).connect() as con:
        found: int | None = con.execute(sqlalchemy.text(query), {"row": row_id}).scalar_one()
    return found


def decode(number: int) -> tuple[int, int, int]:
    """source_row_id, source_part_no and the target's number of an id."""
    return number // 100_000, number // 100 % 1000, number % 100


def encode(row: int, part: int) -> int:
    """The first id of a source row's part; 100 ids belong to it."""
    return row * 100_000 + part * 100


def part_of(part_no: int) -> dict[str, str]:
    """source, table and part of a part number; UsageError where the registry has none."""
    part = source_parts().get(part_no)
    if part is None:
        raise UsageError(f"There is no part {part_no} in sources/source_parts.yml.", todo=ID_RULE)
    return part


def id_column(table: str) -> str:
    """The column that a CDM table's rows are known by: death is by person."""
    return "person_id" if table == "death" else f"{table}_id"


def decodable_tables() -> list[str]:
    """The CDM tables whose ids lead to a source row by themselves."""
    known = tables()
    return [name for name in MODELS if name not in ("person", "death") and name in known]
