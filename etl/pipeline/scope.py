"""Whom a night concerns: the persons that are made again, and the landed rows that SQL reads for them.

The SQL is the same for all persons and for some: what it reads is narrowed. Tables that persons and places are made of
stay whole, since a place is known by the first of all who live there; so do tables without persons.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import sqlalchemy
from sqlalchemy.dialects.postgresql import ARRAY

from etl import land, state
from etl.cdm import tables
from etl.config import settings
from etl.engine import connection, quote_path, relation, write_parquet
from etl.land.changes import write_affected_persons, write_rows_of
from etl.pipeline.code_changes import Meaning, compare_codes, persons_of_changed_codes
from etl.pipeline.models import models
from etl.pipeline.runs import (
    Run,
    chosen_vocabulary,
    database,
    engine,
    kept_state,
    load_run,
    state_files,
    use_vocabulary,
    vocabulary_folder,
)
from etl.publish import IN_PLACE

PEOPLE_AND_PLACES = ("src_person", "src_person_merge", "src_location", "src_care_site", "src_provider")
PLACES = ("src_location", "src_care_site", "src_provider")
# They read every table to account for its rows, and make no row of the CDM.
LEDGER = ("src_landed", "src_part", "src_support", "src_code_name")
# Of more persons everybody is made again: from about a third on that takes less time (`bench/nightly --shares`, 5,000
# patients: 5 % of them 0.40 of the time, 20 % 0.77, 40 % 1.07), and leaves no removed rows behind.
LARGEST_SHARE = 0.3

Files = Mapping[str, list[Path]]


@dataclass(frozen=True)
class Scope:
    """`persons` is None for everybody; `reason` says why in words for the log."""

    persons: int | None
    reason: str


def whole_tables(source: str) -> frozenset[str]:
    """Source tables that people and places are made of: never narrowed."""
    return _read_by(source, PEOPLE_AND_PLACES)


def narrowed_tables(contract: land.Contract) -> list[land.SourceTable]:
    """Source tables of which SQL reads only the rows of the persons concerned."""
    whole = whole_tables(contract.source)
    return [table for name, table in contract.tables.items() if table.person is not None and name not in whole]


def _read_by(source: str, names: tuple[str, ...]) -> frozenset[str]:
    known = models(source)
    read = frozenset[str]().union(*(known[f"source.{name}"].inputs for name in names if f"source.{name}" in known))
    return frozenset(name.removeprefix("landing.") for name in read if name.startswith("landing."))


def in_place_tables(source: str) -> frozenset[str]:
    """Tables of places only: a change of a row's values is put in place and concerns no person's records."""
    others = tuple(
        name.removeprefix("source.")
        for name in models(source)
        if name.startswith("source.") and name.removeprefix("source.") not in (*PLACES, *LEDGER)
    )
    return _read_by(source, PLACES) - _read_by(source, others)


def narrow(
    run: Run,
    contract: land.Contract,
    current: Files,
    arrived: Files,
    unchanged: Collection[str],
    cutoff: date,
    again: Collection[str] = (),
) -> tuple[Scope, dict[str, list[Path]]]:
    """Decide whom the run makes again, and give the files that its SQL reads. Everybody: the files as they are.

    `again` are keys of persons who are made again in any case.
    """
    everybody = _why_everybody(run, contract)
    if everybody:
        return Scope(None, everybody), dict(current)
    base = load_run(run.parameters["base_run"])
    persons = run.folder / "scope" / "person_key.parquet"
    before = {**(kept_state(base) or state_files(base, run.folder / "scope" / "before"))}
    before |= {name: list(current[name]) for name in unchanged}
    others = persons_with_other_codes(run, base, current)
    if others is None:
        return Scope(None, "the vocabulary describes concepts anew that every record has"), dict(current)
    others += again
    others += hanging_on_cutoff(run.source, base.cutoff_date, cutoff)
    in_place = in_place_tables(run.source)
    found = write_affected_persons(contract, before, current, arrived, in_place, others, persons)
    if found is None:
        return Scope(None, "a table changed of which it cannot be told whom it concerns"), dict(current)
    held = persons_held(run.source)
    if found > LARGEST_SHARE * held:
        return Scope(None, f"{found:,} of {held:,} persons are concerned"), dict(current)
    narrowed = write_rows_of(narrowed_tables(contract), current, persons, run.folder / "scope")
    return Scope(found, f"{found:,} of {held:,} persons are concerned"), {**current, **narrowed}


def _why_everybody(run: Run, contract: land.Contract) -> str:
    is_part = run.parameters.get("is_drop") or run.parameters.get("vocabulary_id") is not None
    if not is_part or run.parameters.get("base_run") is None:
        return "the delivery is complete"
    base = load_run(run.parameters["base_run"])
    if run.parameters["rules"] != base.parameters.get("rules"):
        return "SQL or contract changed since the current release"
    if not all(path.exists() for path in _needed_of(base)):
        return "the files of the current release are not in the lake any more"
    if run.code_version != base.code_version:
        return "another version of the code made the current release"
    if run.parameters["checks"] != base.parameters.get("checks"):
        return "the gate counts other things than it did for the current release"
    unkeyed = [m for m in models(run.source) if m.startswith("cdm.") and not _can_be_put_in_place(m)]
    return f"{unkeyed[0]} has no key" if unkeyed else ""


def _can_be_put_in_place(model: str) -> bool:
    table = tables()[model.removeprefix("cdm.")]
    return table.primary_key is not None or table.name in ("death", "cdm_source")


def _needed_of(base: Run) -> list[Path]:
    """What comparing codes needs of the run that made the current release."""
    return [base.folder / "custom/source_to_concept_map.parquet", base.folder / "run/parameter.parquet"]


def persons_with_other_codes(run: Run, base: Run, landed: Files) -> list[str] | None:
    """Keys of persons with a code that means something else than in the base run; None for everybody.

    The vocabulary and the source's maps decide over what codes mean. Where both are the same nothing is read.
    """
    vocabulary_id = chosen_vocabulary(run).vocabulary_id
    if vocabulary_id == base.vocabulary_id and run.parameters["maps"] == base.parameters.get("maps"):
        return []
    assert base.vocabulary_id is not None
    custom, parameter = _needed_of(base)
    before = Meaning(vocabulary_folder(base.vocabulary_id), custom)
    after = Meaning(vocabulary_folder(vocabulary_id), use_vocabulary(run, vocabulary_id))
    with connection() as con:
        if compare_codes(con, run.source, landed, parameter, before, after).named_concepts:
            return None
        return persons_of_changed_codes(con, run.source)


def hanging_on_cutoff(source: str, before: date | None, after: date) -> list[str]:
    """Keys of persons whose rows would change with the cut-off alone, from the current release in PostgreSQL.

    Those whose observation, insurance or stay reaches the earlier of both days, and those with records after it, which
    are in no period, and count as future dates, until the cut-off has passed them. Reads each table's dates once: 2.5
    million rows in 0.3 s.
    """
    if before is None or before == after:
        return []
    day = min(before, after)
    found: set[str] = set()
    with engine(database(settings())).connect() as con:
        for statement in CUTOFF_PERSONS:
            rows = con.execute(sqlalchemy.text(statement), {"day": day, "source": source}).scalars()
            found.update(rows)
    return sorted(found)


KEYS = "SELECT DISTINCT known.person_key FROM etl.person AS known JOIN ({}) AS hanging USING (person_id) " \
       "WHERE known.source = :source"  # fmt: skip
ENDS = (
    ("observation_period", "observation_period_end_date"),
    ("payer_plan_period", "payer_plan_period_end_date"),
    ("visit_occurrence", "visit_end_date"),
    ("visit_detail", "visit_detail_end_date"),
)
DATES = (
    ("condition_occurrence", "condition_start_date"),
    ("drug_exposure", "drug_exposure_start_date"),
    ("procedure_occurrence", "procedure_date"),
    ("device_exposure", "device_exposure_start_date"),
    ("measurement", "measurement_date"),
    ("observation", "observation_date"),
    ("specimen", "specimen_date"),
    ("note", "note_date"),
    ("death", "death_date"),
)
CUTOFF_PERSONS = (
    *(KEYS.format(f"SELECT person_id FROM cdm.{table} WHERE {ends} >= :day") for table, ends in ENDS),
    *(KEYS.format(f"SELECT person_id FROM cdm.{table} WHERE {starts} > :day") for table, starts in DATES),
)


def persons_held(source: str) -> int:
    """Persons of a source that ever got a person_id."""
    with engine(database(settings())).connect() as con:
        counted = sqlalchemy.select(sqlalchemy.func.count()).where(state.person.c.source == source)
        return int(con.execute(counted).scalar_one())


def scope_ids(run: Run) -> Path:
    """The numbers of the persons that the run makes again, one a line; of those who are in no CDM any more too."""
    output = run.folder / "scope" / "person_id.txt"
    with connection(threads=1) as con:
        keys = con.execute(
            f"SELECT person_key FROM {relation([run.folder / 'scope' / 'person_key.parquet'])}"
        ).fetchall()
    person = state.person.c
    wanted = sqlalchemy.cast([key for (key,) in keys], ARRAY(sqlalchemy.Text))
    with engine(database(settings())).connect() as db:
        numbers = db.execute(
            sqlalchemy.select(person.person_id)
            .where(person.source == run.source, person.person_key == sqlalchemy.any_(wanted))
            .order_by(person.person_id)
        ).scalars()
        output.write_text("".join(f"{number}\n" for number in numbers))
    return output


def keep_scope_only(run: Run, ids: Path) -> None:
    """Leave out what the candidate's tables hold of other persons: what SQL makes of tables that are never narrowed."""
    with connection() as con:
        con.execute(
            f"CREATE TABLE scope AS SELECT * FROM read_csv({quote_path(ids)}, header = false, auto_detect = false, "
            "columns = {'person_id': 'INTEGER'})"
        )
        for name, table in tables().items():
            path = run.folder / "cdm" / f"{name}.parquet"
            if name in IN_PLACE or "person_id" not in table.column_names or not path.exists():
                continue
            others = f"FROM {relation([path])} AS t ANTI JOIN scope USING (person_id)"
            if con.execute(f"SELECT count(*) {others}").fetchone() != (0,):
                write_parquet(con, f"SELECT t.* FROM {relation([path])} AS t SEMI JOIN scope USING (person_id)", path)
