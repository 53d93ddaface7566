-- one row per recorded event and standard concept that its code means on its day, with the CDM's ids; the tables choose
-- theirs
-- keeps:    events without a standard concept, as concept 0, in the table of their origin
-- keeps:    what the event tells besides by its own concept: the unit, answer, route, modifier or status that is there
--           but unknown is 0, the one that is not there has no concept; blanks and the word null are not there
-- keeps:    the visit only if it is the same person's; the visit's provider where the event names none
-- keeps:    an end before the start as unknown, but as written in verbatim_end_date
-- keeps:    a sign and number that the source writes as text ("<5", "≥ 7.5") as operator and number
-- keeps:    days of supply from 0 to 365; others are mistakes (map.flagged)
-- excludes: events of unknown or excluded persons, without a start date or without a code (map.excluded)
WITH told AS (
    SELECT
        event.*,
        cast(event.start_datetime AS date) AS start_date,
        cast(event.end_datetime AS date) AS verbatim_end_date,
        CASE WHEN lower(trim(event.value_text)) NOT IN ('', 'null') THEN event.value_text END AS known_text,
        CASE WHEN lower(trim(event.value_code)) NOT IN ('', 'null') THEN event.value_code END AS known_answer,
        CASE WHEN lower(trim(event.unit_code)) NOT IN ('', 'null') THEN event.unit_code END AS known_unit,
        CASE WHEN lower(trim(event.route_code)) NOT IN ('', 'null') THEN event.route_code END AS known_route,
        CASE WHEN lower(trim(event.modifier_code)) NOT IN ('', 'null') THEN event.modifier_code END AS known_modifier,
        CASE WHEN lower(trim(event.status_code)) NOT IN ('', 'null') THEN event.status_code END AS known_status,
        -- the first character is looked at before the regular expression, which few texts need
        CASE
            WHEN left(trim(event.value_text), 1) IN ('<', '>', '=', '≤', '≥')
                THEN regexp_matches(
                    event.value_text,
                    '^ *(<=|>=|<|>|=|≤|≥) *[-+]?([0-9]{1,15}([.][0-9]*)?|[.][0-9]+) *$'
                )
            ELSE FALSE
        END AS is_signed
    FROM source.src_event AS event
    WHERE event.start_datetime IS NOT NULL AND lower(trim(event.source_code)) NOT IN ('', 'null')
),

single AS (
    SELECT
        code.source_vocabulary,
        code.source_code,
        code.valid_start_date,
        code.valid_end_date,
        code.source_concept_id,
        code.target_concept_id
    FROM map.map_source_code AS code
    WHERE code.target_no = 0
)

