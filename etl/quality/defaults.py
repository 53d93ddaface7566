"""First versions of `expectations/cdm/*.yml`, from the CDM specification: `python -m etl.quality.defaults`.

Files that exist are left alone: from then on severities and thresholds are edited in them. What the DDL enforces anyway
(`structural`) may not be weakened there; a test compares.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from etl.cdm import Field, Table, tables
from etl.config import settings

MAIN_CONCEPTS = ("gender_concept_id", "race_concept_id", "ethnicity_concept_id")
# Tables that our own SQL derives: nothing in them can be the source's mistake.
DERIVED = ("observation_period", "condition_era", "drug_era", "dose_era")
# What happened to a person on a day: each one after death is a question to the source.
EVENTS = (
    "visit_occurrence",
    "visit_detail",
    "condition_occurrence",
    "drug_exposure",
    "procedure_occurrence",
    "device_exposure",
    "measurement",
    "observation",
    "specimen",
    "note",
)
# Tables whose ids are made of a source row's number and its part's (those that our SQL makes, person and death apart).
DECODABLE = (*EVENTS, "provider", "care_site", "location", "payer_plan_period", "cost")
# What makes two rows of a person the same record, besides the table's concept.
ALIKE = {
    "visit_occurrence": ("visit_start_date", "visit_start_datetime", "visit_end_date", "visit_end_datetime",
                         "visit_source_value"),
    "condition_occurrence": ("condition_start_date", "condition_start_datetime", "condition_end_date",
                             "visit_occurrence_id", "condition_source_value"),
    "drug_exposure": ("drug_exposure_start_date", "drug_exposure_start_datetime", "drug_exposure_end_date", "quantity",
                      "visit_occurrence_id", "drug_source_value"),
    "procedure_occurrence": ("procedure_date", "procedure_datetime", "quantity", "visit_occurrence_id",
                             "procedure_source_value"),
    "device_exposure": ("device_exposure_start_date", "device_exposure_start_datetime", "quantity",
                        "visit_occurrence_id", "unique_device_id", "device_source_value"),
    "measurement": ("measurement_date", "measurement_datetime", "value_as_number", "value_as_concept_id",
                    "unit_concept_id", "visit_occurrence_id", "measurement_source_value", "value_source_value"),
    "observation": ("observation_date", "observation_datetime", "value_as_number", "value_as_string",
                    "value_as_concept_id", "visit_occurrence_id", "observation_source_value", "value_source_value"),
    "specimen": ("specimen_date", "specimen_datetime", "quantity", "specimen_source_value"),
}  # fmt: skip
# Eras of the same of these must not overlap.
ERAS = {
    "condition_era": ["condition_concept_id"],
    "drug_era": ["drug_concept_id"],
    "dose_era": ["drug_concept_id", "unit_concept_id", "dose_value"],
}
PLACES = ("location", "care_site", "provider")
# Concept fields that name something about the record, not a clinical fact: any concept may stand there.
NOT_STANDARD = (
    "_source_concept_id",
    "_type_concept_id",
    "_field_concept_id",
    "domain_concept_id_1",
    "domain_concept_id_2",
    "relationship_concept_id",
    "metadata_concept_id",
    "cdm_version_concept_id",
)
# Few sources know these, so they may be 0 in every row (as in the Data Quality Dashboard, which has some more of them
# at 5 %: a warning that always burns hides the others). Counted, never refused.
RARELY_KNOWN = (
    "race_concept_id",
    "ethnicity_concept_id",
    "route_concept_id",
    "modifier_concept_id",
    "country_concept_id",
    "place_of_service_concept_id",
    "specialty_concept_id",
    "value_as_concept_id",
    "qualifier_concept_id",
    "operator_concept_id",
    "condition_status_concept_id",
    "admitted_from_concept_id",
    "discharged_to_concept_id",
    "payer_concept_id",
    "plan_concept_id",
    "sponsor_concept_id",
    "stop_reason_concept_id",
)


@dataclass(frozen=True)
class Group:
    """A group of checks as a suite file writes it, with the reason that stands above it."""

    check: str
    severity: str
    columns: Sequence[str] | dict[str, Any] | None = None
    allowed_percent: float = 0
    reason: str = ""

    @property
    def text(self) -> str:
        content: dict[str, Any] = {"check": self.check, "severity": self.severity}
        if self.allowed_percent:
            content["allowed_percent"] = self.allowed_percent
        if self.columns is not None:
            content["columns"] = self.columns if isinstance(self.columns, dict) else list(self.columns)
        # Lists of columns on one line, everything else one key a line.
        flow = None if isinstance(content.get("columns"), list) else False
        body = yaml.safe_dump([content], sort_keys=False, default_flow_style=flow, width=110)
        comment = f"# {self.reason}\n" if self.reason else ""
        return "".join(f"  {line}\n" for line in (comment + body).splitlines())


def suite_text(table: Table) -> str:
    """The YAML of a table's first suite."""
    return (
        f"# What must hold for {table.name} before a candidate is published (expectations/README.md).\n"
        f"table: {table.name}\nchecks:\n" + "".join(group.text for group in groups(table))
    )


