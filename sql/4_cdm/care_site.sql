-- one row per place of care
-- keeps:    every place, also those that treated nobody
SELECT
    cast(care_site.care_site_id AS bigint) AS care_site_id,
    cast(left(care_site.care_site_name, 255) AS varchar) AS care_site_name,
    cast(care_site.place_of_service_concept_id AS integer) AS place_of_service_concept_id,
    cast(care_site.location_id AS bigint) AS location_id,
    cast(left(care_site.care_site_key, 50) AS varchar) AS care_site_source_value,
    cast(left(care_site.place_of_service_code, 50) AS varchar) AS place_of_service_source_value
FROM map.care_site AS care_site
