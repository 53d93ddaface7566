-- one row per visit detail: an encounter or a part of one, in the CDM visit that it belongs to
-- keeps:    its own class, dates, provider and care site, whatever its visit was stitched of (map.stitched)
-- keeps:    a missing end as the encounter's for an inpatient (so the cut-off if that is open) and as the start for all
--           others, its time unknown; an end before the start as the start
-- keeps:    home as place before or after as 0: OMOP assumes it
-- excludes: details of unknown or excluded persons, without a start, or of a visit that the CDM does not have
--           or has for somebody else (map.excluded)
WITH record AS (
    SELECT
        detail.source_row_id * 100000 + detail.source_part_no * 100 AS visit_detail_id,
        detail.visit_detail_key,
        detail.visit_key,
        person.person_id,
        detail.visit_detail_vocabulary,
        CASE WHEN lower(trim(detail.visit_detail_code)) NOT IN ('', 'null') THEN detail.visit_detail_code END
            AS visit_detail_code,
        cast(detail.start_datetime AS date) AS start_date,
        detail.start_datetime,
        greatest(detail.end_datetime, CASE WHEN detail.end_datetime IS NOT NULL THEN detail.start_datetime END)
            AS end_datetime,
        detail.type_concept_id,
        detail.provider_key,
        detail.care_site_key,
        detail.admitted_from_vocabulary,
        CASE WHEN lower(trim(detail.admitted_from_code)) NOT IN ('', 'null') THEN detail.admitted_from_code END
            AS admitted_from_code,
        detail.discharged_to_vocabulary,
        CASE WHEN lower(trim(detail.discharged_to_code)) NOT IN ('', 'null') THEN detail.discharged_to_code END
            AS discharged_to_code
    FROM source.src_visit_detail AS detail
    INNER JOIN map.person AS person ON detail.person_key = person.person_key
    WHERE detail.start_datetime IS NOT NULL
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
    record.visit_detail_key,
    record.visit_key,
    record.person_id,
    cast(record.visit_detail_id AS bigint) AS visit_detail_id,
    cast(coalesce(stitched.visit_occurrence_id, encounter.encounter_id) AS bigint) AS visit_occurrence_id,
    cast(coalesce(class.target_concept_id, 0) AS integer) AS visit_detail_concept_id,
    cast(
        coalesce(class.source_concept_id, CASE WHEN record.visit_detail_code IS NOT NULL THEN 0 END) AS integer
    ) AS visit_detail_source_concept_id,
    cast(record.visit_detail_code AS varchar) AS visit_detail_code,
    record.start_date,
    record.start_datetime,
    cast(
        CASE
            WHEN record.end_datetime IS NOT NULL THEN record.end_datetime
            WHEN kind.visit_kind = 'inpatient' THEN encounter.end_date
            ELSE record.start_datetime
        END AS date
    ) AS end_date,
    cast(record.end_datetime AS timestamp) AS end_datetime,
    cast(
        CASE
            WHEN record.end_datetime IS NULL AND kind.visit_kind = 'inpatient' AND encounter.is_open
                THEN {{ concept.still_patient }}
            ELSE record.type_concept_id
        END AS integer
    ) AS type_concept_id,
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
INNER JOIN map.encounter AS encounter
    ON record.visit_key = encounter.visit_key
    AND record.person_id = encounter.person_id
LEFT JOIN map.stitched AS stitched ON encounter.encounter_id = stitched.encounter_id
LEFT JOIN single AS class
    ON record.visit_detail_vocabulary = class.source_vocabulary
    AND record.visit_detail_code = class.source_code
    AND record.start_date BETWEEN class.valid_start_date AND class.valid_end_date
LEFT JOIN map.visit_kind AS kind ON class.target_concept_id = kind.visit_concept_id
LEFT JOIN single AS admitted
    ON record.admitted_from_vocabulary = admitted.source_vocabulary
    AND record.admitted_from_code = admitted.source_code
    AND record.start_date BETWEEN admitted.valid_start_date AND admitted.valid_end_date
LEFT JOIN single AS discharged
    ON record.discharged_to_vocabulary = discharged.source_vocabulary
    AND record.discharged_to_code = discharged.source_code
    AND record.start_date BETWEEN discharged.valid_start_date AND discharged.valid_end_date
LEFT JOIN map.provider AS provider ON record.provider_key = provider.provider_key
LEFT JOIN map.care_site AS care_site ON record.care_site_key = care_site.care_site_key
