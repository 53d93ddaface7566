-- one row per organization of organizations.csv
-- keeps:    every row, also those that treated nobody
SELECT
    cast({{ part.synthea_care_site }} AS integer) AS source_part_no,
    cast(organization.source_row_id AS bigint) AS source_row_id,
    cast(organization.id AS varchar) AS care_site_key,
    cast(organization.name AS varchar) AS care_site_name,
    cast(NULL AS varchar) AS place_of_service_vocabulary,
    cast(NULL AS varchar) AS place_of_service_code,
    cast(concat_ws('|', organization.city, organization.state, organization.zip) AS varchar) AS location_key
FROM landing.organizations AS organization
