-- one row per CDM visit: an encounter, or the encounters that share it (map.stitched)
-- keeps:    from the first start to the last end of its encounters; the time of the end only if it is known
-- keeps:    a stay with an emergency encounter as emergency and inpatient; an open one (map.encounter) as still patient
-- keeps:    class, provider and care site of the first inpatient encounter, else of the first; where the person came
--           from by the first, went to by the one that ends last
-- excludes: nothing; visits of unknown or excluded persons and visits without a start never get here (map.encounter)
WITH ranked AS (
    SELECT
        stitched.visit_occurrence_id,
        encounter.encounter_id,
        encounter.visit_kind,
        encounter.visit_key,
        encounter.visit_concept_id,
        encounter.start_datetime,
        encounter.last_start_datetime,
        encounter.end_date,
        encounter.end_datetime,
        encounter.is_open,
        encounter.admitted_from_concept_id,
        encounter.admitted_from_code,
        encounter.discharged_to_concept_id,
        encounter.discharged_to_code,
        row_number() OVER (
            PARTITION BY stitched.visit_occurrence_id
            ORDER BY
                CASE WHEN encounter.visit_kind = 'inpatient' THEN 0 ELSE 1 END,
                encounter.start_datetime,
                encounter.end_date,
                encounter.encounter_id
        ) AS description_no,
        row_number() OVER (
            PARTITION BY stitched.visit_occurrence_id
            ORDER BY encounter.start_datetime, encounter.end_date, encounter.encounter_id
        ) AS start_no,
        row_number() OVER (
            PARTITION BY stitched.visit_occurrence_id
            ORDER BY
                encounter.end_date DESC,
                encounter.end_datetime DESC NULLS FIRST,
                encounter.start_datetime DESC,
                encounter.encounter_id DESC
        ) AS end_no
    FROM map.stitched AS stitched
    INNER JOIN map.encounter AS encounter ON stitched.encounter_id = encounter.encounter_id
),

joined AS (
    SELECT
        ranked.visit_occurrence_id,
        max(ranked.encounter_id) FILTER (WHERE ranked.description_no = 1) AS describing_encounter_id,
        max(ranked.visit_key) FILTER (WHERE ranked.start_no = 1) AS visit_key,
        bool_or(
            ranked.visit_kind = 'emergency' OR ranked.visit_concept_id = {{ concept.visit_emergency_and_inpatient }}
        ) AS has_emergency,
        min(ranked.start_datetime) AS start_datetime,
        max(ranked.last_start_datetime) AS last_start_datetime,
        max(ranked.end_date) AS end_date,
        max(ranked.end_datetime) AS end_datetime,
        bool_or(ranked.is_open) AS is_open,
        max(ranked.admitted_from_concept_id) FILTER (WHERE ranked.start_no = 1) AS admitted_from_concept_id,
        max(ranked.admitted_from_code) FILTER (WHERE ranked.start_no = 1) AS admitted_from_code,
        max(ranked.discharged_to_concept_id) FILTER (WHERE ranked.end_no = 1) AS discharged_to_concept_id,
        max(ranked.discharged_to_code) FILTER (WHERE ranked.end_no = 1) AS discharged_to_code
    FROM ranked
    GROUP BY ranked.visit_occurrence_id
)

SELECT
    encounter.visit_key,
    encounter.person_id,
    encounter.encounter_id AS visit_occurrence_id,
    encounter.visit_concept_id,
    encounter.visit_source_concept_id,
    encounter.visit_code,
    encounter.start_date,
    encounter.start_datetime,
    encounter.end_date,
    encounter.end_datetime,
    cast(
        CASE WHEN encounter.is_open THEN {{ concept.still_patient }} ELSE encounter.type_concept_id END AS integer
    ) AS type_concept_id,
    encounter.provider_id,
    encounter.care_site_id,
    encounter.admitted_from_concept_id,
    encounter.admitted_from_code,
    encounter.discharged_to_concept_id,
    encounter.discharged_to_code
FROM map.encounter AS encounter
ANTI JOIN map.stitched AS stitched ON encounter.encounter_id = stitched.encounter_id

UNION ALL

SELECT
    joined.visit_key,
    encounter.person_id,
    joined.visit_occurrence_id,
    cast(
        CASE
            WHEN joined.has_emergency THEN {{ concept.visit_emergency_and_inpatient }}
            ELSE encounter.visit_concept_id
        END AS integer
    ) AS visit_concept_id,
    encounter.visit_source_concept_id,
    encounter.visit_code,
    cast(joined.start_datetime AS date) AS start_date,
    joined.start_datetime,
    joined.end_date,
    cast(
        CASE
            WHEN NOT joined.is_open AND joined.end_datetime >= joined.last_start_datetime THEN joined.end_datetime
        END AS timestamp
    ) AS end_datetime,
    cast(
        CASE WHEN joined.is_open THEN {{ concept.still_patient }} ELSE encounter.type_concept_id END AS integer
    ) AS type_concept_id,
    encounter.provider_id,
    encounter.care_site_id,
    joined.admitted_from_concept_id,
    joined.admitted_from_code,
    joined.discharged_to_concept_id,
    joined.discharged_to_code
FROM joined
INNER JOIN map.encounter AS encounter ON joined.describing_encounter_id = encounter.encounter_id
