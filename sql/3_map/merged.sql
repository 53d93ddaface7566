-- one row per source row (and part) that has no CDM row of its own because it went into another row's of the same table
-- keeps:    persons merged into another, and the rows that say so; later rows of one person, provider, care site or place key; equal places; encounters that are
--           part of another's visit; insured periods joined into one
-- note:     into_… is the row whose number the CDM row carries, so one look-up leads there
-- excludes: what map.excluded names: it went nowhere
WITH visit AS (
    SELECT
        visit.source_part_no,
        visit.source_row_id,
        known.visit_occurrence_id AS into_id
    FROM source.src_visit AS visit
    INNER JOIN map.person AS person ON visit.person_key = person.person_key
    INNER JOIN map.visit_key AS known
        ON visit.visit_key = known.visit_key
        AND person.person_id = known.person_id
    WHERE visit.start_datetime IS NOT NULL
),

place AS (
    SELECT
        location.source_part_no,
        location.source_row_id,
        known.location_id AS into_id
    FROM source.src_location AS location
    INNER JOIN map.location AS known ON location.location_key = known.location_key
    LEFT JOIN map.person AS person ON location.person_key = person.person_key
    WHERE location.person_key IS NULL OR person.person_id IS NOT NULL
),

found AS (
    SELECT visit.source_part_no, visit.source_row_id, visit.into_id
    FROM visit
    UNION ALL
    SELECT place.source_part_no, place.source_row_id, place.into_id
    FROM place
    UNION ALL
    SELECT care_site.source_part_no, care_site.source_row_id, known.care_site_id
    FROM source.src_care_site AS care_site
    INNER JOIN map.care_site AS known ON care_site.care_site_key = known.care_site_key
    UNION ALL
    SELECT provider.source_part_no, provider.source_row_id, known.provider_id
    FROM source.src_provider AS provider
    INNER JOIN map.provider AS known ON provider.provider_key = known.provider_key
    UNION ALL
    SELECT insured.source_part_no, insured.source_row_id, insured.payer_plan_period_id
    FROM map.payer_plan_row AS insured
    UNION ALL
    SELECT person.source_part_no, person.source_row_id, known.source_row_id * 100000 + known.source_part_no * 100
    FROM source.src_person AS person
    INNER JOIN map.person AS known ON person.person_key = known.person_key
    UNION ALL
    SELECT merge.source_part_no, merge.source_row_id, known.source_row_id * 100000 + known.source_part_no * 100
    FROM map.person_merge AS merge
    INNER JOIN map.person AS known ON merge.old_person_key = known.person_key
    WHERE NOT known.is_survivor
)

SELECT
    cast(found.source_part_no AS integer) AS source_part_no,
    cast(found.source_row_id AS bigint) AS source_row_id,
    cast((found.into_id // 100) % 1000 AS integer) AS into_part_no,
    cast(found.into_id // 100000 AS bigint) AS into_source_row_id
FROM found
WHERE found.into_id <> found.source_row_id * 100000 + found.source_part_no * 100
