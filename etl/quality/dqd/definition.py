"""Each check of the Data Quality Dashboard as SQL of its own: what it counts, of what, and in which rows.

The definitions are those of DQD 2.8; a 2,374-fold truth to compare the fused counts with. DuckDB and PostgreSQL run
them. A table or field that is missing is the engine's error, as it is for DQD. Two deviations keep a single odd row
from ending a check: a date of birth that no calendar has is unknown (DQD's cast fails), and a negative integer is one
(DQD's pattern for PostgreSQL takes it for text).
"""

from collections.abc import Callable
from dataclasses import dataclass

from etl.cdm import quoted, tables
from etl.quality.dqd.catalogue import DqdCheck

DAYS_AFTER_DEATH = 60
DAYS_AROUND_VISIT = 7
GENDERS = {"male": 8507, "female": 8532}
NO_UNIT = (-1,)
# Row ids of tables without a key; the others' are their key, or person_id.
ROW_IDS = {
    "fact_relationship": "fact_id_1",
    "cohort": "subject_id",
    "cohort_definition": "cohort_definition_id",
    "cdm_source": "cdm_version_concept_id",
    "episode_event": "event_id",
    "source_to_concept_map": "source_concept_id",
    "drug_strength": "drug_concept_id",
}


@dataclass(frozen=True)
class Places:
    """Where the tables are, and which day it is: schema names, and an SQL expression of type date."""

    cdm: str = "cdm"
    vocabulary: str = "vocabulary"
    results: str = "cdm"  # of cohort and cohort_definition, the analysts' own
    today: str = "CURRENT_DATE"

    def of(self, table: str) -> str:
        schema = {"VOCAB": self.vocabulary, "RESULTS": self.results}.get(tables()[table].schema, self.cdm)
        return f"{quoted(schema)}.{quoted(table)}"


HERE = Places()


@dataclass(frozen=True)
class _Definition:
    """What follows FROM, for the violating rows and for the rows counted.

    `row_id` is the id of a violating row; `violated` and `counted` are the aggregates over either.
    """

    violating: str
    of: str
    row_id: str
    violated: str = "count(*)"
    counted: str = "count(*)"


def violating_rows(check: DqdCheck, places: Places = HERE) -> str:
    """A SELECT of the violating rows' ids, never of other values: a row of the table, or a person."""
    definition = _definition(check, places)
    return f"SELECT {definition.row_id} FROM {definition.violating}"


def violated_count(check: DqdCheck, places: Places = HERE) -> str:
    definition = _definition(check, places)
    return f"SELECT {definition.violated} FROM {definition.violating}"


def denominator(check: DqdCheck, places: Places = HERE) -> str:
    definition = _definition(check, places)
    return f"SELECT {definition.counted} FROM {definition.of}"


def needs(check: DqdCheck) -> tuple[tuple[str, str], ...]:
    """The tables and fields that a definition reads besides the check's own."""
    if check.check_name in ("isForeignKey", "plausibleTemporalAfter"):
        parent, field = check.parent
        born = (("person", "year_of_birth"), *_JOINED["person"](check)) if parent == "person" else ()
        return ((parent, field), *(born if check.check_name == "plausibleTemporalAfter" else ()))
    if check.check_name in _COMPLETENESS or check.check_name in ("sourceValueCompleteness", "plausibleStartBeforeEnd"):
        return ((check.table, check.argument),) if check.argument else ()
    find = _NEEDS.get(check.check_name)
    return find(check) if find else ()


