-- one row per place as the source names it (location_key), with the id of the CDM's location
-- keeps:    the smallest source row of equal places (city, state, zip, county): its id is theirs
-- excludes: places where only excluded or unknown persons live
WITH kept AS (
    SELECT
        location.location_key,
        cast(location.source_row_id * 100000 + location.source_part_no * 100 AS bigint) AS row_id,
        location.city,
        location.state,
        location.zip,
        location.county
    FROM source.src_location AS location
    LEFT JOIN source.src_person AS person ON location.person_key = person.person_key
    LEFT JOIN state.person AS known ON location.person_key = known.person_key
    WHERE location.person_key IS NULL OR (person.year_of_birth IS NOT NULL AND known.person_id IS NOT NULL)
),

place AS (
    SELECT
        kept.location_key,
        kept.city,
        kept.state,
        kept.zip,
        kept.county,
        min(kept.row_id) AS row_id
    FROM kept
    GROUP BY kept.location_key, kept.city, kept.state, kept.zip, kept.county
)

SELECT
    place.location_key,
    cast(min(place.row_id) OVER (PARTITION BY place.city, place.state, place.zip, place.county) AS bigint)
        AS location_id,
    place.city,
    place.state,
    place.zip,
    place.county
FROM place
QUALIFY row_number() OVER (PARTITION BY place.location_key ORDER BY place.row_id) = 1
