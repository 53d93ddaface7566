-- one row per vital sign, laboratory result, survey answer or score of observations.csv
-- keeps:    every row: numbers count as measurements where the vocabulary does not know the code, texts as observations
-- note:     a number that does not look like one stays text; the word 'null' as a unit is no unit
SELECT
    cast({{ part.synthea_observations }} AS integer) AS source_part_no,
    cast(observation.source_row_id AS bigint) AS source_row_id,
    cast(observation.patient AS varchar) AS person_key,
    cast(observation.encounter AS varchar) AS visit_key,
    cast(NULL AS varchar) AS provider_key,
    cast(CASE WHEN observation.type = 'numeric' THEN 'measurement' ELSE 'observation' END AS varchar) AS origin_table,
    cast(CASE
        WHEN observation.category = 'laboratory' THEN {{ concept.lab }}
        WHEN observation.category = 'survey' THEN {{ concept.patient_filled_survey }}
        ELSE {{ concept.ehr }}
    END AS integer) AS type_concept_id,
    cast('LOINC' AS varchar) AS source_vocabulary,
    cast(observation.code AS varchar) AS source_code,
    cast(observation.date AS timestamp) AS start_datetime,
    cast(NULL AS timestamp) AS end_datetime,
    cast(CASE
        WHEN observation.type = 'numeric' AND regexp_matches(observation.value, '^[-+]?[0-9]{1,15}([.][0-9]*)?$')
            THEN cast(observation.value AS decimal(28, 10))
    END AS double) AS value_number,
    cast(observation.value AS varchar) AS value_text,
    cast(NULL AS varchar) AS value_vocabulary,
    cast(NULL AS varchar) AS value_code,
    cast('UCUM' AS varchar) AS unit_vocabulary,
    cast(nullif(observation.units, 'null') AS varchar) AS unit_code,
    cast(NULL AS varchar) AS operator_code,
    cast(NULL AS double) AS range_low,
    cast(NULL AS double) AS range_high,
    cast(NULL AS double) AS quantity,
    cast(NULL AS integer) AS days_supply,
    cast(NULL AS integer) AS refills,
    cast(NULL AS varchar) AS sig,
    cast(NULL AS varchar) AS route_vocabulary,
    cast(NULL AS varchar) AS route_code,
    cast(NULL AS varchar) AS modifier_vocabulary,
    cast(NULL AS varchar) AS modifier_code,
    cast(NULL AS varchar) AS status_vocabulary,
    cast(NULL AS varchar) AS status_code,
    cast(NULL AS varchar) AS stop_reason,
    cast(NULL AS varchar) AS unique_device_id,
    cast(NULL AS varchar) AS production_id,
    cast(NULL AS varchar) AS lot_number
FROM landing.observations AS observation