SELECT
    cast(event.source_row_id * 100000 + event.source_part_no * 100 + coalesce(code.id_no, 0) AS bigint) AS event_id,
    event.source_part_no,
    event.source_row_id,
    cast(coalesce(code.target_no, 0) AS integer) AS target_no,
    person.person_id,
    visit.visit_occurrence_id,
    visit.visit_detail_id,
    cast(coalesce(provider.provider_id, visit.provider_id) AS bigint) AS provider_id,
    cast(coalesce(code.target_table, event.origin_table) AS varchar) AS target_table,
    cast(coalesce(code.target_concept_id, 0) AS integer) AS target_concept_id,
    cast(coalesce(code.source_concept_id, 0) AS integer) AS source_concept_id,
    event.source_code,
    event.type_concept_id,
    event.start_date,
    event.start_datetime,
    cast(CASE WHEN event.verbatim_end_date >= event.start_date THEN event.verbatim_end_date END AS date) AS end_date,
    cast(
        CASE WHEN event.end_datetime >= event.start_datetime THEN event.end_datetime END AS timestamp
    ) AS end_datetime,
    event.verbatim_end_date,
    cast(
        CASE
            WHEN event.value_number IS NOT NULL THEN event.value_number
            WHEN event.is_signed
                THEN cast(regexp_replace(event.value_text, '[<>=≤≥ ]', '', 'g') AS decimal(28, 10))
        END AS double
    ) AS value_number,
    cast(event.known_text AS varchar) AS value_text,
    cast(event.known_answer AS varchar) AS value_code,
    cast(
        CASE
            WHEN code.value_as_concept_id IS NOT NULL THEN code.value_as_concept_id
            WHEN event.known_answer IS NOT NULL THEN coalesce(answer.target_concept_id, 0)
        END AS integer
    ) AS value_as_concept_id,
    cast(event.known_unit AS varchar) AS unit_code,
    cast(CASE WHEN event.known_unit IS NOT NULL THEN coalesce(unit.target_concept_id, 0) END AS integer)
        AS unit_concept_id,
    cast(CASE WHEN event.known_unit IS NOT NULL THEN coalesce(unit.source_concept_id, 0) END AS integer)
        AS unit_source_concept_id,
    cast(
        CASE coalesce(
            CASE
                WHEN event.operator_code IN ('<', '<=', '=', '>=', '>', '≤', '≥') THEN event.operator_code
            END,
            CASE WHEN event.is_signed THEN regexp_extract(event.value_text, '(<=|>=|<|>|=|≤|≥)', 1) END
        )
            WHEN '≤' THEN '<='
            WHEN '≥' THEN '>='
            WHEN '<' THEN '<'
            WHEN '<=' THEN '<='
            WHEN '=' THEN '='
            WHEN '>=' THEN '>='
            WHEN '>' THEN '>'
        END AS varchar
    ) AS operator_code,
    event.range_low,
    event.range_high,
    event.quantity,
    cast(CASE WHEN event.days_supply BETWEEN 0 AND 365 THEN event.days_supply END AS integer) AS days_supply,
    event.refills,
    cast(CASE WHEN lower(trim(event.sig)) NOT IN ('', 'null') THEN event.sig END AS varchar) AS sig,
    cast(event.known_route AS varchar) AS route_code,
    cast(CASE WHEN event.known_route IS NOT NULL THEN coalesce(route.target_concept_id, 0) END AS integer)
        AS route_concept_id,
    cast(event.known_modifier AS varchar) AS modifier_code,
    cast(CASE WHEN event.known_modifier IS NOT NULL THEN coalesce(modifier.target_concept_id, 0) END AS integer)
        AS modifier_concept_id,
    cast(event.known_status AS varchar) AS status_code,
    cast(CASE WHEN event.known_status IS NOT NULL THEN coalesce(status.target_concept_id, 0) END AS integer)
        AS status_concept_id,
    cast(CASE WHEN lower(trim(event.stop_reason)) NOT IN ('', 'null') THEN event.stop_reason END AS varchar)
        AS stop_reason,
    cast(CASE WHEN lower(trim(event.unique_device_id)) NOT IN ('', 'null') THEN event.unique_device_id END AS varchar)
        AS unique_device_id,
    cast(CASE WHEN lower(trim(event.production_id)) NOT IN ('', 'null') THEN event.production_id END AS varchar)
        AS production_id,
    cast(CASE WHEN lower(trim(event.lot_number)) NOT IN ('', 'null') THEN event.lot_number END AS varchar)
        AS lot_number
FROM told AS event
INNER JOIN map.person AS person ON event.person_key = person.person_key
LEFT JOIN map.visit_key AS visit
    ON event.visit_key = visit.visit_key
    AND person.person_id = visit.person_id
LEFT JOIN map.provider AS provider ON event.provider_key = provider.provider_key
LEFT JOIN map.map_source_code AS code
    ON event.source_vocabulary = code.source_vocabulary
    AND event.source_code = code.source_code
    AND event.start_date BETWEEN code.valid_start_date AND code.valid_end_date
LEFT JOIN single AS answer
    ON event.value_vocabulary = answer.source_vocabulary
    AND event.known_answer = answer.source_code
    AND event.start_date BETWEEN answer.valid_start_date AND answer.valid_end_date
LEFT JOIN single AS unit
    ON event.unit_vocabulary = unit.source_vocabulary
    AND event.known_unit = unit.source_code
    AND event.start_date BETWEEN unit.valid_start_date AND unit.valid_end_date
LEFT JOIN single AS route
    ON event.route_vocabulary = route.source_vocabulary
    AND event.known_route = route.source_code
    AND event.start_date BETWEEN route.valid_start_date AND route.valid_end_date
LEFT JOIN single AS modifier
    ON event.modifier_vocabulary = modifier.source_vocabulary
    AND event.known_modifier = modifier.source_code
    AND event.start_date BETWEEN modifier.valid_start_date AND modifier.valid_end_date
LEFT JOIN single AS status
    ON event.status_vocabulary = status.source_vocabulary
    AND event.known_status = status.source_code
    AND event.start_date BETWEEN status.valid_start_date AND status.valid_end_date
