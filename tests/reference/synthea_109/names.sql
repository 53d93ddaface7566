-- What both sides call the same thing: the source's keys of persons, encounters and clinicians, dates and codes as types.

-- Dates of the published files: 20110722. Instants of the source: 2011-07-22T09:08:10Z, in UTC, the site's zone.
CREATE OR REPLACE TEMP MACRO ymd(text) AS CAST(strptime(text, '%Y%m%d') AS date);
CREATE OR REPLACE TEMP MACRO instant(text) AS CAST(replace(text, 'Z', '') AS timestamp);

CREATE OR REPLACE TEMP VIEW ref_person AS
SELECT person_id, person_source_value AS person FROM ref.person;

CREATE OR REPLACE TEMP VIEW ref_visit AS
SELECT visit_occurrence_id, visit_source_value AS encounter FROM ref.visit_occurrence;

CREATE OR REPLACE TEMP VIEW ref_provider AS
SELECT provider_id, provider_source_value AS provider FROM ref.provider;

CREATE OR REPLACE TEMP VIEW our_person AS
SELECT person_id, person_source_value AS person FROM cdm.person;

-- Each encounter is a visit detail of ours, in a visit that it may share with others.
CREATE OR REPLACE TEMP TABLE our_encounter AS
SELECT visit_detail_id, visit_occurrence_id, visit_key AS encounter FROM map.visit_key;

CREATE OR REPLACE TEMP VIEW our_provider AS
SELECT provider_id, provider_source_value AS provider FROM cdm.provider;

CREATE OR REPLACE TEMP TABLE encounter AS
SELECT
    id AS encounter,
    patient AS person,
    encounterclass AS class,
    provider,
    organization AS care_site,
    code,
    reasoncode AS reason,
    instant(start) AS start,
    instant(stop) AS stop
FROM src.encounters;

-- Standard concepts of codes in the reference's vocabulary (27-AUG-25), as published with it.
CREATE OR REPLACE TEMP TABLE ref_target AS
SELECT
    source_vocabulary_id AS vocabulary,
    source_code AS code,
    CAST(target_concept_id AS integer) AS concept_id,
    target_domain_id AS domain
FROM ref.source_to_standard_vocab_map
WHERE target_standard_concept = 'S' AND target_invalid_reason IS NULL;

-- The visits that ETL-Synthea makes, worked out anew: encounters are read as dates; those of one class and day are one,
-- named after the smallest encounter key; overlapping or adjacent hospital stays end together but stay as many visits as
-- they have first days; other classes than these five make none.
CREATE OR REPLACE TEMP TABLE day AS
SELECT
    encounter,
    person,
    class,
    CAST(start AS date) AS first_day,
    CAST(stop AS date) AS last_day,
    CASE
        WHEN class IN ('ambulatory', 'wellness', 'outpatient') THEN 'outpatient'
        WHEN class IN ('inpatient', 'emergency') THEN class
    END AS kind
FROM encounter;

CREATE OR REPLACE TEMP TABLE ref_made AS
WITH stay AS (
    SELECT
        *,
        max(last_day) OVER (
            PARTITION BY person ORDER BY first_day, last_day, encounter ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ) AS reached
    FROM day WHERE kind = 'inpatient'
),
numbered AS (
    SELECT *, count(*) FILTER (WHERE reached IS NULL OR first_day > reached + 1) OVER (
        PARTITION BY person ORDER BY first_day, last_day, encounter
    ) AS stay_no
    FROM stay
),
ended AS (
    SELECT *, max(last_day) OVER (PARTITION BY person, stay_no) AS stay_end FROM numbered
)
SELECT min(encounter) AS visit, person, class, kind, first_day, max(stay_end) AS last_day FROM ended
GROUP BY person, class, kind, first_day
UNION ALL
SELECT min(encounter), person, class, kind, first_day, max(last_day) FROM day WHERE kind IN ('emergency', 'outpatient')
GROUP BY person, class, kind, first_day;

-- The visits among which ETL-Synthea picks one for an encounter; a hospital stay comes before the others.
CREATE OR REPLACE TEMP TABLE ref_choice AS
SELECT day.encounter, made.visit
FROM day
INNER JOIN ref_made AS made ON day.person = made.person AND day.first_day BETWEEN made.first_day AND made.last_day
WHERE made.kind = day.kind AND (day.kind <> 'emergency' OR day.first_day = made.first_day)
    OR made.kind = 'inpatient' AND (day.kind = 'outpatient' OR day.kind = 'emergency' AND day.first_day > made.first_day)
