-- one row per visit
-- keeps:    the person's previous visit by start, end and id as preceding
-- excludes: nothing; visits of excluded persons never get here (map.visit)
SELECT
    cast(visit.visit_occurrence_id AS bigint) AS visit_occurrence_id,
    cast(visit.person_id AS integer) AS person_id,
    cast(visit.visit_concept_id AS integer) AS visit_concept_id,
    cast(visit.start_date AS date) AS visit_start_date,
    cast(visit.start_datetime AS timestamp) AS visit_start_datetime,
    cast(visit.end_date AS date) AS visit_end_date,
    cast(visit.end_datetime AS timestamp) AS visit_end_datetime,
    cast(visit.type_concept_id AS integer) AS visit_type_concept_id,
    cast(visit.provider_id AS bigint) AS provider_id,
    cast(visit.care_site_id AS bigint) AS care_site_id,
    cast(left(visit.visit_code, 50) AS varchar) AS visit_source_value,
    cast(visit.visit_source_concept_id AS integer) AS visit_source_concept_id,
    cast(visit.admitted_from_concept_id AS integer) AS admitted_from_concept_id,
    cast(left(visit.admitted_from_code, 50) AS varchar) AS admitted_from_source_value,
    cast(visit.discharged_to_concept_id AS integer) AS discharged_to_concept_id,
    cast(left(visit.discharged_to_code, 50) AS varchar) AS discharged_to_source_value,
    cast(
        lag(visit.visit_occurrence_id) OVER (
            PARTITION BY visit.person_id ORDER BY visit.start_datetime, visit.end_date, visit.visit_occurrence_id
        ) AS bigint
    ) AS preceding_visit_occurrence_id
FROM map.visit AS visit
