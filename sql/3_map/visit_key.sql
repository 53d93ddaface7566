-- one row per key and person by which records name their visit: an encounter's, or a visit detail's. One join finds all
-- keeps:    each key of a person once, so that no record is doubled: of two details with one key the smaller id
-- keeps:    a key that encounter and detail share with both ids, if they are of the same visit; else as the encounter's
WITH detail AS (
    SELECT
        detail.visit_detail_key,
        detail.person_id,
        min(detail.visit_detail_id) AS visit_detail_id
    FROM map.visit_detail AS detail
    GROUP BY detail.visit_detail_key, detail.person_id
),

known_detail AS (
    SELECT
        known.visit_detail_key,
        known.person_id,
        known.visit_detail_id,
        known.visit_occurrence_id,
        known.provider_id
    FROM map.visit_detail AS known
    SEMI JOIN detail ON known.visit_detail_id = detail.visit_detail_id
),

encounter AS (
    SELECT
        encounter.visit_key,
        encounter.person_id,
        coalesce(stitched.visit_occurrence_id, encounter.encounter_id) AS visit_occurrence_id,
        encounter.provider_id
    FROM map.encounter AS encounter
    LEFT JOIN map.stitched AS stitched ON encounter.encounter_id = stitched.encounter_id
)

SELECT
    encounter.visit_key,
    encounter.person_id,
    cast(encounter.visit_occurrence_id AS bigint) AS visit_occurrence_id,
    detail.visit_detail_id,
    cast(coalesce(detail.provider_id, encounter.provider_id) AS bigint) AS provider_id
FROM encounter
LEFT JOIN known_detail AS detail
    ON encounter.visit_key = detail.visit_detail_key
    AND encounter.visit_occurrence_id = detail.visit_occurrence_id

UNION ALL

SELECT
    detail.visit_detail_key AS visit_key,
    detail.person_id,
    detail.visit_occurrence_id,
    detail.visit_detail_id,
    detail.provider_id
FROM known_detail AS detail
ANTI JOIN map.encounter AS encounter
    ON detail.visit_detail_key = encounter.visit_key
    AND detail.person_id = encounter.person_id