QUALIFY dense_rank() OVER (PARTITION BY day.encounter ORDER BY CASE WHEN made.kind = 'inpatient' THEN 1 ELSE 2 END) = 1;

-- Days on which a clinician saw a patient, by the encounters, and the day after each (care over midnight).
CREATE OR REPLACE TEMP TABLE care_day AS
SELECT DISTINCT person, provider, CAST(unnest(generate_series(CAST(start AS date), CAST(stop AS date) + 1, INTERVAL 1 DAY)) AS date) AS day
FROM encounter;

-- Our visits with the encounters they are made of; a visit is known by the one that begins first.
CREATE OR REPLACE TEMP TABLE our_visit AS
SELECT visit.visit_occurrence_id, visit.visit_key AS first_encounter, key.encounter
FROM map.visit AS visit
INNER JOIN our_encounter AS key ON visit.visit_occurrence_id = key.visit_occurrence_id;

-- The same worked out from the source: from the first start to the last end of these encounters.
CREATE OR REPLACE TEMP TABLE our_span AS
SELECT
    first_encounter,
    min(start) AS start,
    max(stop) AS stop,
    count(*) AS encounters,
    bool_or(class = 'emergency') AND bool_or(class = 'inpatient') AS is_emergency_and_inpatient
FROM our_visit
INNER JOIN encounter USING (encounter)
GROUP BY first_encounter;

-- The visit before a visit and the encounter before an encounter, by start, end and the order in the file.
CREATE OR REPLACE TEMP TABLE our_preceding AS
SELECT
    span.first_encounter AS encounter,
    lag(span.first_encounter) OVER (
        PARTITION BY encounter.person ORDER BY span.start, span.stop, visit.visit_occurrence_id
    ) AS preceding
FROM our_span AS span
INNER JOIN encounter ON span.first_encounter = encounter.encounter
INNER JOIN map.visit AS visit ON span.first_encounter = visit.visit_key;

CREATE OR REPLACE TEMP TABLE our_preceding_detail AS
SELECT
    encounter.encounter,
    lag(encounter.encounter) OVER (
        PARTITION BY encounter.person ORDER BY encounter.start, encounter.stop, key.visit_detail_id
    ) AS preceding
FROM encounter
INNER JOIN our_encounter AS key ON encounter.encounter = key.encounter;

-- What can precede a published visit: those of its day, and those of the person's last day with visits before it.
CREATE OR REPLACE TEMP TABLE ref_preceding AS
SELECT this.visit_source_value AS encounter, earlier.visit_source_value AS preceding
FROM ref.visit_occurrence AS this
INNER JOIN ref.visit_occurrence AS earlier
    ON this.person_id = earlier.person_id AND earlier.visit_start_date <= this.visit_start_date
    AND this.visit_occurrence_id <> earlier.visit_occurrence_id
WHERE NOT EXISTS (
    SELECT 1 FROM ref.visit_occurrence AS between_them
    WHERE between_them.person_id = this.person_id
        AND between_them.visit_start_date > earlier.visit_start_date
        AND between_them.visit_start_date < this.visit_start_date
);

-- What the reference's drug eras are made of, worked out anew from its exposures: those whose drug has the ingredient by
-- the vocabulary at hand, and those whose drug is only named after it. Stretches are runs of exposures that overlap.
CREATE OR REPLACE TEMP TABLE ref_exposure AS
SELECT
    person.person,
    CAST(exposure.drug_concept_id AS integer) AS drug_concept_id,
    drug.concept_name,
    ymd(exposure.drug_exposure_start_date) AS first_day,
    ymd(exposure.drug_exposure_end_date) AS last_day
FROM ref.drug_exposure AS exposure
INNER JOIN ref_person AS person ON exposure.person_id = person.person_id
INNER JOIN vocabulary.concept AS drug ON CAST(exposure.drug_concept_id AS integer) = drug.concept_id;

CREATE OR REPLACE TEMP TABLE ref_era_exposure AS
SELECT
    person.person,
    CAST(era.drug_concept_id AS integer) AS ingredient_id,
    ymd(era.drug_era_start_date) AS start_date,
    ymd(era.drug_era_end_date) AS end_date,
    exposure.first_day,
    exposure.last_day,
    ancestor.descendant_concept_id IS NOT NULL AS is_known
