-- What both sides call the same thing: the source's keys of persons and encounters.
CREATE OR REPLACE TEMP VIEW our_person AS
SELECT person_id, person_source_value AS person FROM cdm.person;

CREATE OR REPLACE TEMP VIEW ref_visit AS
SELECT visit_occurrence_id, visit_source_value AS encounter FROM ref.visit_occurrence;

CREATE OR REPLACE TEMP TABLE our_encounter AS
SELECT visit_detail_id, visit_occurrence_id, visit_key AS encounter FROM map.visit_key;

-- The source has diagnoses in ICD-10-CM, the published rows have these in SNOMED CT: the same six diagnoses by day and name.
CREATE OR REPLACE TEMP TABLE recoded AS
SELECT code, snomed FROM (
    VALUES
    ('N83.02', '12238591000119108'), ('R10.2', '237067000'), ('R50.81', '386661006'),
    ('R14.0', '271835004'), ('R18', '389026000'), ('N80', '129103003')
) AS known (code, snomed);
