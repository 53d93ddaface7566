-- one row per patient who turned out to be another one (patient_merges.csv, a site's own: Synthea has none)
-- keeps:    every row; map.person_merge takes the newest of a patient and follows chains
SELECT
    cast({{ part.synthea_person_merge }} AS integer) AS source_part_no,
    cast(merge.source_row_id AS bigint) AS source_row_id,
    cast(merge.old_id AS varchar) AS old_person_key,
    cast(merge.surviving_id AS varchar) AS person_key,
    cast(merge.merged_on AS date) AS merge_date
FROM landing.patient_merges AS merge