def groups(table: Table) -> Iterator[Group]:
    """All groups of a table: structure first, then meaning, then plausibility."""
    if table.name == "person":
        yield Group("has_rows", "critical", reason="an empty release is never what a hospital meant")
    if table.name == "cdm_source":
        yield Group("has_rows", "critical", reason="it says of which source and up to when: other checks go by it")
    yield from structural(table)
    yield from _concepts(table)
    yield from _life(table)
    yield from _visits(table)
    if table.name == "death":
        yield Group("unique", "warning", ["person_id"], reason="one death a person; the specification has no key here")
    if table.name == "observation_period":
        columns = {"observation_period_start_date": "observation_period_end_date"}
        yield Group("no_overlap", "critical", columns, reason="person-time would be counted twice")
    yield from _records(table)


def structural(table: Table) -> Iterator[Group]:
    """What PostgreSQL's DDL and keys would refuse, so the load never meets it: critical, nothing allowed."""
    yield Group("columns", "critical", reason="names and order of the specification: the load goes by position")
    yield Group("types", "critical")
    required = [field.name for field in table.fields if field.required]
    if required:
        yield Group("required", "critical", required)
    lengths = {field.name: length for field in table.fields if (length := _length(field))}
    if lengths:
        yield Group("length", "critical", lengths)
    if table.primary_key:
        yield Group("primary_key", "critical", [table.primary_key])
    references = {
        field.name: f"{field.foreign_table}.{field.foreign_field}" for field in table.fields if field.foreign_table
    }
    if references:
        yield Group("foreign_key", "critical", references)


def _length(field: Field) -> int:
    return int(field.sql_type[8:-1]) if field.sql_type.startswith("varchar(") else 0


def _concepts(table: Table) -> Iterator[Group]:
    concepts = [field for field in table.fields if field.foreign_table == "concept"]
    routed = {field.name for field in concepts if _is_main(field, table) or field.name.endswith("_type_concept_id")}
    domains = {field.name: _list(field.foreign_domain) for field in concepts if field.foreign_domain}
    types = [field.name for field in concepts if field.name.endswith("_type_concept_id")]
    if types:
        yield Group("current_type", "critical", types, reason="38000xxx and 44818xxx were withdrawn")
    yield from _split("concept_domain", domains, routed, "the domain picks the table: another one is a routing mistake")
    classes = {field.name: _list(field.foreign_class) for field in concepts if field.foreign_class}
    if classes:
        yield Group("concept_class", "critical", classes)
    standard = [field.name for field in concepts if not field.name.endswith(NOT_STANDARD)]
    main = [name for name in standard if name in routed]
    other = [name for name in standard if name not in routed]
    if main:
        yield Group("standard_concept", "critical", main, reason="analysts join on standard concepts; 0 is allowed")
    if other:
        yield Group("standard_concept", "warning", other)
    yield from _unmapped(table, main, other)


def _split(check: str, columns: dict[str, Any], critical: set[str], reason: str) -> Iterator[Group]:
    for severity, names in (("critical", [n for n in columns if n in critical]), ("warning", [*columns])):
        chosen = {name: columns[name] for name in names if severity == "critical" or name not in critical}
        if chosen:
            yield Group(check, severity, chosen, reason=reason if severity == "critical" else "")


def _unmapped(table: Table, main: list[str], other: list[str]) -> Iterator[Group]:
    """Shares of concept 0: 5 % as in the Data Quality Dashboard, none where our own SQL chooses the concept."""
    known = [name for name in (*main, *other) if name not in RARELY_KNOWN]
    rare = [name for name in (*main, *other) if name in RARELY_KNOWN]
    if known:
        allowed = 0 if table.name in DERIVED else 5
        reason = "" if table.name in DERIVED else "codes without a standard concept stay as 0; more need a custom map"
        yield Group("unmapped", "warning", known, allowed, reason)
    if rare:
        yield Group("unmapped", "info", rare, 100, "few sources know these: counted only")


