"""From a CDM row back to its source rows, and from a source row to every CDM row made of it."""

from dataclasses import dataclass

from etl.config import settings
from etl.engine import relation
from etl.errors import UsageError
from etl.land import load_contract
from etl.land.locate import AtLine, at_line, identities, landed_in
from etl.pipeline.ingredients import ingredients
from etl.pipeline.lineage import (
    DERIVED,
    ID_RULE,
    MODELS,
    Lake,
    Row,
    SourceRow,
    decodable_tables,
    decode,
    encode,
    id_column,
    key_of_person,
    lake_of,
    part_of,
    person_of_row,
)
from etl.pipeline.models import source_parts
from etl.pipeline.runs import database, engine

SHOWN = 20  # source rows or ingredients that are listed; all are counted

PATHS = {
    "custom": "a custom map of the source (sources/…/map)",
    "maps to": "the vocabulary's 'Maps to'",
    "itself": "the source concept is standard itself",
    "unmapped": "no map and no standard concept: 0",
}


@dataclass(frozen=True)
class Target:
    concept_id: int
    name: str
    domain: str
    table: str
    path: str
    is_this: bool


@dataclass(frozen=True)
class Mapping:
    """One coded column of the source row: what the vocabulary makes of it. `role` is the column without _code."""

    role: str
    vocabulary: str
    code: str
    name: str
    source_concept_id: int
    source_concept: str
    targets: tuple[Target, ...]


@dataclass(frozen=True)
class Trace:
    """A CDM row and everything it was made of. `counted` says how many rows there are where `made_of` is cut short."""

    run_id: str
    release: int | None
    table: str
    row_id: int
    values: Row
    concept_names: dict[int, str]
    sources: tuple[SourceRow, ...]
    source_count: int
    mappings: tuple[Mapping, ...]
    flags: tuple[str, ...]
    made_of: tuple[tuple[str, int, str], ...]
    counted: dict[str, int]


@dataclass(frozen=True)
class Outcome:
    """What became of one part of a source row: CDM rows, another row that it went into or supports, or a rule."""

    part: str
    cdm: tuple[tuple[str, int, str], ...]
    into: tuple[tuple[str, int, str], ...]
    excluded: tuple[str, ...]
    flags: tuple[str, ...]


@dataclass(frozen=True)
class SourceTrace:
    """A line of a source file and what became of it; `row` is None for a rejected record or a row since replaced."""

    run_id: str
    release: int | None
    line: AtLine
    row: SourceRow | None
    outcomes: tuple[Outcome, ...]
    size_differs: bool


def trace(table: str, row_id: int, run_id: str | None = None) -> Trace:
    """Everything about one CDM row. UsageError: no such table or row, or the run's files are gone."""
    if table not in MODELS and table not in DERIVED:
        raise UsageError(
            f"{table} is not a table whose rows can be traced.",
            todo=f"These are: {', '.join(sorted((*MODELS, *DERIVED)))}.",
        )
    with lake_of(run_id, _person_key(table, row_id, run_id)) as lake:
        found = lake.rows(f"cdm.{table}", f"{id_column(table)} = ?", [row_id])
        if not found:
            raise _no_row(lake, table, row_id)
        return _derived(lake, table, row_id, found[0]) if table in DERIVED else _recorded(lake, table, row_id, found[0])


def _person_key(table: str, row_id: int, run_id: str | None) -> str | None:
    """Whose row it is, where the current release's files are of several runs."""
    if run_id is not None:
        return None
    with lake_of(None) as lake:
        if lake.run.scope == "all":
            return None
        source = lake.run.source
    person_id = row_id // 1_000_000 if table in DERIVED else person_of_row(table, row_id)
    return None if person_id is None else key_of_person(source, person_id)


def _no_row(lake: Lake, table: str, row_id: int) -> UsageError:
    rule = ID_RULE
    if table in ("person", "death"):
        rule = f"{table} is known by person_id, a small number of its own (etl.person)."
    elif table in DERIVED:
        rule = f"Its ids are person_id × 1 000 000 + n: {row_id} would be person {row_id // 1_000_000}."
    else:
        source_row, part_no, target = decode(row_id)
        part = source_parts().get(part_no)
        where = f"{part['part']} of {part['source']}.{part['table']}" if part else "which is no part"
        rule += f" {row_id} would be row {source_row}, part {part_no} ({where}), target {target}."
    return UsageError(f"{table} has no row {row_id} in run {lake.run.run_id}.", todo=rule)


