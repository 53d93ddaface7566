-- one row per code that the event tables name in words, by the vocabulary under which src_event knows it
-- keeps:    of several descriptions the first by alphabet; a drug that somebody is allergic to under both its vocabularies
-- excludes: codes and descriptions that are blank
-- note:     grouped per table first: 2 million observations have a few hundred codes
WITH named AS (
    SELECT
        CASE WHEN upper(condition.system) LIKE '%ICD%' THEN 'ICD10CM' ELSE 'SNOMED' END AS source_vocabulary,
        condition.code AS source_code,
        min(condition.description) FILTER (WHERE trim(condition.description) <> '') AS source_code_name
    FROM landing.conditions AS condition
    GROUP BY ALL
    UNION ALL
    SELECT
        CASE WHEN upper(procedure.system) LIKE '%ICD%' THEN 'ICD10PCS' ELSE 'SNOMED' END,
        procedure.code,
        min(procedure.description) FILTER (WHERE trim(procedure.description) <> '')
    FROM landing.procedures AS procedure
    GROUP BY ALL
    UNION ALL
    SELECT 'LOINC', observation.code, min(observation.description) FILTER (WHERE trim(observation.description) <> '')
    FROM landing.observations AS observation
    GROUP BY observation.code
    UNION ALL
    SELECT 'RxNorm', medication.code, min(medication.description) FILTER (WHERE trim(medication.description) <> '')
    FROM landing.medications AS medication
    GROUP BY medication.code
    UNION ALL
    SELECT 'CVX', immunization.code, min(immunization.description) FILTER (WHERE trim(immunization.description) <> '')
    FROM landing.immunizations AS immunization
    GROUP BY immunization.code
    UNION ALL
    SELECT 'SNOMED', careplan.code, min(careplan.description) FILTER (WHERE trim(careplan.description) <> '')
    FROM landing.careplans AS careplan
    GROUP BY careplan.code
    UNION ALL
    SELECT 'SNOMED', device.code, min(device.description) FILTER (WHERE trim(device.description) <> '')
    FROM landing.devices AS device
    GROUP BY device.code
    UNION ALL
    SELECT 'SNOMED', supply.code, min(supply.description) FILTER (WHERE trim(supply.description) <> '')
    FROM landing.supplies AS supply
    GROUP BY supply.code
    UNION ALL
    SELECT
        'SNOMED',
        study.procedure_code,
        min(study.procedure_description) FILTER (WHERE trim(study.procedure_description) <> '')
    FROM landing.imaging_studies AS study
    GROUP BY study.procedure_code
    UNION ALL
    SELECT
        vocabulary.name,
        allergy.code,
        min(allergy.description) FILTER (WHERE trim(allergy.description) <> '')
    FROM landing.allergies AS allergy
    INNER JOIN (VALUES ('SNOMED', FALSE), ('RxNorm', TRUE), ('Synthea drug allergy', TRUE))
        AS vocabulary (name, is_drug)
        ON vocabulary.is_drug = CASE
            WHEN upper(allergy.system) LIKE '%RXNORM%' THEN TRUE
            WHEN upper(allergy.system) LIKE '%SNOMED%' THEN FALSE
            ELSE NOT regexp_matches(coalesce(allergy.code, ''), '^[0-9]{3,15}[01]0[0-9]$')
        END
    GROUP BY ALL
)

SELECT
    cast(named.source_vocabulary AS varchar) AS source_vocabulary,
    cast(named.source_code AS varchar) AS source_code,
    cast(min(named.source_code_name) AS varchar) AS source_code_name
FROM named
WHERE trim(named.source_code) <> '' AND named.source_code_name IS NOT NULL
GROUP BY named.source_vocabulary, named.source_code
