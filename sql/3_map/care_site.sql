-- one row per care site of the source, with the CDM's id
-- keeps:    every care site, also those that treated nobody
SELECT
    care_site.care_site_key,
    cast(care_site.source_row_id * 100000 + care_site.source_part_no * 100 AS bigint) AS care_site_id,
    care_site.care_site_name,
    care_site.place_of_service_code,
    cast(coalesce(place.target_concept_id, 0) AS integer) AS place_of_service_concept_id,
    location.location_id
FROM source.src_care_site AS care_site
LEFT JOIN map.location AS location ON care_site.location_key = location.location_key
LEFT JOIN map.map_source_code AS place
    ON care_site.place_of_service_vocabulary = place.source_vocabulary
    AND care_site.place_of_service_code = place.source_code
    AND place.target_no = 0
