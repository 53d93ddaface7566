-- one row per encounter of the source: person, class and dates resolved, before encounters become visits (map.stitched)
-- keeps:    rows of src_visit with the same key and person as one encounter, described by the one with the smallest id
-- keeps:    an encounter's details (src_visit_detail) within its dates: it begins with the first and ends with the last
-- keeps:    a missing end as the cut-off for an inpatient (open) and as the start for all others, its time unknown;
--           an end before the start as the start
-- keeps:    home as place before or after as 0: OMOP assumes it
-- excludes: visits of unknown or excluded persons and visits without a start (map.excluded)
WITH record AS (
    SELECT
        visit.source_row_id * 100000 + visit.source_part_no * 100 AS encounter_id,
        visit.visit_key,
        person.person_id,
        visit.visit_vocabulary,
        CASE WHEN lower(trim(visit.visit_code)) NOT IN ('', 'null') THEN visit.visit_code END AS visit_code,
        cast(visit.start_datetime AS date) AS coded_date,
        visit.start_datetime,
        greatest(visit.end_datetime, CASE WHEN visit.end_datetime IS NOT NULL THEN visit.start_datetime END)
            AS end_datetime,
        visit.type_concept_id,
        visit.provider_key,
        visit.care_site_key,
        visit.admitted_from_vocabulary,
        CASE WHEN lower(trim(visit.admitted_from_code)) NOT IN ('', 'null') THEN visit.admitted_from_code END
            AS admitted_from_code,
        visit.discharged_to_vocabulary,
        CASE WHEN lower(trim(visit.discharged_to_code)) NOT IN ('', 'null') THEN visit.discharged_to_code END
            AS discharged_to_code
    FROM source.src_visit AS visit
    INNER JOIN map.person AS person ON visit.person_key = person.person_key
    WHERE visit.start_datetime IS NOT NULL
),

dated AS (
    SELECT
        record.visit_key,
        record.person_id,
        record.encounter_id,
        record.start_datetime,
        record.end_datetime
    FROM record
    UNION ALL
    SELECT
        detail.visit_key,
        person.person_id,
        NULL AS encounter_id,
        detail.start_datetime,
        detail.end_datetime
    FROM source.src_visit_detail AS detail
    INNER JOIN map.person AS person ON detail.person_key = person.person_key
    WHERE detail.start_datetime IS NOT NULL
),

bounds AS (
    SELECT
        dated.visit_key,
        dated.person_id,
        min(dated.encounter_id) AS encounter_id,
        min(dated.start_datetime) AS start_datetime,
        max(dated.start_datetime) AS last_start_datetime,
        max(dated.end_datetime) AS last_end_datetime,
        bool_or(dated.encounter_id IS NOT NULL AND dated.end_datetime IS NOT NULL) AS has_end
    FROM dated
    GROUP BY dated.visit_key, dated.person_id
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
    cast(record.encounter_id AS bigint) AS encounter_id,
    record.visit_key,
    record.person_id,
    cast(coalesce(kind.visit_kind, 'other') AS varchar) AS visit_kind,
    cast(coalesce(class.target_concept_id, 0) AS integer) AS visit_concept_id,
    cast(
        coalesce(class.source_concept_id, CASE WHEN record.visit_code IS NOT NULL THEN 0 END) AS integer
    ) AS visit_source_concept_id,
    cast(record.visit_code AS varchar) AS visit_code,
    cast(bounds.start_datetime AS date) AS start_date,
    cast(bounds.start_datetime AS timestamp) AS start_datetime,
    cast(bounds.last_start_datetime AS timestamp) AS last_start_datetime,
    cast(
        greatest(
            cast(bounds.last_end_datetime AS date),
            cast(bounds.last_start_datetime AS date),
            CASE WHEN NOT bounds.has_end AND kind.visit_kind = 'inpatient' THEN parameter.cutoff_date END
        ) AS date
    ) AS end_date,
    cast(
        CASE
            WHEN NOT bounds.has_end AND kind.visit_kind = 'inpatient' THEN NULL
            WHEN bounds.last_end_datetime >= bounds.last_start_datetime THEN bounds.last_end_datetime
        END AS timestamp
    ) AS end_datetime,
    cast(NOT bounds.has_end AND coalesce(kind.visit_kind, 'other') = 'inpatient' AS boolean) AS is_open,
    record.type_concept_id,
    provider.provider_id,
    care_site.care_site_id,
    cast(
        CASE
            WHEN record.admitted_from_code IS NULL THEN NULL
            WHEN admitted.target_concept_id <> {{ concept.discharged_home }} THEN admitted.target_concept_id
            ELSE 0
        END AS integer
    ) AS admitted_from_concept_id,
    cast(record.admitted_from_code AS varchar) AS admitted_from_code,
    cast(
        CASE
            WHEN record.discharged_to_code IS NULL THEN NULL
            WHEN discharged.target_concept_id <> {{ concept.discharged_home }} THEN discharged.target_concept_id
            ELSE 0
        END AS integer
    ) AS discharged_to_concept_id,
    cast(record.discharged_to_code AS varchar) AS discharged_to_code
FROM record
INNER JOIN bounds ON record.encounter_id = bounds.encounter_id
CROSS JOIN run.parameter AS parameter
LEFT JOIN single AS class
    ON record.visit_vocabulary = class.source_vocabulary
    AND record.visit_code = class.source_code
    AND record.coded_date BETWEEN class.valid_start_date AND class.valid_end_date
LEFT JOIN map.visit_kind AS kind ON class.target_concept_id = kind.visit_concept_id
LEFT JOIN single AS admitted
    ON record.admitted_from_vocabulary = admitted.source_vocabulary
    AND record.admitted_from_code = admitted.source_code
    AND record.coded_date BETWEEN admitted.valid_start_date AND admitted.valid_end_date
LEFT JOIN single AS discharged
    ON record.discharged_to_vocabulary = discharged.source_vocabulary
    AND record.discharged_to_code = discharged.source_code
    AND record.coded_date BETWEEN discharged.valid_start_date AND discharged.valid_end_date
LEFT JOIN map.provider AS provider ON record.provider_key = provider.provider_key
LEFT JOIN map.care_site AS care_site ON record.care_site_key = care_site.care_site_key