_COMPLETENESS = ("standardConceptRecordCompleteness", "sourceConceptRecordCompleteness")
_JOINED: dict[str, Callable[[DqdCheck], tuple[tuple[str, str], ...]]] = {
    "person": lambda check: ((check.table, "person_id"), ("person", "person_id")),
    "death": lambda check: ((check.table, "person_id"), ("death", "person_id"), ("death", "death_date")),
}
_NEEDS: dict[str, Callable[[DqdCheck], tuple[tuple[str, str], ...]]] = {
    "measurePersonCompleteness": _JOINED["person"],
    "measureConditionEraCompleteness": lambda check: (
        (check.table, "person_id"),
        ("condition_occurrence", "person_id"),
        ("condition_occurrence", "condition_concept_id"),
    ),
    "measureObservationPeriodOverlap": lambda check: tuple(
        (check.table, field)
        for field in (
            "person_id",
            "observation_period_id",
            "observation_period_start_date",
            "observation_period_end_date",
        )
    ),
    "plausibleDuringLife": _JOINED["death"],
    "plausibleBeforeDeath": _JOINED["death"],
    "plausibleAfterBirth": lambda check: (
        *_JOINED["person"](check),
        *(("person", field) for field in ("birth_datetime", "year_of_birth", "month_of_birth", "day_of_birth")),
    ),
    "withinVisitDates": lambda check: (
        (check.table, "visit_occurrence_id"),
        ("visit_occurrence", "visit_occurrence_id"),
        ("visit_occurrence", "visit_start_date"),
        ("visit_occurrence", "visit_end_date"),
    ),
    "plausibleGender": lambda check: (*_JOINED["person"](check), ("person", "gender_concept_id")),
    "plausibleGenderUseDescendants": lambda check: (*_JOINED["person"](check), ("person", "gender_concept_id")),
    "plausibleUnitConceptIds": lambda check: ((check.table, "unit_concept_id"),),
}


def limit_of(check: DqdCheck, places: Places) -> str:
    """The limit of plausibleValueLow and plausibleValueHigh as an SQL expression."""
    if check.argument == "tomorrow":
        return f"({places.today} + 1)"
    if check.argument == "next_year":
        return f"(EXTRACT(YEAR FROM {places.today}) + 1)"
    if check.is_date:
        return f"DATE '{check.argument}'"
    number = float(check.argument)
    return str(int(number)) if number.is_integer() else str(number)


def is_not_integer(column: str) -> str:
    """Whether a value of any type is neither NULL nor an integer; '5.0' and '1e3' are integers, as DQD reads them."""
    return f"{column} IS NOT NULL AND CAST({column} AS VARCHAR) NOT SIMILAR TO '[+-]?[0-9]+([.]0*)?([eE][+]?[0-9]+)?'"


def wrong_unit(check: DqdCheck, unit: str) -> str:
    """Whether a unit is none of those allowed; concept 0 is another check's business."""
    if check.units == NO_UNIT:
        return f"{unit} IS NOT NULL AND {unit} <> 0"
    return f"{unit} NOT IN ({', '.join(str(one) for one in (*check.units, 0))})"


def row_id(table: str) -> str:
    return ROW_IDS.get(table) or tables()[table].primary_key or "person_id"


def _definition(check: DqdCheck, places: Places) -> _Definition:
    return _DEFINITIONS[check.check_name](check, places)


def _rows(check: DqdCheck, places: Places, violating: str, counted: str = "", join: str = "") -> _Definition:
    """Violating rows of the check's table, maybe joined; of all its rows, or of those that are `counted`."""
    table = f"{places.of(check.table)} AS t"
    return _Definition(
        violating=f"{table}{join} WHERE {violating}",
        of=f"{table} WHERE {counted}" if counted else table,
        row_id=f"t.{quoted(row_id(check.table))}",
    )


def _column(check: DqdCheck) -> str:
    return f"t.{quoted(check.field)}"


def _date(column: str) -> str:
    return f"CAST({column} AS DATE)"


def _table_exists(check: DqdCheck, places: Places) -> _Definition:
    table = f"{places.of(check.table)} AS t"
    return _Definition(f"{table} WHERE false", f"{table} WHERE false", "1", "count(*)", "1 + count(*)")


