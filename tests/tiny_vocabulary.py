"""A vocabulary of some fifty invented concepts, one for each thing that a code can do; and the named ones.

code            vocabulary  means
C1 C2 C3        SNOMED      a standard condition each
OLD             SNOMED      deprecated, Maps to C1
DEAD            SNOMED      deprecated, its Maps to is invalid: unmapped
THREE           SNOMED      three targets: a condition, a measurement, an observation
TWO             SNOMED      two conditions
SAME            SNOMED, ICD10CM, RxNorm, LOINC: another meaning in each
DIAGNOSED-DRUG  SNOMED      a standard drug recorded as a diagnosis
ANSWER          SNOMED      Maps to an observation, Maps to value its answer
D1 D2           RxNorm      10 and 20 mg of ingredient A
D3              RxNorm      A and B
D4              RxNorm      no ingredient
D5              RxNorm      not standard, Maps to a drug of RxNorm Extension with ingredient X (RxNorm Extension)
D6              RxNorm      strength per volume
V1              CVX         a vaccine that holds ingredient B
L1 L2           LOINC       a measurement each
L3              LOINC       an observation
P1 DV1 SP1      SNOMED      a procedure, a device, a specimen
mg MG kg        UCUM        units, of which mg and MG differ
"""

from typing import Any

from etl.vocabulary.named import named_concepts

Row = dict[str, Any]

C1, C2, C3, OLD, DEAD, THREE, TWO, SAME_SNOMED, SAME_ICD10CM = 101, 102, 103, 104, 105, 106, 107, 108, 109
ANSWER, THE_ANSWER, ASKED = 110, 111, 112
FIRST_OF_THREE, SECOND_OF_THREE, THIRD_OF_THREE = 121, 122, 123
P1, DV1, SP1, DIAGNOSED_DRUG = 131, 132, 133, 134
A, B, X = 201, 202, 203
D1, D2, D3, D4, D5, D6, X_DRUG, V1, SAME_RXNORM = 211, 212, 213, 214, 215, 216, 217, 218, 219
L1, L2, L3, SAME_LOINC = 301, 302, 303, 304
MG, MEGAGRAM, KG = 8576, 402, 9529

# concept_id, code, vocabulary, domain, class, standard
CONCEPTS = [
    (C1, "C1", "SNOMED", "Condition", "Disorder", True),
    (C2, "C2", "SNOMED", "Condition", "Disorder", True),
    (C3, "C3", "SNOMED", "Condition", "Disorder", True),
    (OLD, "OLD", "SNOMED", "Condition", "Disorder", False),
    (DEAD, "DEAD", "SNOMED", "Condition", "Disorder", False),
    (THREE, "THREE", "SNOMED", "Condition", "Disorder", False),
    (TWO, "TWO", "SNOMED", "Condition", "Disorder", False),
    (SAME_SNOMED, "SAME", "SNOMED", "Condition", "Disorder", True),
    (SAME_ICD10CM, "SAME", "ICD10CM", "Condition", "3-char nonbill code", False),
    (ANSWER, "ANSWER", "SNOMED", "Observation", "Context-dependent", False),
    (THE_ANSWER, "THE-ANSWER", "SNOMED", "Meas Value", "Qualifier Value", True),
    (ASKED, "ASKED", "SNOMED", "Observation", "Observable Entity", True),
    (FIRST_OF_THREE, "T1", "SNOMED", "Condition", "Disorder", True),
    (SECOND_OF_THREE, "T2", "SNOMED", "Measurement", "Procedure", True),
    (THIRD_OF_THREE, "T3", "SNOMED", "Observation", "Observable Entity", True),
    (P1, "P1", "SNOMED", "Procedure", "Procedure", True),
    (DV1, "DV1", "SNOMED", "Device", "Physical Object", True),
    (SP1, "SP1", "SNOMED", "Specimen", "Specimen", True),
    (DIAGNOSED_DRUG, "DIAGNOSED-DRUG", "SNOMED", "Drug", "Pharma/Biol Product", True),
    (A, "A", "RxNorm", "Drug", "Ingredient", True),
    (B, "B", "RxNorm", "Drug", "Ingredient", True),
    (X, "X", "RxNorm Extension", "Drug", "Ingredient", True),
    (D1, "D1", "RxNorm", "Drug", "Clinical Drug", True),
    (D2, "D2", "RxNorm", "Drug", "Clinical Drug", True),
    (D3, "D3", "RxNorm", "Drug", "Clinical Drug", True),
    (D4, "D4", "RxNorm", "Drug", "Clinical Drug", True),
    (D5, "D5", "RxNorm", "Drug", "Clinical Drug", False),
    (D6, "D6", "RxNorm", "Drug", "Clinical Drug", True),
    (X_DRUG, "X-DRUG", "RxNorm Extension", "Drug", "Clinical Drug", True),
    (SAME_RXNORM, "SAME", "RxNorm", "Drug", "Clinical Drug", True),
    (V1, "V1", "CVX", "Drug", "CVX", True),
    (L1, "L1", "LOINC", "Measurement", "Lab Test", True),
    (L2, "L2", "LOINC", "Measurement", "Clinical Observation", True),
    (L3, "L3", "LOINC", "Observation", "Survey", True),
    (SAME_LOINC, "SAME", "LOINC", "Measurement", "Lab Test", True),
    (MG, "mg", "UCUM", "Unit", "Unit", True),
    (MEGAGRAM, "MG", "UCUM", "Unit", "Unit", True),
    (KG, "kg", "UCUM", "Unit", "Unit", True),
]

