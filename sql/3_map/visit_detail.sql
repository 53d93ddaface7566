-- one row per visit detail: a part of a visit, in the visit that it names
-- keeps:    details without an end as open, like visits
-- excludes: details of unknown or excluded persons, without a start, or of a visit that the CDM does not have
--           or has for somebody else (map.excluded)
SELECT
    detail.visit_detail_key,
    detail.visit_key,
    person.person_id,
    cast(detail.source_row_id * 100000 + detail.source_part_no * 100 AS bigint) AS visit_detail_id,
    visit.visit_occurrence_id,
    cast(coalesce(class.target_concept_id, 0) AS integer) AS visit_detail_concept_id,
    cast(coalesce(class.source_concept_id, 0) AS integer) AS visit_detail_source_concept_id,
    detail.visit_detail_code,
    cast(detail.start_datetime AS date) AS start_date,
    detail.start_datetime,
    cast(
        greatest(
            cast(coalesce(detail.end_datetime, parameter.cutoff_date) AS date), cast(detail.start_datetime AS date)
        ) AS date
    ) AS end_date,
    cast(
        CASE WHEN detail.end_datetime IS NOT NULL THEN greatest(detail.end_datetime, detail.start_datetime) END
        AS timestamp
    ) AS end_datetime,
    detail.type_concept_id,
    provider.provider_id,
    care_site.care_site_id,
    cast(coalesce(admitted.target_concept_id, 0) AS integer) AS admitted_from_concept_id,
    detail.admitted_from_code,
    cast(coalesce(discharged.target_concept_id, 0) AS integer) AS discharged_to_concept_id,
    detail.discharged_to_code
FROM source.src_visit_detail AS detail
INNER JOIN map.person AS person ON detail.person_key = person.person_key
INNER JOIN map.visit AS visit
    ON detail.visit_key = visit.visit_key
    AND person.person_id = visit.person_id
CROSS JOIN run.parameter AS parameter
LEFT JOIN map.map_source_code AS class
    ON detail.visit_detail_vocabulary = class.source_vocabulary
    AND detail.visit_detail_code = class.source_code
    AND class.target_no = 0
LEFT JOIN map.map_source_code AS admitted
    ON detail.admitted_from_vocabulary = admitted.source_vocabulary
    AND detail.admitted_from_code = admitted.source_code
    AND admitted.target_no = 0
LEFT JOIN map.map_source_code AS discharged
    ON detail.discharged_to_vocabulary = discharged.source_vocabulary
    AND detail.discharged_to_code = discharged.source_code
    AND discharged.target_no = 0
LEFT JOIN map.provider AS provider ON detail.provider_key = provider.provider_key
LEFT JOIN map.care_site AS care_site ON detail.care_site_key = care_site.care_site_key
WHERE detail.start_datetime IS NOT NULL