def _field_exists(check: DqdCheck, places: Places) -> _Definition:
    table = f"{places.of(check.table)} AS t"
    found = f"count({_column(check)})"
    return _Definition(f"{table} WHERE false", f"{table} WHERE false", _column(check), found, f"1 + {found}")


def _missing(check: DqdCheck, places: Places) -> _Definition:
    return _rows(check, places, f"{_column(check)} IS NULL")


def _datatype(check: DqdCheck, places: Places) -> _Definition:
    return _rows(check, places, is_not_integer(_column(check)))


def _primary_key(check: DqdCheck, places: Places) -> _Definition:
    key = quoted(check.field)
    doubled = f"SELECT {key} FROM {places.of(check.table)} GROUP BY {key} HAVING count(*) > 1"
    return _rows(check, places, f"{_column(check)} IN ({doubled})")


def _foreign_key(check: DqdCheck, places: Places) -> _Definition:
    table, field = check.parent
    known = f"SELECT 1 FROM {places.of(table)} AS parent WHERE parent.{quoted(field)} = {_column(check)}"
    return _rows(check, places, f"{_column(check)} IS NOT NULL AND NOT EXISTS ({known})")


def _concept(check: DqdCheck, places: Places, violating: str, counted: str = "") -> _Definition:
    join = f" JOIN {places.of('concept')} AS concept ON {_column(check)} = concept.concept_id"
    return _rows(check, places, f"concept.concept_id <> 0 AND ({violating})", counted, join)


def _domain(check: DqdCheck, places: Places) -> _Definition:
    return _concept(check, places, f"concept.domain_id <> '{check.argument}'")


def _concept_class(check: DqdCheck, places: Places) -> _Definition:
    return _concept(check, places, f"concept.concept_class_id <> '{check.argument}'")


def _standard_valid(check: DqdCheck, places: Places) -> _Definition:
    wrong = "concept.standard_concept IS NULL OR concept.standard_concept <> 'S' OR concept.invalid_reason IS NOT NULL"
    return _concept(check, places, wrong, f"{_column(check)} IS NOT NULL")


def unmapped_conditions(check: DqdCheck) -> tuple[str, str]:
    """When a row's concept is unmapped, and when a row counts; a missing concept does where its source value is not."""
    column = _column(check)
    if not check.argument:
        return f"{column} = 0", f"{column} IS NOT NULL"
    source = f"t.{quoted(check.argument)}"
    unmapped = f"{column} = 0 OR ({column} IS NULL AND {source} IS NOT NULL)"
    return unmapped, f"{column} IS NOT NULL OR {source} IS NOT NULL"


def _concept_completeness(check: DqdCheck, places: Places) -> _Definition:
    return _rows(check, places, *unmapped_conditions(check))


def _source_values(check: DqdCheck, places: Places) -> _Definition:
    value, rows = _column(check), f"{places.of(check.table)} AS t"
    violating = f"{rows} WHERE t.{quoted(check.argument)} = 0"
    distinct = f"count(DISTINCT {value}) + count(DISTINCT CASE WHEN {value} IS NULL THEN 1 END)"
    return _Definition(violating, rows, f"t.{quoted(row_id(check.table))}", distinct, distinct)


def _low(check: DqdCheck, places: Places) -> _Definition:
    column = _date(_column(check)) if check.is_date else _column(check)
    return _rows(check, places, f"{column} < {limit_of(check, places)}", f"{_column(check)} IS NOT NULL")


def _high(check: DqdCheck, places: Places) -> _Definition:
    column = _date(_column(check)) if check.is_date else _column(check)
    return _rows(check, places, f"{column} > {limit_of(check, places)}", f"{_column(check)} IS NOT NULL")


def _temporal_after(check: DqdCheck, places: Places) -> _Definition:
    table, field = check.parent
    if table == check.table:
        return _rows(check, places, f"{_date(f't.{quoted(field)}')} > {_date(_column(check))}")
    # Without a birth_datetime, DQD takes the middle of the year.
    june = "CASE WHEN person.year_of_birth BETWEEN 1 AND 9999 THEN make_date(person.year_of_birth, 6, 1) END"
    born = f"coalesce(CAST(person.{quoted(field)} AS DATE), {june})"
    return _rows(check, places, f"{born} > {_date(_column(check))}", join=_join(places, "person"))