def _recorded(lake: Lake, table: str, row_id: int, row: Row) -> Trace:
    part_no, source_row = _source_of(lake, table, row_id)
    merged = lake.rows("map.merged", "into_part_no = ? AND into_source_row_id = ? ORDER BY ALL", [part_no, source_row])
    members = [(part_no, source_row), *((other["source_part_no"], other["source_row_id"]) for other in merged)]
    members += _supporting(lake, members)
    model = lake.rows(f"source.{MODELS[table]}", "source_part_no = ? AND source_row_id = ?", [part_no, source_row])
    return Trace(
        lake.run.run_id,
        lake.release,
        table,
        row_id,
        {name: value for name, value in row.items() if value is not None},
        _names(lake, row),
        tuple(_landed(lake, members[:SHOWN])),
        len(members),
        tuple(_mappings(lake, model[0], table, decode(row_id)[2])) if model else (),
        tuple(_flags(lake, part_no, source_row)),
        (),
        {},
    )


def _source_of(lake: Lake, table: str, row_id: int) -> tuple[int, int]:
    """Part and row that a CDM row's own number stands for."""
    if table in ("person", "death"):
        kept = " AND is_kept" if table == "death" else ""
        [row] = lake.rows(f"map.{table}", f"person_id = ?{kept}", [row_id], "source_part_no, source_row_id")
        return row["source_part_no"], row["source_row_id"]
    source_row, part_no, _ = decode(row_id)
    return part_no, source_row


