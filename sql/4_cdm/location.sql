-- one row per distinct place: city, state, zip, county
-- keeps:    the source's name (location_key) of the smallest source row of equal places
-- keeps:    no street address and no coordinates (src_location)
-- keeps:    a state or postcode that is too long for its column as unknown: cut, it would name another place
SELECT
    cast(place.location_id AS bigint) AS location_id,
    cast(NULL AS varchar) AS address_1,
    cast(NULL AS varchar) AS address_2,
    cast(left(place.city, 50) AS varchar) AS city,
    cast(CASE WHEN length(place.state) <= 2 THEN place.state END AS varchar) AS state,
    cast(CASE WHEN length(place.zip) <= 9 THEN place.zip END AS varchar) AS zip,
    cast(left(place.county, 20) AS varchar) AS county,
    cast(left(place.location_key, 50) AS varchar) AS location_source_value,
    cast(NULL AS integer) AS country_concept_id,
    cast(NULL AS varchar) AS country_source_value,
    cast(NULL AS double) AS latitude,
    cast(NULL AS double) AS longitude
FROM map.location AS place
WHERE place.location_id = place.source_row_id * 100000 + place.source_part_no * 100