def _join(places: Places, table: str, key: str = "person_id") -> str:
    return f" JOIN {places.of(table)} AS {table} ON t.{key} = {table}.{key}"


def _during_life(check: DqdCheck, places: Places) -> _Definition:
    late = f"{_date(_column(check))} > CAST(death.death_date AS DATE) + {DAYS_AFTER_DEATH}"
    died = f"t.person_id IN (SELECT person_id FROM {places.of('death')})"
    return _rows(check, places, late, died, _join(places, "death"))


def _before_death(check: DqdCheck, places: Places) -> _Definition:
    late = f"{_date(_column(check))} > CAST(death.death_date AS DATE) + {DAYS_AFTER_DEATH}"
    rows = f"{places.of(check.table)} AS t{_join(places, 'death')}"
    return _Definition(
        f"{rows} WHERE {late}", f"{rows} WHERE {_column(check)} IS NOT NULL", f"t.{quoted(row_id(check.table))}"
    )


def _after_birth(check: DqdCheck, places: Places) -> _Definition:
    early = f"{_date(_column(check))} < {_birth('person')}"
    return _rows(check, places, early, f"{_column(check)} IS NOT NULL", _join(places, "person"))


def _birth(person: str) -> str:
    """A person's first day, the first of what is not known; NULL where no calendar has it."""
    year, month, day = (f"{person}.year_of_birth", f"{person}.month_of_birth", f"{person}.day_of_birth")
    month, day = f"coalesce({month}, 1)", f"coalesce({day}, 1)"
    last = f"EXTRACT(DAY FROM make_date({year}, {month}, 1) + INTERVAL '1 month' - INTERVAL '1 day')"
    composed = (
        f"CASE WHEN {year} BETWEEN 1 AND 9999 AND {month} BETWEEN 1 AND 12 THEN "
        f"CASE WHEN {day} BETWEEN 1 AND {last} THEN make_date({year}, {month}, {day}) END END"
    )
    return f"coalesce(CAST({person}.birth_datetime AS DATE), {composed})"


def _start_before_end(check: DqdCheck, places: Places) -> _Definition:
    start, end = _column(check), f"t.{quoted(check.argument)}"
    return _rows(check, places, f"{_date(start)} > {_date(end)}", f"{start} IS NOT NULL AND {end} IS NOT NULL")


def _within_visit(check: DqdCheck, places: Places) -> _Definition:
    rows = f"{places.of(check.table)} AS t{_join(places, 'visit_occurrence', 'visit_occurrence_id')}"
    outside = (
        f"{_column(check)} < visit_occurrence.visit_start_date - {DAYS_AROUND_VISIT} "
        f"OR {_column(check)} > visit_occurrence.visit_end_date + {DAYS_AROUND_VISIT}"
    )
    return _Definition(f"{rows} WHERE {outside}", rows, f"t.{quoted(row_id(check.table))}")


def _person_completeness(check: DqdCheck, places: Places) -> _Definition:
    persons = f"{places.of('person')} AS person"
    has_rows = f"SELECT 1 FROM {places.of(check.table)} AS t WHERE t.person_id = person.person_id"
    return _Definition(f"{persons} WHERE NOT EXISTS ({has_rows})", persons, "person.person_id")


def _era_completeness(check: DqdCheck, places: Places) -> _Definition:
    mapped = f"{places.of('condition_occurrence')} AS condition WHERE condition.condition_concept_id <> 0"
    has_era = f"SELECT 1 FROM {places.of(check.table)} AS t WHERE t.person_id = condition.person_id"
    known = f"{mapped} AND condition.person_id IS NOT NULL"
    return _Definition(
        f"(SELECT DISTINCT condition.person_id FROM {known} AND NOT EXISTS ({has_era})) AS person",
        f"{mapped}",
        "person.person_id",
        "count(person.person_id)",
        "count(DISTINCT condition.person_id)",
    )


