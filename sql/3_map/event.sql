-- one row per recorded event and standard concept that its code means, with the CDM's ids; the tables choose theirs
-- keeps:    events without a standard concept, as concept 0, in the table of their origin
-- keeps:    the visit only if it is the same person's; the visit's provider where the event names none
-- keeps:    an end before the start as unknown
-- excludes: events of unknown or excluded persons, without a start date or without a code (map.excluded)
WITH single AS (
    SELECT
        code.source_vocabulary,
        code.source_code,
        code.source_concept_id,
        code.target_concept_id
    FROM map.map_source_code AS code
    WHERE code.target_no = 0
)

SELECT
    cast(
        event.source_row_id * 100000 + event.source_part_no * 100 + coalesce(code.target_no, 0) AS bigint
    ) AS event_id,
    event.source_part_no,
    event.source_row_id,
    person.person_id,
    visit.visit_occurrence_id,
    visit.visit_detail_id,
    cast(coalesce(provider.provider_id, visit.provider_id) AS bigint) AS provider_id,
    cast(coalesce(code.target_table, event.origin_table) AS varchar) AS target_table,
    cast(coalesce(code.target_concept_id, 0) AS integer) AS target_concept_id,
    cast(coalesce(code.source_concept_id, 0) AS integer) AS source_concept_id,
    event.source_code,
    event.type_concept_id,
    cast(event.start_datetime AS date) AS start_date,
    event.start_datetime,
    cast(CASE WHEN event.end_datetime >= event.start_datetime THEN event.end_datetime END AS date) AS end_date,
    cast(
        CASE WHEN event.end_datetime >= event.start_datetime THEN event.end_datetime END AS timestamp
    ) AS end_datetime,
    event.value_number,
    event.value_text,
    event.value_code,
    cast(coalesce(code.value_as_concept_id, answer.target_concept_id) AS integer) AS value_as_concept_id,
    event.unit_code,
    unit.target_concept_id AS unit_concept_id,
    unit.source_concept_id AS unit_source_concept_id,
    event.operator_code,
    event.range_low,
    event.range_high,
    event.quantity,
    event.days_supply,
    event.refills,
    event.sig,
    event.route_code,
    route.target_concept_id AS route_concept_id,
    event.modifier_code,
    modifier.target_concept_id AS modifier_concept_id,
    event.status_code,
    status.target_concept_id AS status_concept_id,
    event.stop_reason,
    event.unique_device_id,
    event.production_id,
    event.lot_number
FROM source.src_event AS event
INNER JOIN map.person AS person ON event.person_key = person.person_key
LEFT JOIN map.visit_key AS visit
    ON event.visit_key = visit.visit_key
    AND person.person_id = visit.person_id
LEFT JOIN map.provider AS provider ON event.provider_key = provider.provider_key
LEFT JOIN map.map_source_code AS code
    ON event.source_vocabulary = code.source_vocabulary
    AND event.source_code = code.source_code
LEFT JOIN single AS answer
    ON event.value_vocabulary = answer.source_vocabulary
    AND event.value_code = answer.source_code
LEFT JOIN single AS unit
    ON event.unit_vocabulary = unit.source_vocabulary
    AND event.unit_code = unit.source_code
LEFT JOIN single AS route
    ON event.route_vocabulary = route.source_vocabulary
    AND event.route_code = route.source_code
LEFT JOIN single AS modifier
    ON event.modifier_vocabulary = modifier.source_vocabulary
    AND event.modifier_code = modifier.source_code
LEFT JOIN single AS status
    ON event.status_vocabulary = status.source_vocabulary
    AND event.status_code = status.source_code
WHERE event.start_datetime IS NOT NULL AND event.source_code <> ''
