-- one row per device, supply … and standard concept whose domain is Device
-- keeps:    codes without a standard concept, as 0, when the source calls them a device
-- keeps:    a quantity of 0 as 1, since it was used; one that is not told as not told
-- sends on: the same codes' targets in other domains, to their tables
-- excludes: nothing; events of excluded persons never get here (map.event)
SELECT
    cast(event.event_id AS bigint) AS device_exposure_id,
    cast(event.person_id AS integer) AS person_id,
    cast(event.target_concept_id AS integer) AS device_concept_id,
    cast(event.start_date AS date) AS device_exposure_start_date,
    cast(event.start_datetime AS timestamp) AS device_exposure_start_datetime,
    cast(event.end_date AS date) AS device_exposure_end_date,
    cast(event.end_datetime AS timestamp) AS device_exposure_end_datetime,
    cast(event.type_concept_id AS integer) AS device_type_concept_id,
    cast(left(event.unique_device_id, 255) AS varchar) AS unique_device_id,
    cast(left(event.production_id, 255) AS varchar) AS production_id,
    cast(CASE WHEN floor(event.quantity) = 0 THEN 1 ELSE floor(event.quantity) END AS integer) AS quantity,
    cast(event.provider_id AS bigint) AS provider_id,
    cast(event.visit_occurrence_id AS bigint) AS visit_occurrence_id,
    cast(event.visit_detail_id AS bigint) AS visit_detail_id,
    cast(left(event.source_code, 50) AS varchar) AS device_source_value,
    cast(event.source_concept_id AS integer) AS device_source_concept_id,
    cast(event.unit_concept_id AS integer) AS unit_concept_id,
    cast(left(event.unit_code, 50) AS varchar) AS unit_source_value,
    cast(event.unit_source_concept_id AS integer) AS unit_source_concept_id
FROM map.event AS event
WHERE event.target_table = 'device_exposure'
