-- one row per encounter that shares its CDM visit with others, with that visit's id: the smallest of its encounters'
-- keeps:    a person's overlapping or adjacent inpatient encounters as one stay: the next begins at the latest one day
--           after the latest end so far, so nested and chained ones are one as well
-- keeps:    an emergency encounter that is under way on a stay's first day in that stay; stays that overlap or adjoin
--           by their emergency encounters are one, so one that fits two stays makes them one
-- keeps:    where the source is configured so, the other encounters of the same person, class, first day, care site and
--           provider as one; not known is taken as one care site and one provider, an unmapped class by its code
-- excludes: encounters that are a visit of their own
-- note:     a stay is known by its person and first day, since no two stays share one
WITH inpatient_so_far AS (
    SELECT
        encounter.encounter_id,
        encounter.person_id,
        encounter.start_date,
        encounter.end_date,
        max(encounter.end_date) OVER (
            PARTITION BY encounter.person_id
            ORDER BY encounter.start_date, encounter.end_date, encounter.encounter_id
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ) AS end_so_far
    FROM map.encounter AS encounter
    WHERE encounter.visit_kind = 'inpatient'
),

inpatient AS (
    SELECT
        so_far.encounter_id,
        so_far.person_id,
        so_far.end_date,
        max(CASE WHEN so_far.start_date <= so_far.end_so_far + 1 THEN NULL ELSE so_far.start_date END) OVER (
            PARTITION BY so_far.person_id
            ORDER BY so_far.start_date, so_far.end_date, so_far.encounter_id
            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        ) AS first_date
    FROM inpatient_so_far AS so_far
),

stay AS (
    SELECT
        inpatient.person_id,
        inpatient.first_date,
        max(inpatient.end_date) AS end_date
    FROM inpatient
    GROUP BY inpatient.person_id, inpatient.first_date
),

emergency AS (
    SELECT
        encounter.encounter_id,
        encounter.person_id,
        encounter.start_date,
        encounter.end_date,
        min(stay.first_date) AS first_date
    FROM map.encounter AS encounter
    INNER JOIN stay
        ON encounter.person_id = stay.person_id
        AND stay.first_date BETWEEN encounter.start_date AND encounter.end_date
    WHERE encounter.visit_kind = 'emergency'
    GROUP BY encounter.encounter_id, encounter.person_id, encounter.start_date, encounter.end_date
),

with_emergency AS (
    SELECT
        part.person_id,
        part.first_date,
        min(part.start_date) AS start_date,
        max(part.end_date) AS end_date
    FROM (
        SELECT stay.person_id, stay.first_date, stay.first_date AS start_date, stay.end_date
        FROM stay
        UNION ALL
        SELECT emergency.person_id, emergency.first_date, emergency.start_date, emergency.end_date
        FROM emergency
    ) AS part
    GROUP BY part.person_id, part.first_date
),

stay_so_far AS (
    SELECT
        stay.person_id,
        stay.first_date,
        stay.start_date,
        max(stay.end_date) OVER (
            PARTITION BY stay.person_id
            ORDER BY stay.start_date, stay.first_date
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ) AS end_so_far
    FROM with_emergency AS stay
),

whole_stay AS (
    SELECT
        so_far.person_id,
        so_far.first_date,
        max(CASE WHEN so_far.start_date <= so_far.end_so_far + 1 THEN NULL ELSE so_far.start_date END) OVER (
            PARTITION BY so_far.person_id
            ORDER BY so_far.start_date, so_far.first_date
            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        ) AS visit_date
    FROM stay_so_far AS so_far
),

in_stay AS (
    SELECT
        part.encounter_id,
        min(part.encounter_id) OVER (PARTITION BY part.person_id, whole_stay.visit_date) AS visit_occurrence_id,
        count(*) OVER (PARTITION BY part.person_id, whole_stay.visit_date) AS encounters
    FROM (
        SELECT inpatient.encounter_id, inpatient.person_id, inpatient.first_date
        FROM inpatient
        UNION ALL
        SELECT emergency.encounter_id, emergency.person_id, emergency.first_date
        FROM emergency
    ) AS part
    INNER JOIN whole_stay
        ON part.person_id = whole_stay.person_id
        AND part.first_date = whole_stay.first_date
),

same_day AS (
    SELECT
        encounter.encounter_id,
        encounter.person_id,
        encounter.visit_concept_id,
        CASE WHEN encounter.visit_concept_id = 0 THEN encounter.visit_code END AS unmapped_code,
        encounter.start_date,
        encounter.care_site_id,
        encounter.provider_id
    FROM map.encounter AS encounter
    INNER JOIN run.parameter AS parameter ON parameter.same_day_outpatient = 'merge'
    WHERE encounter.visit_kind = 'other'
),

on_same_day AS (
    SELECT
        same_day.encounter_id,
        min(same_day.encounter_id) OVER same_visit AS visit_occurrence_id,
        count(*) OVER same_visit AS encounters
    FROM same_day
    WINDOW same_visit AS (
        PARTITION BY
            same_day.person_id,
            same_day.visit_concept_id,
            same_day.unmapped_code,
            same_day.start_date,
            same_day.care_site_id,
            same_day.provider_id
    )
)

SELECT
    cast(shared.encounter_id AS bigint) AS encounter_id,
    cast(shared.visit_occurrence_id AS bigint) AS visit_occurrence_id
FROM (
    SELECT in_stay.encounter_id, in_stay.visit_occurrence_id, in_stay.encounters
    FROM in_stay
    UNION ALL
    SELECT on_same_day.encounter_id, on_same_day.visit_occurrence_id, on_same_day.encounters
    FROM on_same_day
) AS shared
WHERE shared.encounters > 1
