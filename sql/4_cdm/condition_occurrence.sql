-- one row per recorded diagnosis, procedure, order … and standard concept whose domain is Condition
-- keeps:    codes without a standard concept, as 0, when the source calls them a diagnosis
-- sends on: the same codes' targets in other domains, to their tables
-- excludes: nothing; events of excluded persons never get here (map.event)
SELECT
    cast(event.event_id AS bigint) AS condition_occurrence_id,
    cast(event.person_id AS integer) AS person_id,
    cast(event.target_concept_id AS integer) AS condition_concept_id,
    cast(event.start_date AS date) AS condition_start_date,
    cast(event.start_datetime AS timestamp) AS condition_start_datetime,
    cast(event.end_date AS date) AS condition_end_date,
    cast(event.end_datetime AS timestamp) AS condition_end_datetime,
    cast(event.type_concept_id AS integer) AS condition_type_concept_id,
    cast(event.status_concept_id AS integer) AS condition_status_concept_id,
    cast(left(event.stop_reason, 20) AS varchar) AS stop_reason,
    cast(event.provider_id AS bigint) AS provider_id,
    cast(event.visit_occurrence_id AS bigint) AS visit_occurrence_id,
    cast(event.visit_detail_id AS bigint) AS visit_detail_id,
    cast(left(event.source_code, 50) AS varchar) AS condition_source_value,
    cast(event.source_concept_id AS integer) AS condition_source_concept_id,
    cast(left(event.status_code, 50) AS varchar) AS condition_status_source_value
FROM map.event AS event
WHERE event.target_table = 'condition_occurrence'
