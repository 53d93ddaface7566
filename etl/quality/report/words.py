"""What each check type counts, in few words for the page; of DQD's types also a sentence and its SQL file's name."""

from dataclasses import dataclass


@dataclass(frozen=True)
class DqdWords:
    """`counted` follows a number, `sentence` takes {table}, {field}, {concept}, {argument}; `sql_file` is DQD's own."""

    sql_file: str
    counted: str
    sentence: str


# Check types of `expectations/cdm` and of the row account: Kahn's category, and what a violation is.
OWN: dict[str, tuple[str, str]] = {
    "has_rows": ("Completeness", "the table is empty"),
    "columns": ("Conformance", "columns out of name or place"),
    "types": ("Conformance", "columns of another type"),
    "required": ("Conformance", "rows without a value"),
    "length": ("Conformance", "texts too long"),
    "primary_key": ("Conformance", "rows with a doubled key"),
    "unique": ("Conformance", "rows with a doubled value"),
    "foreign_key": ("Conformance", "references to nothing"),
    "concept_domain": ("Conformance", "concepts of another domain"),
    "concept_class": ("Conformance", "concepts of another class"),
    "standard_concept": ("Conformance", "concepts that are not standard"),
    "unmapped": ("Completeness", "rows without a concept (0)"),
    "dates_in_order": ("Plausibility", "starts after their end"),
    "after_birth": ("Plausibility", "dates before birth"),
    "before_death": ("Plausibility", "dates over 60 days after death"),
    "within_observation_period": ("Plausibility", "dates in no observation period"),
    "same_person": ("Plausibility", "references to another person’s visit"),
    "within_visit": ("Plausibility", "dates outside their visit"),
    "no_overlap": ("Plausibility", "periods that overlap"),
    "stays_apart": ("Plausibility", "stays that overlap"),
    "in_range": ("Plausibility", "numbers out of range"),
    "current_type": ("Conformance", "withdrawn type concepts"),
    "eras_apart": ("Plausibility", "eras that overlap"),
    "not_in_future": ("Plausibility", "dates after the data’s last day"),
    "decodes": ("Conformance", "ids that lead to no source row"),
    "no_repeat": ("Plausibility", "rows told twice"),
    "plausible_value": ("Plausibility", "values beyond what can be, in their unit"),
    "referred_to": ("Plausibility", "rows that nothing refers to"),
    "accounting": ("Completeness", "landed rows that are nowhere"),
    "landed_or_rejected": ("Completeness", "received rows neither landed nor rejected"),
    "used_or_excluded": ("Completeness", "landed rows neither used nor excluded"),
    "from_landed": ("Conformance", "CDM rows of no landed row"),
}

# What a measure of drift counts, against the release before.
DRIFT: dict[str, str] = {
    "rows": "rows more or fewer",
    "persons": "persons more or fewer",
    "rows_by_month": "rows gone from months that are over",
    "mapped_share": "rows without a concept that would have had one",
    "top_concepts": "frequent concepts that are gone",
    "checks": "more checks that fail",
}

