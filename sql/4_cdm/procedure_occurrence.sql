-- one row per procedure, imaging study, order … and standard concept whose domain is Procedure
-- keeps:    codes without a standard concept, as 0, when the source calls them a procedure
-- keeps:    a quantity of 0 as 1, since it was done; one that is not told as not told
-- sends on: the same codes' targets in other domains, to their tables
-- excludes: nothing; events of excluded persons never get here (map.event)
SELECT
    cast(event.event_id AS bigint) AS procedure_occurrence_id,
    cast(event.person_id AS integer) AS person_id,
    cast(event.target_concept_id AS integer) AS procedure_concept_id,
    cast(event.start_date AS date) AS procedure_date,
    cast(event.start_datetime AS timestamp) AS procedure_datetime,
    cast(event.end_date AS date) AS procedure_end_date,
    cast(event.end_datetime AS timestamp) AS procedure_end_datetime,
    cast(event.type_concept_id AS integer) AS procedure_type_concept_id,
    cast(event.modifier_concept_id AS integer) AS modifier_concept_id,
    cast(CASE WHEN floor(event.quantity) = 0 THEN 1 ELSE floor(event.quantity) END AS integer) AS quantity,
    cast(event.provider_id AS bigint) AS provider_id,
    cast(event.visit_occurrence_id AS bigint) AS visit_occurrence_id,
    cast(event.visit_detail_id AS bigint) AS visit_detail_id,
    cast(left(event.source_code, 50) AS varchar) AS procedure_source_value,
    cast(event.source_concept_id AS integer) AS procedure_source_concept_id,
    cast(left(event.modifier_code, 50) AS varchar) AS modifier_source_value
FROM map.event AS event
WHERE event.target_table = 'procedure_occurrence'
