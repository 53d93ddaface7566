-- one row per distinct place: city, state, zip, county
-- keeps:    no street address and no coordinates (src_location)
SELECT
    cast(place.location_id AS bigint) AS location_id,
    cast(NULL AS varchar) AS address_1,
    cast(NULL AS varchar) AS address_2,
    cast(left(place.city, 50) AS varchar) AS city,
    cast(left(place.state, 2) AS varchar) AS state,
    cast(left(place.zip, 9) AS varchar) AS zip,
    cast(left(place.county, 20) AS varchar) AS county,
    cast(left(place.location_key, 50) AS varchar) AS location_source_value,
    cast(NULL AS integer) AS country_concept_id,
    cast(NULL AS varchar) AS country_source_value,
    cast(NULL AS double) AS latitude,
    cast(NULL AS double) AS longitude
FROM map.location AS place
QUALIFY row_number() OVER (PARTITION BY place.location_id ORDER BY place.location_key) = 1
