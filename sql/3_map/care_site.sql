-- one row per care site of the source (care_site_key), with the CDM's id
-- keeps:    the smallest source row of a key, all attributes from it (the others: map.merged), before anything is joined
-- keeps:    every care site, also those that treated nobody
-- keeps:    a place of service without a concept as 0, one that is not recorded as NULL; maps as of the cut-off
WITH site AS (
    SELECT
        care_site.care_site_key,
        care_site.source_part_no,
        care_site.source_row_id,
        CASE WHEN lower(trim(care_site.care_site_name)) NOT IN ('', 'null') THEN care_site.care_site_name END
            AS care_site_name,
        care_site.place_of_service_vocabulary,
        CASE
            WHEN lower(trim(care_site.place_of_service_code)) NOT IN ('', 'null') THEN care_site.place_of_service_code
        END AS place_of_service_code,
        care_site.location_key
    FROM source.src_care_site AS care_site
    QUALIFY
        row_number() OVER (
            PARTITION BY care_site.care_site_key ORDER BY care_site.source_row_id, care_site.source_part_no
        ) = 1
)

SELECT
    site.care_site_key,
    cast(site.source_row_id * 100000 + site.source_part_no * 100 AS bigint) AS care_site_id,
    cast(site.care_site_name AS varchar) AS care_site_name,
    cast(site.place_of_service_code AS varchar) AS place_of_service_code,
    cast(
        CASE WHEN site.place_of_service_code IS NOT NULL THEN coalesce(place.target_concept_id, 0) END AS integer
    ) AS place_of_service_concept_id,
    location.location_id
FROM site
CROSS JOIN run.parameter AS parameter
LEFT JOIN map.location AS location ON site.location_key = location.location_key
LEFT JOIN map.map_source_code AS place
    ON site.place_of_service_vocabulary = place.source_vocabulary
    AND site.place_of_service_code = place.source_code
    AND place.target_no = 0
    AND parameter.cutoff_date BETWEEN place.valid_start_date AND place.valid_end_date
