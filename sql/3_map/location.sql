-- one row per place as the source names it (location_key), with the id of the CDM's location
-- keeps:    the smallest source row of a key, all attributes from it; then of equal places (city, state, zip, county) the
--           smallest row's id for all: equal places are one location, so nothing that joins a key fans out
-- keeps:    postcodes as text: leading zeros stay; the nine digits of 02101-1234 without the hyphen (zip has 9 characters)
-- keeps:    places of which only the key is known apart from each other
-- excludes: places where only excluded or unknown persons live
WITH resident AS (
    SELECT person.person_key
    FROM source.src_person AS person
    SEMI JOIN state.person AS known ON person.person_key = known.person_key
    WHERE person.year_of_birth BETWEEN 1 AND 9999
),

kept AS (
    SELECT
        location.location_key,
        location.source_part_no,
        location.source_row_id,
        location.city,
        location.state,
        location.zip,
        location.county
    FROM source.src_location AS location
    WHERE location.person_key IS NULL
    UNION ALL
    SELECT
        location.location_key,
        location.source_part_no,
        location.source_row_id,
        location.city,
        location.state,
        location.zip,
        location.county
    FROM source.src_location AS location
    SEMI JOIN resident ON location.person_key = resident.person_key
),

first_of_key AS (
    SELECT
        kept.location_key,
        kept.source_part_no,
        kept.source_row_id,
        CASE WHEN lower(trim(kept.city)) NOT IN ('', 'null') THEN trim(kept.city) END AS city,
        CASE WHEN lower(trim(kept.state)) NOT IN ('', 'null') THEN trim(kept.state) END AS state,
        CASE
            WHEN regexp_matches(trim(kept.zip), '^[0-9]{5}-[0-9]{4}$') THEN replace(trim(kept.zip), '-', '')
            WHEN lower(trim(kept.zip)) NOT IN ('', 'null') THEN trim(kept.zip)
        END AS zip,
        CASE WHEN lower(trim(kept.county)) NOT IN ('', 'null') THEN trim(kept.county) END AS county
    FROM kept
    QUALIFY
        row_number() OVER (PARTITION BY kept.location_key ORDER BY kept.source_row_id, kept.source_part_no) = 1
),

place AS (
    SELECT
        first_of_key.*,
        CASE
            WHEN coalesce(first_of_key.city, first_of_key.state, first_of_key.zip, first_of_key.county) IS NULL
                THEN first_of_key.location_key
        END AS name_only
    FROM first_of_key
)

SELECT
    place.location_key,
    cast(
        min(place.source_row_id * 100000 + place.source_part_no * 100)
            OVER (PARTITION BY place.city, place.state, place.zip, place.county, place.name_only)
        AS bigint
    ) AS location_id,
    cast(place.source_part_no AS integer) AS source_part_no,
    cast(place.source_row_id AS bigint) AS source_row_id,
    cast(place.city AS varchar) AS city,
    cast(place.state AS varchar) AS state,
    cast(place.zip AS varchar) AS zip,
    cast(place.county AS varchar) AS county
FROM place
