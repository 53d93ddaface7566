-- one row: what this CDM was made of
-- keeps:    the data cut-off as both dates, never the clock: the same input gives the same row
SELECT
    cast(left(parameter.source, 255) AS varchar) AS cdm_source_name,
    cast(left(parameter.source, 25) AS varchar) AS cdm_source_abbreviation,
    cast('cdmflow' AS varchar) AS cdm_holder,
    cast('Made by cdmflow from the source ' || parameter.source AS varchar) AS source_description,
    cast(NULL AS varchar) AS source_documentation_reference,
    cast('cdmflow ' || parameter.code_version AS varchar) AS cdm_etl_reference,
    cast(parameter.cutoff_date AS date) AS source_release_date,
    cast(parameter.cutoff_date AS date) AS cdm_release_date,
    cast(left(parameter.cdm_version, 10) AS varchar) AS cdm_version,
    cast({{ concept.cdm_version_5_4 }} AS integer) AS cdm_version_concept_id,
    cast(left(parameter.vocabulary_version, 20) AS varchar) AS vocabulary_version
FROM run.parameter AS parameter
