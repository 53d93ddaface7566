-- one row per patient and per organization, with the place where they are; map.location joins equal places
-- keeps:    city, state (patients.csv writes its name), zip and county
-- excludes: the street address and the coordinates: with a birth date they name a person
WITH state AS (
    SELECT
        cast(state.name AS varchar) AS name,
        cast(state.code AS varchar) AS code
    FROM (
        VALUES
            ('Alabama', 'AL'), ('Alaska', 'AK'), ('Arizona', 'AZ'), ('Arkansas', 'AR'),
            ('California', 'CA'), ('Colorado', 'CO'), ('Connecticut', 'CT'), ('Delaware', 'DE'),
            ('District of Columbia', 'DC'), ('Florida', 'FL'), ('Georgia', 'GA'), ('Hawaii', 'HI'),
            ('Idaho', 'ID'), ('Illinois', 'IL'), ('Indiana', 'IN'), ('Iowa', 'IA'),
            ('Kansas', 'KS'), ('Kentucky', 'KY'), ('Louisiana', 'LA'), ('Maine', 'ME'),
            ('Maryland', 'MD'), ('Massachusetts', 'MA'), ('Michigan', 'MI'), ('Minnesota', 'MN'),
            ('Mississippi', 'MS'), ('Missouri', 'MO'), ('Montana', 'MT'), ('Nebraska', 'NE'),
            ('Nevada', 'NV'), ('New Hampshire', 'NH'), ('New Jersey', 'NJ'), ('New Mexico', 'NM'),
            ('New York', 'NY'), ('North Carolina', 'NC'), ('North Dakota', 'ND'), ('Ohio', 'OH'),
            ('Oklahoma', 'OK'), ('Oregon', 'OR'), ('Pennsylvania', 'PA'), ('Puerto Rico', 'PR'),
            ('Rhode Island', 'RI'), ('South Carolina', 'SC'), ('South Dakota', 'SD'), ('Tennessee', 'TN'),
            ('Texas', 'TX'), ('Utah', 'UT'), ('Vermont', 'VT'), ('Virginia', 'VA'),
            ('Washington', 'WA'), ('West Virginia', 'WV'), ('Wisconsin', 'WI'), ('Wyoming', 'WY')
    ) AS state (name, code)
)

SELECT
    cast({{ part.synthea_person_location }} AS integer) AS source_part_no,
    cast(patient.source_row_id AS bigint) AS source_row_id,
    cast(concat_ws('|', patient.city, patient.state, patient.zip, patient.county) AS varchar) AS location_key,
    cast(patient.id AS varchar) AS person_key,
    cast(patient.city AS varchar) AS city,
    cast(coalesce(state.code, patient.state) AS varchar) AS state,
    cast(patient.zip AS varchar) AS zip,
    cast(patient.county AS varchar) AS county
FROM landing.patients AS patient
LEFT JOIN state ON patient.state = state.name

UNION ALL

SELECT
    cast({{ part.synthea_care_site_location }} AS integer) AS source_part_no,
    cast(organization.source_row_id AS bigint) AS source_row_id,
    cast(concat_ws('|', organization.city, organization.state, organization.zip) AS varchar) AS location_key,
    cast(NULL AS varchar) AS person_key,
    cast(organization.city AS varchar) AS city,
    cast(coalesce(state.code, organization.state) AS varchar) AS state,
    cast(organization.zip AS varchar) AS zip,
    cast(NULL AS varchar) AS county
FROM landing.organizations AS organization
LEFT JOIN state ON organization.state = state.name