DQD: dict[str, DqdWords] = {
    "cdmTable": DqdWords(
        "table_cdm_table.sql", "the table is missing", "1 when the table {table} of the specification is missing."
    ),
    "measurePersonCompleteness": DqdWords(
        "table_person_completeness.sql", "persons without a row", "Persons who have no row in {table}."
    ),
    "measureConditionEraCompleteness": DqdWords(
        "table_condition_era_completeness.sql",
        "persons without their eras",
        "Persons with a row in CONDITION_OCCURRENCE but none in {table}.",
    ),
    "measureObservationPeriodOverlap": DqdWords(
        "table_observation_period_overlap.sql",
        "persons whose periods overlap or touch",
        "Persons of whom two rows of {table} overlap or follow each other without a day between.",
    ),
    "cdmField": DqdWords(
        "field_cdm_field.sql", "the column is missing", "1 when the specification's column {table}.{field} is missing."
    ),
    "isRequired": DqdWords(
        "field_is_not_nullable.sql",
        "rows without a value",
        "Rows of {table} without a value in {field}, which must have one.",
    ),
    "cdmDatatype": DqdWords(
        "field_cdm_datatype.sql", "values of another type", "Values of {table}.{field} that are not whole numbers."
    ),
    "isPrimaryKey": DqdWords(
        "field_is_primary_key.sql",
        "rows with a doubled key",
        "Rows of {table} whose {field} another row has too, though it is the key.",
    ),
    "isForeignKey": DqdWords(
        "is_foreign_key.sql",
        "references to nothing",
        "Rows of {table} whose {field} is not found in {argument}.",
    ),
    "fkDomain": DqdWords(
        "field_fk_domain.sql",
        "concepts of another domain",
        "Rows of {table} whose concept in {field} is not of the domain {argument}.",
    ),
    "fkClass": DqdWords(
        "field_fk_class.sql",
        "concepts of another class",
        "Rows of {table} whose concept in {field} is not of the class {argument}.",
    ),
    "isStandardValidConcept": DqdWords(
        "field_is_standard_valid_concept.sql",
        "concepts not standard or not valid",
        "Rows of {table} whose concept in {field} is not standard or no longer valid.",
    ),
    "measureValueCompleteness": DqdWords(
        "field_measure_value_completeness.sql", "rows without a value", "Rows of {table} without a value in {field}."
    ),
    "standardConceptRecordCompleteness": DqdWords(
        "field_concept_record_completeness.sql",
        "rows without a concept (0)",
        "Rows of {table} whose standard concept in {field} is 0.",
    ),
    "sourceConceptRecordCompleteness": DqdWords(
        "field_concept_record_completeness.sql",
        "rows without a source concept (0)",
        "Rows of {table} whose source concept in {field} is 0.",
    ),
    "sourceValueCompleteness": DqdWords(
        "field_source_value_completeness.sql",
        "distinct source values not mapped",
        "Distinct source values in {table}.{field} that are mapped to concept 0.",
    ),
    "plausibleValueLow": DqdWords(
        "field_plausible_value_low.sql",
        "values too low",
        "Values of {table}.{field} below {argument}.",
    ),
    "plausibleValueHigh": DqdWords(
        "field_plausible_value_high.sql",
        "values too high",
        "Values of {table}.{field} above {argument}.",
    ),
    "plausibleTemporalAfter": DqdWords(
        "field_plausible_temporal_after.sql",
        "dates before what they must follow",
        "Dates in {table}.{field} that come before {argument}, which they must follow.",
    ),
    "plausibleDuringLife": DqdWords(
        "field_plausible_during_life.sql",
        "dates over 60 days after death",
        "Dates in {table}.{field} more than 60 days after the person's death.",
    ),
    "withinVisitDates": DqdWords(
        "field_within_visit_dates.sql",
        "dates a week outside their visit",
        "Dates in {table}.{field} over a week before their visit began or after it ended.",
    ),
    "plausibleAfterBirth": DqdWords(
        "field_plausible_after_birth.sql",
        "dates before birth",
        "Dates in {table}.{field} before the person's birth.",
    ),
    "plausibleBeforeDeath": DqdWords(
        "field_plausible_before_death.sql",
        "dates over 60 days after death",
        "Dates in {table}.{field} more than 60 days after the person's death.",
    ),
    "plausibleStartBeforeEnd": DqdWords(
        "field_plausible_start_before_end.sql",
        "starts after their end",
        "Starts in {table}.{field} that lie after their {argument}.",
    ),
    "plausibleGender": DqdWords(
        "concept_plausible_gender.sql",
        "rows of the other gender",
        "Rows of {table} with concept {concept} in {field} of persons who are not {argument}.",
    ),
    "plausibleGenderUseDescendants": DqdWords(
        "concept_plausible_gender_use_descendants.sql",
        "rows of the other gender",
        "Rows of {table} whose concept in {field} descends from {concept}, of persons who are not {argument}.",
    ),
    "plausibleUnitConceptIds": DqdWords(
        "concept_plausible_unit_concept_ids.sql",
        "rows with an implausible unit",
        "Rows of {table} with concept {concept} in {field} whose unit is none of {argument}.",
    ),
}


def counted(check_type: str) -> str:
    """What a violation of this type is, in few words; the type itself where it is not known."""
    if check_type in OWN:
        return OWN[check_type][1]
    if check_type in DRIFT:
        return DRIFT[check_type]
    return DQD[check_type].counted if check_type in DQD else check_type.replace("_", " ")


def category_of(check_type: str, said: str = "") -> str:
    """Kahn's category of a check: what its result says, else that of its type."""
    return said or OWN.get(check_type, ("Plausibility", ""))[0]
