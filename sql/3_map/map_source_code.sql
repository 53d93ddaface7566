-- one row per source code and standard concept it means; a code that means none has one row with concept 0
-- keeps:    the source concept of the same vocabulary and code, also when it is not standard (source-to-source)
-- keeps:    custom maps before the vocabulary: a code that a custom map names is not looked up further
-- keeps:    valid `Maps to` of the source concept to standard, valid concepts, smallest concept first (target_no);
--           a standard concept that the bundle gives no `Maps to` stands for itself
-- keeps:    `Maps to value` as value_as_concept_id where the target's table has a value (measurement, observation);
--           two values of one target are two rows
-- sends on: by the target's domain to its table; other domains (also Visit) are observations; an unmapped code has no
--           domain and no table, so it stays in the table of its origin
WITH code AS (
    SELECT
        source_code.source_vocabulary,
        source_code.source_code,
        min(concept.concept_id) AS source_concept_id
    FROM map.source_code AS source_code
    LEFT JOIN vocabulary.concept AS concept
        ON source_code.source_vocabulary = concept.vocabulary_id
        AND source_code.source_code = concept.concept_code
    GROUP BY source_code.source_vocabulary, source_code.source_code
),

custom AS (
    SELECT
        code.source_vocabulary,
        code.source_code,
        coalesce(nullif(own.source_concept_id, 0), code.source_concept_id) AS source_concept_id,
        own.target_concept_id
    FROM code
    INNER JOIN custom.source_to_concept_map AS own
        ON code.source_vocabulary = own.source_vocabulary_id
        AND code.source_code = own.source_code
    WHERE own.invalid_reason IS NULL
),

asked AS (
    SELECT
        code.source_vocabulary,
        code.source_code,
        code.source_concept_id
    FROM code
    ANTI JOIN custom
        ON code.source_vocabulary = custom.source_vocabulary
        AND code.source_code = custom.source_code
),

related AS (
    SELECT
        relationship.concept_id_1,
        relationship.concept_id_2,
        relationship.relationship_id,
        target.domain_id
    FROM vocabulary.concept_relationship AS relationship
    SEMI JOIN asked ON relationship.concept_id_1 = asked.source_concept_id
    INNER JOIN vocabulary.concept AS target ON relationship.concept_id_2 = target.concept_id
    WHERE relationship.relationship_id IN ('Maps to', 'Maps to value')
        AND relationship.invalid_reason IS NULL
        AND target.standard_concept = 'S'
        AND target.invalid_reason IS NULL
),

itself AS (
    SELECT
        concept.concept_id,
        concept.domain_id
    FROM vocabulary.concept AS concept
    SEMI JOIN asked ON concept.concept_id = asked.source_concept_id
    WHERE concept.standard_concept = 'S' AND concept.invalid_reason IS NULL
),

custom_target AS (
    SELECT
        concept.concept_id,
        concept.domain_id
    FROM vocabulary.concept AS concept
    SEMI JOIN custom ON concept.concept_id = custom.target_concept_id
    WHERE concept.standard_concept = 'S' AND concept.invalid_reason IS NULL
),

target AS (
    SELECT
        custom.source_vocabulary,
        custom.source_code,
        custom.source_concept_id,
        custom_target.concept_id AS target_concept_id,
        custom_target.domain_id AS target_domain,
        'custom' AS mapping_path
    FROM custom
    LEFT JOIN custom_target ON custom.target_concept_id = custom_target.concept_id
    UNION ALL
    SELECT
        asked.source_vocabulary,
        asked.source_code,
        asked.source_concept_id,
        coalesce(related.concept_id_2, itself.concept_id) AS target_concept_id,
        coalesce(related.domain_id, itself.domain_id) AS target_domain,
        CASE WHEN related.concept_id_2 IS NOT NULL THEN 'maps to' ELSE 'itself' END AS mapping_path
    FROM asked
    LEFT JOIN related
        ON asked.source_concept_id = related.concept_id_1
        AND related.relationship_id = 'Maps to'
    LEFT JOIN itself ON asked.source_concept_id = itself.concept_id
),

routed AS (
    SELECT DISTINCT
        target.source_vocabulary,
        target.source_code,
        target.source_concept_id,
        target.target_concept_id,
        target.target_domain,
        CASE WHEN target.target_concept_id IS NOT NULL THEN target.mapping_path ELSE 'unmapped' END AS mapping_path,
        CASE
            WHEN target.target_domain IS NULL THEN NULL
            WHEN target.target_domain = 'Condition' THEN 'condition_occurrence'
            WHEN target.target_domain = 'Drug' THEN 'drug_exposure'
            WHEN target.target_domain = 'Procedure' THEN 'procedure_occurrence'
            WHEN target.target_domain = 'Device' THEN 'device_exposure'
            WHEN target.target_domain = 'Measurement' THEN 'measurement'
            WHEN target.target_domain = 'Specimen' THEN 'specimen'
            ELSE 'observation'
        END AS target_table
    FROM target
)

SELECT
    routed.source_vocabulary,
    routed.source_code,
    cast(
        row_number() OVER (
            PARTITION BY routed.source_vocabulary, routed.source_code
            ORDER BY
                routed.target_concept_id NULLS LAST,
                answer.concept_id_2 NULLS LAST,
                routed.source_concept_id NULLS LAST
        ) - 1 AS integer
    ) AS target_no,
    cast(coalesce(routed.source_concept_id, 0) AS integer) AS source_concept_id,
    cast(coalesce(routed.target_concept_id, 0) AS integer) AS target_concept_id,
    cast(routed.target_domain AS varchar) AS target_domain,
    cast(routed.target_table AS varchar) AS target_table,
    cast(answer.concept_id_2 AS integer) AS value_as_concept_id,
    cast(routed.mapping_path AS varchar) AS mapping_path
FROM routed
LEFT JOIN related AS answer
    ON routed.source_concept_id = answer.concept_id_1
    AND answer.relationship_id = 'Maps to value'
    AND routed.target_table IN ('measurement', 'observation')
    AND routed.mapping_path <> 'custom'
