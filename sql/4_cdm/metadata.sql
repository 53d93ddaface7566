-- one row per fact about this CDM that analysts may want beside the data: the cut-off and the versions
-- keeps:    facts of the input only, never the clock
WITH fact AS (
    SELECT
        1 AS metadata_id,
        'data cut-off' AS name,
        cast(parameter.cutoff_date AS varchar) AS value_as_string,
        parameter.cutoff_date
    FROM run.parameter AS parameter
    UNION ALL
    SELECT
        2 AS metadata_id,
        'vocabulary version' AS name,
        parameter.vocabulary_version AS value_as_string,
        parameter.cutoff_date
    FROM run.parameter AS parameter
    UNION ALL
    SELECT
        3 AS metadata_id,
        'code version' AS name,
        parameter.code_version AS value_as_string,
        parameter.cutoff_date
    FROM run.parameter AS parameter
)

SELECT
    cast(fact.metadata_id AS bigint) AS metadata_id,
    cast({{ concept.no_matching_concept }} AS integer) AS metadata_concept_id,
    cast({{ concept.standard_algorithm }} AS integer) AS metadata_type_concept_id,
    cast(fact.name AS varchar) AS name,
    cast(left(fact.value_as_string, 250) AS varchar) AS value_as_string,
    cast(NULL AS integer) AS value_as_concept_id,
    cast(NULL AS double) AS value_as_number,
    cast(fact.cutoff_date AS date) AS metadata_date,
    cast(NULL AS timestamp) AS metadata_datetime
FROM fact
