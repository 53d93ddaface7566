-- one row per part of a visit
-- keeps:    the person's previous detail by start, end and id as preceding
-- excludes: details without a visit in the CDM (map.visit_detail)
SELECT
    cast(detail.visit_detail_id AS bigint) AS visit_detail_id,
    cast(detail.person_id AS integer) AS person_id,
    cast(detail.visit_detail_concept_id AS integer) AS visit_detail_concept_id,
    cast(detail.start_date AS date) AS visit_detail_start_date,
    cast(detail.start_datetime AS timestamp) AS visit_detail_start_datetime,
    cast(detail.end_date AS date) AS visit_detail_end_date,
    cast(detail.end_datetime AS timestamp) AS visit_detail_end_datetime,
    cast(detail.type_concept_id AS integer) AS visit_detail_type_concept_id,
    cast(detail.provider_id AS bigint) AS provider_id,
    cast(detail.care_site_id AS bigint) AS care_site_id,
    cast(left(detail.visit_detail_code, 50) AS varchar) AS visit_detail_source_value,
    cast(detail.visit_detail_source_concept_id AS integer) AS visit_detail_source_concept_id,
    cast(detail.admitted_from_concept_id AS integer) AS admitted_from_concept_id,
    cast(left(detail.admitted_from_code, 50) AS varchar) AS admitted_from_source_value,
    cast(left(detail.discharged_to_code, 50) AS varchar) AS discharged_to_source_value,
    cast(detail.discharged_to_concept_id AS integer) AS discharged_to_concept_id,
    cast(
        lag(detail.visit_detail_id) OVER (
            PARTITION BY detail.person_id ORDER BY detail.start_datetime, detail.end_date, detail.visit_detail_id
        ) AS bigint
    ) AS preceding_visit_detail_id,
    cast(NULL AS bigint) AS parent_visit_detail_id,
    cast(detail.visit_occurrence_id AS bigint) AS visit_occurrence_id
FROM map.visit_detail AS detail