def _life(table: Table) -> Iterator[Group]:
    names = table.column_names
    ends = {name: end for name in names if (end := _end_of(name)) in names and end != name}
    if ends and table.name in DERIVED:
        yield Group("dates_in_order", "critical", ends, reason="derived by our own SQL: any is our mistake")
    elif ends:
        reason = "up to 1 % is the source's noise; more means that a model swapped or lost a date"
        yield Group("dates_in_order", "critical", ends, 1, reason)
    dates = [field.name for field in table.fields if field.sql_type == "date"]
    if "person_id" not in names or not dates or table.name == "person":
        return
    severity = "warning" if table.name == "payer_plan_period" else "critical"
    reason = "1 % as in the Data Quality Dashboard: a source's typing errors stay below, shifted dates do not"
    if severity == "warning":
        reason = "some payers give only the year a plan starts in"
    yield Group("after_birth", severity, dates, 1, reason)
    if table.name in EVENTS:
        reason = (
            "kept and flagged (map.flagged): an event more than 60 days after death; of the rows of persons who died"
        )
        yield Group("before_death", "warning", dates[:1], reason=reason)
        if dates[1:]:
            yield Group("before_death", "warning", dates[1:], 1, "ends may be planned ones: a prescription runs on")
        reason = "analyses look only inside observation periods; records after death + 60 days lie outside"
        yield Group("within_observation_period", "warning", dates[:1], 1, reason)
    elif table.name != "death":
        reason = "more than 60 days after death; of the rows of persons who died"
        yield Group("before_death", "warning", dates, 1, reason)


def _visits(table: Table) -> Iterator[Group]:
    visits = {
        field.name: field.foreign_table
        for field in table.fields
        if field.foreign_table in ("visit_occurrence", "visit_detail")
    }
    if visits:
        yield Group("same_person", "critical", visits, reason="a record must not hang on another person's visit")
    if table.name == "visit_detail":
        within = {"visit_detail_start_date": "visit_occurrence_id", "visit_detail_end_date": "visit_occurrence_id"}
        yield Group("within_visit", "warning", within, 1, "1 % as in the Data Quality Dashboard")


def _records(table: Table) -> Iterator[Group]:
    """What a table's rows are by themselves: made of a source row, recorded once, before the cut-off, with a value."""
    if table.name in DECODABLE and table.primary_key:
        yield Group("decodes", "critical", [table.primary_key], reason="an id that leads to no source row was made up")
    dates = [field.name for field in table.fields if field.sql_type == "date"]
    if table.name == "observation_period":
        yield Group("not_in_future", "critical", dates, reason="our own SQL ends it at the cut-off")
    elif table.name in (*EVENTS, *ERAS, "death", "payer_plan_period"):
        # An era begins with a record of the source: one future record must not stop there what it does not stop here.
        reason = "recorded before it happened: up to 1 % is the source's noise"
        yield Group("not_in_future", "warning", dates[:1], 1, reason)
    if table.name in ERAS:
        columns = {f"{table.name}_start_date": _one(ERAS[table.name])}
        yield Group("eras_apart", "critical", columns, reason="our own SQL joins them: any is our mistake")
    if table.name in ALIKE:
        concept = f"{table.concept_prefix.lower()}concept_id"
        reason = "the same record twice: a delivery that was joined with itself doubles most rows"
        yield Group("no_repeat", "warning", {concept: list(ALIKE[table.name])}, 1, reason)
    if table.name == "measurement":
        reason = "far outside of what the concept can be in this unit (ranges.csv): mostly a unit or a point mistaken"
        yield Group("plausible_value", "warning", {"value_as_number": "measurement_concept_id"}, 1, reason)
    if table.name in PLACES and table.primary_key:
        reason = "places and people that no record names; hospitals list more than they use: counted only"
        yield Group("referred_to", "info", [table.primary_key], 100, reason)


def _end_of(start: str) -> str:
    if "_start_date" in start:
        return start.replace("_start_date", "_end_date")
    return {"procedure_date": "procedure_end_date", "procedure_datetime": "procedure_end_datetime"}.get(start, start)


def _is_main(field: Field, table: Table) -> bool:
    """Whether this concept says what the row is, so that the mapping chose the table by it."""
    main = f"{table.concept_prefix}concept_id".lower() if table.concept_prefix else ""
    return field.name == main or table.name in DERIVED or (table.name == "person" and field.name in MAIN_CONCEPTS)


def _list(values: str) -> str | list[str]:
    """The specification separates several by a comma ("Procedure, Regimen")."""
    return _one([value.strip() for value in values.split(",")])


def _one(names: list[str]) -> str | list[str]:
    return names if len(names) > 1 else names[0]


def write_missing(directory: Path) -> list[Path]:
    """Write a first suite for each CDM table that has none; the paths written."""
    directory.mkdir(parents=True, exist_ok=True)
    written = []
    for table in tables().values():
        path = directory / f"{table.name}.yml"
        if table.schema == "CDM" and not path.exists():
            path.write_text(suite_text(table), encoding="utf-8")
            written.append(path)
    return written


if __name__ == "__main__":
    write_missing(settings().expectations_dir / "cdm")
