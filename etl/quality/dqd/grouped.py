"""Checks of concepts, counted on small tables of distinct concepts, genders and units instead of on rows."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from etl.cdm import quoted
from etl.quality.candidate import Connection, relation_of
from etl.quality.concepts import Used
from etl.quality.dqd.catalogue import DqdCheck
from etl.quality.dqd.definition import GENDERS, NO_UNIT

Counts = tuple[int, int]

OF_CONCEPTS = ("fkDomain", "fkClass", "isStandardValidConcept")
OF_GENDER = ("plausibleGender", "plausibleGenderUseDescendants")


def is_of_concepts(check: DqdCheck) -> bool:
    """Whether a check is told from the kinds of concepts that a field holds."""
    return check.check_name in OF_CONCEPTS or (
        check.check_name == "isForeignKey" and check.parent == ("concept", "concept_id")
    )


def count_concepts(check: DqdCheck, used: Sequence[Used], rows: int) -> Counts:
    """Violated rows and denominator; `used` are the field's kinds of concepts, `rows` the table's rows.

    Concept 0 and an unknown concept are no finding of a domain, class or standard check.
    """
    violated = sum(group.rows for group in used if _violates(check, group))
    if check.check_name == "isStandardValidConcept":
        return violated, sum(group.rows for group in used)
    return violated, rows


def _violates(check: DqdCheck, group: Used) -> bool:
    if check.check_name == "isForeignKey":
        return not group.known
    if not group.known or not group.mapped:
        return False
    if check.check_name == "isStandardValidConcept":
        return not group.standard or group.invalid
    # What is NULL is not another one.
    found = group.domain if check.check_name == "fkDomain" else group.concept_class
    return found is not None and found != check.argument


def count_genders(con: Connection, checks: Iterable[DqdCheck]) -> dict[str, Counts]:
    """The counts of all gender checks, by check id: one pass over each field, of the few concepts asked for."""
    by_field: dict[tuple[str, str], list[DqdCheck]] = defaultdict(list)
    for check in checks:
        by_field[check.table, check.field].append(check)
    return {
        check_id: counts
        for (table, field), asked in by_field.items()
        for check_id, counts in _count_field_genders(con, table, field, asked).items()
    }


def _count_field_genders(con: Connection, table: str, field: str, checks: Sequence[DqdCheck]) -> dict[str, Counts]:
    concepts = f"t.{quoted(field)}"
    con.execute(f"CREATE OR REPLACE TEMP TABLE asked AS {' UNION ALL '.join(_asked_concepts(checks))}")
    found = con.execute(
        f"SELECT check_number, gender_concept_id, sum(n) FROM asked JOIN ("
        f"SELECT {concepts} AS concept_id, life.gender_concept_id, count(*) AS n FROM {relation_of(table)} AS t "
        f"LEFT JOIN life ON t.person_id = life.person_id WHERE {concepts} IN (SELECT concept_id FROM asked) "
        f"GROUP BY ALL) USING (concept_id) GROUP BY ALL"
    ).fetchall()
    counts = {}
    for number, check in enumerate(checks):
        of = [(gender, int(rows)) for asked, gender, rows in found if asked == number]
        wrong = sum(rows for gender, rows in of if gender is not None and gender != GENDERS[check.argument])
        counts[check.check_id] = (wrong, sum(rows for _, rows in of))
    return counts


def _asked_concepts(checks: Sequence[DqdCheck]) -> Iterable[str]:
    """SELECTs of (check_number, concept_id); a concept stands once for each ancestor that it has in the list."""
    single = [
        f"({number}, {check.concepts[0]})"
        for number, check in enumerate(checks)
        if check.check_name == "plausibleGender"
    ]
    if single:
        yield f"SELECT check_number, concept_id FROM (VALUES {', '.join(single)}) AS t(check_number, concept_id)"
    for number, check in enumerate(checks):
        if check.check_name == "plausibleGenderUseDescendants":
            ancestors = ", ".join(str(concept) for concept in check.concepts)
            yield (
                f"SELECT {number} AS check_number, descendant_concept_id AS concept_id "
                f"FROM vocabulary.concept_ancestor WHERE ancestor_concept_id IN ({ancestors})"
            )


def count_units(con: Connection, checks: Sequence[DqdCheck]) -> dict[str, Counts]:
    """The counts of all unit checks, by check id, from the rows of each concept and unit."""
    rows: dict[tuple[str, int], list[tuple[int | None, int]]] = defaultdict(list)
    for table, field in sorted({(check.table, check.field) for check in checks}):
        asked = ", ".join(str(check.concepts[0]) for check in checks if (check.table, check.field) == (table, field))
        for concept, unit, n in con.execute(
            f"SELECT {quoted(field)}, unit_concept_id, count(*) FROM {relation_of(table)} "
            f"WHERE {quoted(field)} IN ({asked}) GROUP BY ALL"
        ).fetchall():
            rows[table, concept].append((unit, n))
    return {check.check_id: _count_units(check, rows) for check in checks}


def _count_units(check: DqdCheck, rows: Mapping[tuple[str, int], Sequence[tuple[int | None, int]]]) -> Counts:
    units = rows.get((check.table, check.concepts[0]), ())
    allowed = {0} if check.units == NO_UNIT else {0, *check.units}
    violated = sum(n for unit, n in units if unit is not None and unit not in allowed)
    return violated, sum(n for unit, n in units if unit != 0)
