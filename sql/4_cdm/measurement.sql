-- one row per vital sign, laboratory result, order … and standard concept whose domain is Measurement
-- keeps:    codes without a standard concept, as 0, when the source writes a number
-- keeps:    units without a concept as 0; a result without a unit has none
-- keeps:    operators of numbers that are not exact; an exact value has none, with or without a '='
-- sends on: the same codes' targets in other domains, to their tables
-- excludes: nothing; events of excluded persons never get here (map.event)
SELECT
    cast(event.event_id AS bigint) AS measurement_id,
    cast(event.person_id AS integer) AS person_id,
    cast(event.target_concept_id AS integer) AS measurement_concept_id,
    cast(event.start_date AS date) AS measurement_date,
    cast(event.start_datetime AS timestamp) AS measurement_datetime,
    cast(left(strftime(event.start_datetime, '%H:%M:%S'), 10) AS varchar) AS measurement_time,
    cast(event.type_concept_id AS integer) AS measurement_type_concept_id,
    cast(
        CASE event.operator_code
            WHEN '<' THEN {{ concept.operator_less }}
            WHEN '<=' THEN {{ concept.operator_less_or_equal }}
            WHEN '>=' THEN {{ concept.operator_greater_or_equal }}
            WHEN '>' THEN {{ concept.operator_greater }}
        END AS integer
    ) AS operator_concept_id,
    cast(event.value_number AS double) AS value_as_number,
    cast(event.value_as_concept_id AS integer) AS value_as_concept_id,
    cast(event.unit_concept_id AS integer) AS unit_concept_id,
    cast(event.range_low AS double) AS range_low,
    cast(event.range_high AS double) AS range_high,
    cast(event.provider_id AS bigint) AS provider_id,
    cast(event.visit_occurrence_id AS bigint) AS visit_occurrence_id,
    cast(event.visit_detail_id AS bigint) AS visit_detail_id,
    cast(left(event.source_code, 50) AS varchar) AS measurement_source_value,
    cast(event.source_concept_id AS integer) AS measurement_source_concept_id,
    cast(left(event.unit_code, 50) AS varchar) AS unit_source_value,
    cast(event.unit_source_concept_id AS integer) AS unit_source_concept_id,
    cast(left(coalesce(event.value_code, event.value_text), 50) AS varchar) AS value_source_value,
    cast(NULL AS bigint) AS measurement_event_id,
    cast(NULL AS integer) AS meas_event_field_concept_id
FROM map.event AS event
WHERE event.target_table = 'measurement'