# concept, relationship, concept, valid
RELATIONSHIPS = [
    *((concept, "Maps to", concept, True) for concept, *_, standard in CONCEPTS if standard),
    (OLD, "Maps to", C1, True),
    (DEAD, "Maps to", C1, False),
    (THREE, "Maps to", THIRD_OF_THREE, True),
    (THREE, "Maps to", FIRST_OF_THREE, True),
    (THREE, "Maps to", SECOND_OF_THREE, True),
    (TWO, "Maps to", C3, True),
    (TWO, "Maps to", C2, True),
    (SAME_ICD10CM, "Maps to", C2, True),
    (ANSWER, "Maps to", ASKED, True),
    (ANSWER, "Maps to value", THE_ANSWER, True),
    (D5, "Maps to", X_DRUG, True),
]

HOLDS = [(D1, A), (D2, A), (D3, A), (D3, B), (D6, A), (X_DRUG, X), (V1, B), (SAME_RXNORM, X)]

# drug, ingredient, amount in mg, or None for a strength per volume
STRENGTHS = [(D1, A, 10), (D2, A, 20), (D3, A, 10), (D3, B, 5), (X_DRUG, X, 1), (D6, A, None)]

# source vocabulary, code, target: what sources/synthea/map says of sexes and visit classes, by hand
MAPS = [
    ("Synthea gender", "M", 8507),
    ("Synthea gender", "F", 8532),
    ("Synthea race", "white", 8527),
    ("Synthea race", "asian", 8515),
    ("Synthea class", "inpatient", 9201),
    ("Synthea class", "emergency", 9203),
    ("Synthea class", "ambulatory", 9202),
    ("Synthea class", "outpatient", 9202),
    ("Synthea class", "wellness", 9202),
    ("Synthea class", "urgentcare", 9202),
    ("Synthea class", "home", 581476),
    ("Synthea class", "virtual", 5083),
    ("Synthea class", "snf", 8863),
    ("Synthea class", "hospice", 8546),
]

FOR_EVER = {"valid_start_date": "1970-01-01", "valid_end_date": "2099-12-31"}


def vocabulary(
    without: tuple[int, int] | None = None, maps: tuple[tuple[str, str, int], ...] = ()
) -> dict[str, tuple[Row, ...]]:
    """The vocabulary's tables and the custom maps, as `Modeller.model` takes them.

    `without` marks one `Maps to`, from concept to concept, as invalid, as a newer vocabulary would.
    """
    own = [
        {
            "concept_id": concept, "concept_name": code, "domain_id": domain, "vocabulary_id": name,
            "concept_class_id": kind, "standard_concept": "S" if standard else None, "concept_code": code,
            "invalid_reason": None if standard or code not in ("OLD", "DEAD") else "U",
        }
        for concept, code, name, domain, kind, standard in CONCEPTS
    ]  # fmt: skip
    known = {concept for concept, *_ in CONCEPTS}
    named = [
        {
            "concept_id": concept.concept_id, "concept_name": concept.concept_name, "domain_id": concept.domain_id,
            "vocabulary_id": concept.vocabulary_id, "concept_class_id": concept.concept_class_id,
            "standard_concept": concept.standard_concept or None, "concept_code": concept.concept_code,
        }
        for concept in named_concepts().values()
        if concept.concept_id not in known
    ]  # fmt: skip
    concepts = tuple(FOR_EVER | row for row in own + named)
    return {
        "vocabulary.concept": concepts,
        "vocabulary.concept_relationship": tuple(
            FOR_EVER
            | {"concept_id_1": left, "relationship_id": kind, "concept_id_2": right}
            | {"invalid_reason": None if valid and (left, right) != without else "D"}
            for left, kind, right, valid in RELATIONSHIPS
        ),
        "vocabulary.concept_ancestor": tuple(
            {"ancestor_concept_id": ancestor, "descendant_concept_id": descendant}
            for descendant, ancestor in [*HOLDS, *((row["concept_id"], row["concept_id"]) for row in concepts)]
        ),
        "vocabulary.drug_strength": tuple(
            FOR_EVER
            | {"drug_concept_id": drug, "ingredient_concept_id": ingredient}
            | (
                {"amount_value": amount, "amount_unit_concept_id": MG}
                if amount
                else {"numerator_value": 5, "numerator_unit_concept_id": MG, "denominator_unit_concept_id": KG}
            )
            for drug, ingredient, amount in STRENGTHS
        ),
        "custom.source_to_concept_map": tuple(
            FOR_EVER
            | {"source_vocabulary_id": name, "source_code": code, "source_concept_id": 0, "target_concept_id": target}
            for name, code, target in [*MAPS, *maps]
        ),
    }


VOCABULARY = vocabulary()