def _supporting(lake: Lake, members: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Part and row of the rows that went into these."""
    found = []
    for part_no in dict.fromkeys(part_no for part_no, _ in members):
        rows = ", ".join(str(row) for part, row in members if part == part_no)
        where = f"supports_part_no = ? AND supports_source_row_id IN ({rows}) ORDER BY ALL"
        found += lake.rows("source.src_support", where, [part_no])
    return [(other["source_part_no"], other["source_row_id"]) for other in found]


def _landed(lake: Lake, members: list[tuple[int, int]]) -> list[SourceRow]:
    by_table: dict[str, list[int]] = {}
    for part_no, source_row in members:
        by_table.setdefault(part_of(part_no)["table"], []).append(source_row)
    return [row for name, ids in by_table.items() for row in lake.landed(name, ids)]


def _names(lake: Lake, row: Row) -> dict[int, str]:
    ids = [value for name, value in row.items() if name.endswith("concept_id")]
    return {number: concept["concept_name"] for number, concept in lake.concepts(ids).items()}


def _flags(lake: Lake, part_no: int, source_row: int) -> list[str]:
    rows = lake.rows("map.flagged", "source_part_no = ? AND source_row_id = ? ORDER BY flag", [part_no, source_row])
    return [row["flag"] for row in rows]


def _mappings(lake: Lake, model: Row, table: str, id_no: int) -> list[Mapping]:
    """Every pair of …_vocabulary and …_code that the source row fills, as mapped on the record's day."""
    day = next((model[name] for name in ("start_datetime", "note_datetime") if model.get(name)), None)
    found = []
    for name, vocabulary in model.items():
        role = name.removesuffix("_vocabulary")
        code = model.get(f"{role}_code")
        if role == name or not vocabulary or not code:
            continue
        on_day = "" if day is None else " AND CAST(? AS DATE) BETWEEN valid_start_date AND valid_end_date"
        rows = lake.rows(
            "map.map_source_code",
            f"source_vocabulary = ? AND source_code = ?{on_day} ORDER BY target_no",
            [vocabulary, code, *([day] if day is not None else [])],
        )
        named = lake.rows("source.src_code_name", "source_vocabulary = ? AND source_code = ?", [vocabulary, code])
        concepts = lake.concepts([row[key] for row in rows for key in ("source_concept_id", "target_concept_id")])
        own = rows[0]["source_concept_id"] if rows else 0
        is_main = role == "source"
        targets = tuple(
            Target(
                row["target_concept_id"],
                concepts.get(row["target_concept_id"], {}).get("concept_name", ""),
                row["target_domain"] or "",
                (row["target_table"] or table) if is_main else "",
                row["mapping_path"],
                is_main and row.get("id_no", row["target_no"]) == id_no,
            )
            for row in rows
        )
        text = named[0]["source_code_name"] if named else None
        found.append(
            Mapping(role, vocabulary, code, text or "", own, concepts.get(own, {}).get("concept_name", ""), targets)
        )
    return found


def _derived(lake: Lake, table: str, row_id: int, row: Row) -> Trace:
    members, counted = ingredients(lake, table, row)
    return Trace(
        lake.run.run_id, lake.release, table, row_id,
        {name: value for name, value in row.items() if value is not None},
        _names(lake, row), (), 0, (), (), tuple(members[:SHOWN]), counted,
    )  # fmt: skip


def trace_line(file: str, line_no: int, run_id: str | None = None, size: int | None = None) -> SourceTrace:
    """What became of a line of a landed file; `size` is the file's, to tell that it is another one by now."""
    configured = settings()
    with lake_of(run_id) as newest:
        line = at_line(configured, engine(database(configured)), newest.batch_ids, file, line_no)
        number = _number_of(newest, line)
        person_key = _whose(newest, line.table, number) if number is not None else None
    differs = size is not None and line.file_bytes is not None and size != line.file_bytes
    with lake_of(run_id, person_key) as lake:
        rows = lake.landed(line.table, [number]) if number is not None else []
        outcomes = tuple(_outcomes(lake, line.table, number)) if number is not None and rows else ()
        return SourceTrace(newest.run.run_id, lake.release, line, rows[0] if rows else None, outcomes, differs)


def _number_of(lake: Lake, line: AtLine) -> int | None:
    """The number of the line's row in the current state; None for a rejected record and a row since replaced."""
    if line.row_id is None:
        return None
    configured = settings()
    files = lake.state_files(line.table)
    if landed_in(configured, lake.run.source, line.table, files) is not None:
        return line.row_id
    contract = load_contract(configured, lake.run.source).tables[line.table]
    if contract.change == "append" and not contract.key:
        return line.row_id
    own = configured.landing_dir / lake.run.source / line.table / f"{line.batch_id}.parquet"
    return identities(contract, files[0], own, [line.row_id]).get(line.row_id)


def _whose(lake: Lake, table: str, number: int) -> str | None:
    """The key of the person whom a row of the current state names."""
    person = load_contract(settings(), lake.run.source).tables[table].person
    if lake.run.scope == "all" or person is None:
        return None
    files = relation(lake.state_files(table))
    row = lake.con.execute(
        f"SELECT CAST({person} AS VARCHAR) FROM {files} WHERE source_row_id = ?", [number]
    ).fetchone()
    return None if row is None else row[0]


def _outcomes(lake: Lake, table: str, source_row: int) -> list[Outcome]:
    parts = {
        no: part for no, part in source_parts().items() if (part["source"], part["table"]) == (lake.run.source, table)
    }
    mine = "source_part_no = ? AND source_row_id = ?"
    found = []
    for part_no, part in sorted(parts.items()):
        key = [part_no, source_row]
        into = _merged_into(lake, part_no, source_row)
        supports = lake.rows("source.src_support", mine, key)
        for other in ((row["supports_part_no"], row["supports_source_row_id"]) for row in supports):
            into += _merged_into(lake, *other) or [other]
        went = [row for other in dict.fromkeys(into) for row in _cdm_rows(lake, *other)]
        gone = [row["rule"] for row in lake.rows("map.excluded", mine, key)]
        if supports and not went:
            gone.append("supports_nothing")
        found.append(
            Outcome(
                part["part"],
                tuple(_cdm_rows(lake, part_no, source_row)),
                tuple(went),
                tuple(gone),
                tuple(_flags(lake, part_no, source_row)),
            )
        )
    return found


def _merged_into(lake: Lake, part_no: int, source_row: int) -> list[tuple[int, int]]:
    rows = lake.rows("map.merged", "source_part_no = ? AND source_row_id = ?", [part_no, source_row])
    return [(row["into_part_no"], row["into_source_row_id"]) for row in rows]


def _cdm_rows(lake: Lake, part_no: int, source_row: int) -> list[tuple[str, int, str]]:
    """(table, id, concept's name) of every CDM row whose number is of this part and row."""
    first = encode(source_row, part_no)
    found = []
    for name in decodable_tables():
        rows = lake.rows(f"cdm.{name}", f"{name}_id BETWEEN ? AND ?", [first, first + 99])
        found += [(name, row[f"{name}_id"], row) for row in rows]
    mine = "source_part_no = ? AND source_row_id = ?"
    for name, kept in (("person", ""), ("death", " AND is_kept")):
        for row in lake.rows(f"map.{name}", mine + kept, [part_no, source_row], "person_id"):
            found += [
                (name, row["person_id"], one) for one in lake.rows(f"cdm.{name}", "person_id = ?", [row["person_id"]])
            ]
    named = []
    for name, number, row in found:
        concept = _main_concept(name, row)
        names = lake.concepts([concept])
        named.append((name, number, names[concept]["concept_name"] if concept in names else ""))
    return named


def _main_concept(table: str, row: Row) -> int:
    prefix = {
        "death": "cause",
        "person": "gender",
        "provider": "specialty",
        "care_site": "place_of_service",
        "visit_detail": "visit_detail",
        "note": "note_class",
    }.get(table, table.split("_")[0])
    return int(row.get(f"{prefix}_concept_id") or 0)
