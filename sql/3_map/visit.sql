-- one row per visit: here each visit of the source is one of the CDM; joining encounters into stays belongs here
-- keeps:    visits without an end as open up to the cut-off, or up to their start if that is later
-- keeps:    an end before the start as the start
-- excludes: visits of unknown or excluded persons and visits without a start (map.excluded)
SELECT
    visit.visit_key,
    person.person_id,
    cast(visit.source_row_id * 100000 + visit.source_part_no * 100 AS bigint) AS visit_occurrence_id,
    cast(coalesce(class.target_concept_id, 0) AS integer) AS visit_concept_id,
    cast(coalesce(class.source_concept_id, 0) AS integer) AS visit_source_concept_id,
    visit.visit_code,
    cast(visit.start_datetime AS date) AS start_date,
    visit.start_datetime,
    cast(
        greatest(
            cast(coalesce(visit.end_datetime, parameter.cutoff_date) AS date), cast(visit.start_datetime AS date)
        ) AS date
    ) AS end_date,
    cast(
        CASE
            WHEN visit.end_datetime IS NOT NULL THEN greatest(visit.end_datetime, visit.start_datetime)
        END AS timestamp
    ) AS end_datetime,
    visit.type_concept_id,
    provider.provider_id,
    care_site.care_site_id,
    cast(coalesce(admitted.target_concept_id, 0) AS integer) AS admitted_from_concept_id,
    visit.admitted_from_code,
    cast(coalesce(discharged.target_concept_id, 0) AS integer) AS discharged_to_concept_id,
    visit.discharged_to_code
FROM source.src_visit AS visit
INNER JOIN map.person AS person ON visit.person_key = person.person_key
CROSS JOIN run.parameter AS parameter
LEFT JOIN map.map_source_code AS class
    ON visit.visit_vocabulary = class.source_vocabulary
    AND visit.visit_code = class.source_code
    AND class.target_no = 0
LEFT JOIN map.map_source_code AS admitted
    ON visit.admitted_from_vocabulary = admitted.source_vocabulary
    AND visit.admitted_from_code = admitted.source_code
    AND admitted.target_no = 0
LEFT JOIN map.map_source_code AS discharged
    ON visit.discharged_to_vocabulary = discharged.source_vocabulary
    AND visit.discharged_to_code = discharged.source_code
    AND discharged.target_no = 0
LEFT JOIN map.provider AS provider ON visit.provider_key = provider.provider_key
LEFT JOIN map.care_site AS care_site ON visit.care_site_key = care_site.care_site_key
WHERE visit.start_datetime IS NOT NULL