FROM ref.drug_era AS era
INNER JOIN ref_person AS person ON era.person_id = person.person_id
INNER JOIN vocabulary.concept AS ingredient ON CAST(era.drug_concept_id AS integer) = ingredient.concept_id
INNER JOIN ref_exposure AS exposure
    ON person.person = exposure.person
    AND exposure.first_day BETWEEN ymd(era.drug_era_start_date) AND ymd(era.drug_era_end_date)
LEFT JOIN vocabulary.concept_ancestor AS ancestor
    ON exposure.drug_concept_id = ancestor.descendant_concept_id
    AND ingredient.concept_id = ancestor.ancestor_concept_id
WHERE ancestor.descendant_concept_id IS NOT NULL
    OR contains(lower(exposure.concept_name), lower(ingredient.concept_name));

CREATE OR REPLACE TEMP TABLE ref_drug_era AS
WITH so_far AS (
    SELECT
        *,
        max(last_day) OVER (
            PARTITION BY person, ingredient_id, start_date, end_date
            ORDER BY first_day, last_day
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ) AS reached
    FROM ref_era_exposure
)
SELECT
    person,
    ingredient_id,
    start_date,
    end_date,
    count(*) AS exposures,
    count(*) FILTER (WHERE NOT is_known) AS unknown_exposures,
    count(*) FILTER (WHERE last_day < first_day) AS reversed_exposures,
    count(*) FILTER (WHERE reached IS NULL OR first_day > reached) AS stretches
FROM so_far
GROUP BY person, ingredient_id, start_date, end_date;

-- Insured periods: each of the source's, and ours that it lies in.
CREATE OR REPLACE TEMP TABLE transition AS
SELECT
    source.patient AS person,
    payer.name AS payer,
    source.plan_ownership AS family,
    CAST(instant(source.start_date) AS date) AS start_date,
    CAST(instant(source.end_date) AS date) AS end_date,
    plan.payer_plan_period_id
FROM src.payer_transitions AS source
INNER JOIN src.payers AS payer ON source.payer = payer.id
INNER JOIN our_person ON source.patient = our_person.person
LEFT JOIN cdm.payer_plan_period AS plan
    ON our_person.person_id = plan.person_id
    AND payer.name = plan.payer_source_value
    AND source.plan_ownership IS NOT DISTINCT FROM plan.family_source_value
    AND CAST(instant(source.start_date) AS date) >= plan.payer_plan_period_start_date
    AND CAST(instant(source.end_date) AS date) <= plan.payer_plan_period_end_date;

-- Our insured periods worked out from these: from the first start to the last end, without a day between them.
CREATE OR REPLACE TEMP TABLE insured AS
WITH so_far AS (
    SELECT
        *,
        max(end_date) OVER (
            PARTITION BY payer_plan_period_id ORDER BY start_date, end_date
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ) AS reached
    FROM transition
)
SELECT
    person,
    payer,
    min(start_date) AS start_date,
    max(end_date) AS end_date,
    count(*) AS transitions
FROM so_far
GROUP BY person, payer, payer_plan_period_id
HAVING bool_and(reached IS NULL OR start_date <= reached + 1);

-- The days on which something is recorded of a person, by our events and visits, and what ends all periods.
CREATE OR REPLACE TEMP TABLE recorded AS
SELECT our_person.person, visit.start_date AS first_day, visit.end_date AS last_day
FROM map.visit AS visit INNER JOIN our_person ON visit.person_id = our_person.person_id
UNION
SELECT our_person.person, event.start_date, event.start_date
FROM map.event AS event INNER JOIN our_person ON event.person_id = our_person.person_id;

CREATE OR REPLACE TEMP TABLE bound AS
SELECT our_person.person, least(parameter.cutoff_date, coalesce(death.death_date + 60, parameter.cutoff_date)) AS last_day
FROM our_person
CROSS JOIN run.parameter AS parameter
LEFT JOIN cdm.death AS death ON our_person.person_id = death.person_id;

-- What the published costs belong to.
CREATE OR REPLACE TEMP TABLE ref_costed AS
SELECT 'Drug' AS domain, drug_exposure_id AS event_id, person_id, drug_source_value AS code, ymd(drug_exposure_start_date) AS start_date
FROM ref.drug_exposure
UNION ALL
SELECT 'Procedure', procedure_occurrence_id, person_id, procedure_source_value, ymd(procedure_date)
FROM ref.procedure_occurrence
UNION ALL
SELECT 'Condition', condition_occurrence_id, person_id, condition_source_value, ymd(condition_start_date)
FROM ref.condition_occurrence;
