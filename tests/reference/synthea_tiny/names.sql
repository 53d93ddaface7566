-- What both sides call the same thing: the source's keys of persons and encounters, dates as types.
CREATE OR REPLACE TEMP MACRO instant(text) AS CAST(replace(text, 'Z', '') AS timestamp);

CREATE OR REPLACE TEMP VIEW ref_person AS
SELECT person_id, person_source_value AS person FROM ref.person;

CREATE OR REPLACE TEMP VIEW our_person AS
SELECT person_id, person_source_value AS person FROM cdm.person;

-- The published visits name the class instead of the encounter: person and start tell which one it is.
CREATE OR REPLACE TEMP TABLE ref_visit AS
SELECT visit.visit_occurrence_id, encounter.id AS encounter
FROM ref.visit_occurrence AS visit
INNER JOIN ref_person AS person ON visit.person_id = person.person_id
INNER JOIN src.encounters AS encounter
    ON person.person = encounter.patient AND visit.visit_start_datetime IS NULL
    AND visit.visit_start_date = encounter.start AND visit.visit_source_value = encounter.encounterclass;

CREATE OR REPLACE TEMP TABLE our_encounter AS
SELECT visit_detail_id, visit_occurrence_id, visit_key AS encounter FROM map.visit_key;

-- Our visits that are made of several encounters, by the key of the first.
CREATE OR REPLACE TEMP TABLE stitched AS
SELECT visit.visit_key AS first_encounter, key.encounter, min(source.start) OVER stay AS start, max(source.stop) OVER stay AS stop
FROM map.visit AS visit
INNER JOIN our_encounter AS key ON visit.visit_occurrence_id = key.visit_occurrence_id
INNER JOIN src.encounters AS source ON key.encounter = source.id
WINDOW stay AS (PARTITION BY visit.visit_occurrence_id)
QUALIFY count(*) OVER stay > 1;

-- Standard concepts of codes in the vocabulary that came with the reference.
CREATE OR REPLACE TEMP TABLE ref_target AS
SELECT CAST(concept_id AS integer) AS concept_id, concept_code AS code, domain_id AS domain
FROM athena.concept WHERE standard_concept = 'S'
UNION
SELECT CAST(target.concept_id AS integer), source.concept_code, target.domain_id
FROM athena.concept AS source
INNER JOIN athena.concept_relationship AS maps
    ON source.concept_id = maps.concept_id_1 AND maps.relationship_id = 'Maps to'
INNER JOIN athena.concept AS target ON maps.concept_id_2 = target.concept_id;
