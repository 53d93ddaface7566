-- one row per encounter of encounters.csv, as the detail of the visit it belongs to
-- keeps:    every row, with the encounter's own dates, also when it becomes part of a longer stay (map.stitched)
SELECT
    cast({{ part.synthea_visit_detail }} AS integer) AS source_part_no,
    cast(encounter.source_row_id AS bigint) AS source_row_id,
    cast(encounter.id AS varchar) AS visit_detail_key,
    cast(encounter.id AS varchar) AS visit_key,
    cast(encounter.patient AS varchar) AS person_key,
    cast('Synthea class' AS varchar) AS visit_detail_vocabulary,
    cast(encounter.encounterclass AS varchar) AS visit_detail_code,
    cast(encounter.start AS timestamp) AS start_datetime,
    cast(encounter.stop AS timestamp) AS end_datetime,
    cast({{ concept.ehr_encounter_record }} AS integer) AS type_concept_id,
    cast(encounter.provider AS varchar) AS provider_key,
    cast(encounter.organization AS varchar) AS care_site_key,
    cast(NULL AS varchar) AS admitted_from_vocabulary,
    cast(NULL AS varchar) AS admitted_from_code,
    cast(NULL AS varchar) AS discharged_to_vocabulary,
    cast(NULL AS varchar) AS discharged_to_code
FROM landing.encounters AS encounter
