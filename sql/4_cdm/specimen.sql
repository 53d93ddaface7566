-- one row per record and standard concept whose domain is Specimen
-- keeps:    codes without a standard concept, as 0, when the source calls them a specimen
-- sends on: the same codes' targets in other domains, to their tables
-- excludes: nothing; events of excluded persons never get here (map.event)
SELECT
    cast(event.event_id AS bigint) AS specimen_id,
    cast(event.person_id AS integer) AS person_id,
    cast(event.target_concept_id AS integer) AS specimen_concept_id,
    cast(event.type_concept_id AS integer) AS specimen_type_concept_id,
    cast(event.start_date AS date) AS specimen_date,
    cast(event.start_datetime AS timestamp) AS specimen_datetime,
    cast(event.quantity AS double) AS quantity,
    cast(event.unit_concept_id AS integer) AS unit_concept_id,
    cast(NULL AS integer) AS anatomic_site_concept_id,
    cast(event.status_concept_id AS integer) AS disease_status_concept_id,
    cast(NULL AS varchar) AS specimen_source_id,
    cast(left(event.source_code, 50) AS varchar) AS specimen_source_value,
    cast(left(event.unit_code, 50) AS varchar) AS unit_source_value,
    cast(NULL AS varchar) AS anatomic_site_source_value,
    cast(left(event.status_code, 50) AS varchar) AS disease_status_source_value
FROM map.event AS event
WHERE event.target_table = 'specimen'
