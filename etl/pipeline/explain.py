"""One person's timeline: every source row of theirs beside the CDM rows made of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from etl.errors import UsageError
from etl.pipeline.ingredients import start_column
from etl.pipeline.lineage import DERIVED, EVENTS, MODELS, Lake, encode, key_of_person, lake_of, part_of

# source model → its date, vocabulary and code
TIMED = {
    "src_event": ("start_datetime", "source_vocabulary", "source_code"),
    "src_visit": ("start_datetime", "visit_vocabulary", "visit_code"),
    "src_payer_plan": ("start_datetime", "payer_vocabulary", "payer_code"),
    "src_note": ("note_datetime", "class_vocabulary", "class_code"),
}


@dataclass(frozen=True)
class Line:
    """A source row and one CDM row of it; either side may be missing: excluded rows, derived rows.

    `outcome` says why there is no CDM row of its own.
    """

    day: date | None
    source_table: str
    record_no: int | None
    code: str
    name: str
    cdm_table: str
    cdm_id: int | None
    concept: str
    outcome: str


@dataclass(frozen=True)
class Timeline:
    """`total` lines there are in the span, of which `lines` are the first."""

    run_id: str
    release: int | None
    person_id: int
    lines: tuple[Line, ...]
    total: int


Source = tuple[date | None, int, int, str, str]  # day, part, row, vocabulary, code


def explain_person(
    person_id: int, *, first: date | None = None, last: date | None = None, limit: int = 200, run_id: str | None = None
) -> Timeline:
    """The person's records by date, those without one last. UsageError: no such person in the run."""
    with lake_of(run_id, _key_in_current(person_id, run_id)) as lake:
        known = lake.rows("map.person", "person_id = ?", [person_id], "person_key")
        if not known:
            raise UsageError(
                f"Person {person_id} is not in run {lake.run.run_id}.",
                todo="Take a person_id from cdm.person; persons without a year of birth are excluded.",
            )
        span = (first or date.min, last or date.max)
        source = _source(lake, [row["person_key"] for row in known], span)
        cdm = _cdm(lake, person_id, span)
        lines = _beside(lake, source, cdm, person_id)
        shown = sorted(lines, key=lambda one: (one[0].day or date.max, one[0].source_table, one[1], one[0].cdm_id or 0))
        named = _named(lake, shown[:limit])
        return Timeline(lake.run.run_id, lake.release, person_id, tuple(named), len(lines))


def _key_in_current(person_id: int, run_id: str | None) -> str | None:
    """The person's key, where the current release's files are of several runs."""
    if run_id is not None:
        return None
    with lake_of(None) as lake:
        return None if lake.run.scope == "all" else key_of_person(lake.run.source, person_id)


def _source(lake: Lake, keys: Sequence[str], span: tuple[date, date]) -> list[Source]:
    found: list[Source] = []
    for model, (day, vocabulary, code) in TIMED.items():
        rows = lake.rows(
            f"source.{model}",
            f"list_contains(?, person_key) AND (CAST({day} AS DATE) BETWEEN ? AND ? OR {day} IS NULL)",
            [list(keys), *span],
            f"CAST({day} AS DATE) AS day, source_part_no, source_row_id, {vocabulary} AS vocabulary, {code} AS code",
        )
        found += [
            (row["day"], row["source_part_no"], row["source_row_id"], row["vocabulary"] or "", row["code"] or "")
            for row in rows
        ]
    return found


def _cdm(lake: Lake, person_id: int, span: tuple[date, date]) -> list[tuple[str, int, date, int]]:
    """(table, id, day, concept) of the person's rows that have dates, the derived ones too."""
    found = []
    for table in (*EVENTS, "visit_occurrence", "payer_plan_period", "note", "death", *DERIVED):
        day = start_column(table)
        number = "person_id" if table == "death" else f"{table}_id"
        prefix = {
            "death": "cause",
            "observation_period": "period_type",
            "payer_plan_period": "payer",
            "note": "note_class",
            "dose_era": "drug",
        }.get(table, table.split("_")[0])
        found += [
            (table, row["id"], row["day"], row["concept"] or 0)
            for row in lake.rows(
                f"cdm.{table}",
                f"person_id = ? AND {day} BETWEEN ? AND ?",
                [person_id, *span],
                f"{number} AS id, {day} AS day, {prefix}_concept_id AS concept",
            )
        ]
    return found


Sided = tuple[Line, int, int, str]  # the line, its source row, its concept, its vocabulary


def _beside(lake: Lake, source: list[Source], cdm: list[tuple[str, int, date, int]], person_id: int) -> list[Sided]:
    made: dict[int, list[tuple[str, int, date, int]]] = {}
    for row in cdm:
        if row[0] in MODELS and row[0] != "death":
            made.setdefault(row[1] // 100, []).append(row)
    outcomes = _outcomes(lake, source)
    lines: list[Sided] = []
    matched: set[int] = set()
    for day, part_no, row_id, vocabulary, code in source:
        table, key = part_of(part_no)["table"], encode(row_id, part_no) // 100
        matched.add(key)
        rows: list[Any] = made.get(key, []) or [("", None, day, 0)]
        outcome = "" if made.get(key) else outcomes.get((part_no, row_id), "")
        for name, number, _, concept in rows:
            line = Line(day, table, None, code, "", name, number, "", outcome)
            lines.append((line, row_id, concept, vocabulary))
    for name, number, day, concept in cdm:
        if name in MODELS and name != "death" and number // 100 in matched:
            continue
        lines.append((Line(day, "", None, "", "", name, number, "", ""), 0, concept, ""))
    return lines


def _outcomes(lake: Lake, source: list[Source]) -> dict[tuple[int, int], str]:
    """Why rows have no CDM row of their own, by part and row: a rule, or the number that they went into."""
    wanted = {(part_no, row_id) for _, part_no, row_id, _, _ in source}
    ids = ", ".join(str(row_id) for row_id in sorted({row_id for _, row_id in wanted})) or "NULL"
    found: dict[tuple[int, int], str] = {}
    for row in lake.rows("map.excluded", f"source_row_id IN ({ids})"):
        found[row["source_part_no"], row["source_row_id"]] = f"excluded: {row['rule']}"
    for row in lake.rows("map.merged", f"source_row_id IN ({ids})"):
        into = encode(row["into_source_row_id"], row["into_part_no"])
        found[row["source_part_no"], row["source_row_id"]] = f"went into {into}"
    return found


def _named(lake: Lake, lines: list[Sided]) -> list[Line]:
    """The lines with record numbers and names, looked up for all of them at once."""
    concepts = lake.concepts([concept for _, _, concept, _ in lines])
    records: dict[tuple[str, int], int] = {}
    for table in {line.source_table for line, _, _, _ in lines if line.source_table}:
        ids = sorted({row_id for line, row_id, _, _ in lines if line.source_table == table})
        now, _ = lake.places(table, lake.files(f"landing.{table}"), ids)
        records |= {(table, row_id): origin.record_no for row_id, origin in now.items()}
    names = {
        (row["source_vocabulary"], row["source_code"]): row["source_code_name"] or ""
        for row in lake.rows("source.src_code_name")
    }
    return [
        Line(
            line.day,
            line.source_table,
            records.get((line.source_table, row_id)),
            line.code,
            names.get((vocabulary, line.code), ""),
            line.cdm_table,
            line.cdm_id,
            concepts[concept]["concept_name"] if concept in concepts else ("" if not line.cdm_table else "0"),
            line.outcome,
        )
        for line, row_id, concept, vocabulary in lines
    ]