def _period_overlap(check: DqdCheck, places: Places) -> _Definition:
    periods = places.of(check.table)
    start, end = "observation_period_start_date", "observation_period_end_date"
    touching = f"(a.{start} <= b.{end} AND a.{end} >= b.{start}) OR a.{end} + 1 = b.{start} OR b.{end} + 1 = a.{start}"
    pairs = (
        f"{periods} AS a JOIN {periods} AS b "
        f"ON a.person_id = b.person_id AND a.observation_period_id <> b.observation_period_id WHERE {touching}"
    )
    return _Definition(
        f"(SELECT DISTINCT a.person_id FROM {pairs}) AS person",
        f"{periods} AS t",
        "person.person_id",
        "count(person.person_id)",
        "count(DISTINCT t.person_id)",
    )


def _gender(check: DqdCheck, places: Places) -> _Definition:
    concept = f"{_column(check)} = {check.concepts[0]}"
    wrong = f"person.gender_concept_id <> {GENDERS[check.argument]}"
    return _rows(check, places, f"{concept} AND {wrong}", concept, _join(places, "person"))


def _gender_of_descendants(check: DqdCheck, places: Places) -> _Definition:
    """A row counts once for each ancestor of the list that its concept has, as in DQD."""
    ancestors = f"concept_ancestor.ancestor_concept_id IN ({', '.join(str(concept) for concept in check.concepts)})"
    of = (
        f"{places.of(check.table)} AS t JOIN {places.of('concept_ancestor')} AS concept_ancestor "
        f"ON concept_ancestor.descendant_concept_id = {_column(check)}"
    )
    wrong = f"person.gender_concept_id <> {GENDERS[check.argument]}"
    return _Definition(
        f"{of}{_join(places, 'person')} WHERE {ancestors} AND {wrong}",
        f"{of} WHERE {ancestors}",
        f"t.{quoted(row_id(check.table))}",
    )


def _unit(check: DqdCheck, places: Places) -> _Definition:
    concept = f"{_column(check)} = {check.concepts[0]}"
    counted = f"{concept} AND (t.unit_concept_id <> 0 OR t.unit_concept_id IS NULL)"
    return _rows(check, places, f"{concept} AND {wrong_unit(check, 't.unit_concept_id')}", counted)


_DEFINITIONS: dict[str, Callable[[DqdCheck, Places], _Definition]] = {
    "cdmTable": _table_exists,
    "measurePersonCompleteness": _person_completeness,
    "measureConditionEraCompleteness": _era_completeness,
    "measureObservationPeriodOverlap": _period_overlap,
    "cdmField": _field_exists,
    "isRequired": _missing,
    "cdmDatatype": _datatype,
    "isPrimaryKey": _primary_key,
    "isForeignKey": _foreign_key,
    "fkDomain": _domain,
    "fkClass": _concept_class,
    "isStandardValidConcept": _standard_valid,
    "measureValueCompleteness": _missing,
    "standardConceptRecordCompleteness": _concept_completeness,
    "sourceConceptRecordCompleteness": _concept_completeness,
    "sourceValueCompleteness": _source_values,
    "plausibleValueLow": _low,
    "plausibleValueHigh": _high,
    "plausibleTemporalAfter": _temporal_after,
    "plausibleDuringLife": _during_life,
    "withinVisitDates": _within_visit,
    "plausibleAfterBirth": _after_birth,
    "plausibleBeforeDeath": _before_death,
    "plausibleStartBeforeEnd": _start_before_end,
    "plausibleGender": _gender,
    "plausibleGenderUseDescendants": _gender_of_descendants,
    "plausibleUnitConceptIds": _unit,
}
