-- one row per record and standard concept whose domain has no table of its own: answers, allergies, social facts …
-- keeps:    codes without a standard concept, as 0, when the source calls them an observation
-- keeps:    texts that are no number as value_as_string; '<5' is one, since an observation has no operator
-- sends on: the same codes' targets in other domains, to their tables
-- excludes: nothing; events of excluded persons never get here (map.event)
SELECT
    cast(event.event_id AS bigint) AS observation_id,
    cast(event.person_id AS integer) AS person_id,
    cast(event.target_concept_id AS integer) AS observation_concept_id,
    cast(event.start_date AS date) AS observation_date,
    cast(event.start_datetime AS timestamp) AS observation_datetime,
    cast(event.type_concept_id AS integer) AS observation_type_concept_id,
    cast(
        CASE WHEN coalesce(event.operator_code, '=') = '=' OR event.value_text IS NULL THEN event.value_number END
        AS double
    ) AS value_as_number,
    cast(
        left(
            CASE
                WHEN event.value_number IS NULL OR event.operator_code <> '=' THEN event.value_text
            END, 60
        ) AS varchar
    ) AS value_as_string,
    cast(event.value_as_concept_id AS integer) AS value_as_concept_id,
    cast(event.modifier_concept_id AS integer) AS qualifier_concept_id,
    cast(event.unit_concept_id AS integer) AS unit_concept_id,
    cast(event.provider_id AS bigint) AS provider_id,
    cast(event.visit_occurrence_id AS bigint) AS visit_occurrence_id,
    cast(event.visit_detail_id AS bigint) AS visit_detail_id,
    cast(left(event.source_code, 50) AS varchar) AS observation_source_value,
    cast(event.source_concept_id AS integer) AS observation_source_concept_id,
    cast(left(event.unit_code, 50) AS varchar) AS unit_source_value,
    cast(left(event.modifier_code, 50) AS varchar) AS qualifier_source_value,
    cast(left(coalesce(event.value_code, event.value_text), 50) AS varchar) AS value_source_value,
    cast(NULL AS bigint) AS observation_event_id,
    cast(NULL AS integer) AS obs_event_field_concept_id
FROM map.event AS event
WHERE event.target_table = 'observation'
