-- one row per source code, stretch of time in which it means the same, and standard concept that it then means; a code
-- that means none has one row with concept 0
-- keeps:    the source concept of the same vocabulary and code, also when it is not standard (source-to-source); of two
--           with the same code the valid one, then the smaller
-- keeps:    custom maps before the vocabulary, each from its first to its last day: time is cut where one begins or has
--           ended, and where none holds the vocabulary does. 1970-01-01 and 2099-12-31 are Athena's for ever.
-- keeps:    valid `Maps to` of the source concept to standard, valid concepts, whatever their valid_end_date;
--           a standard concept that the bundle gives no valid `Maps to` stands for itself
-- keeps:    `Maps to value` as value_as_concept_id where the target's table has a value (measurement, observation);
--           two values of one target are two rows
-- sends on: by the target's domain to its table; other domains (also Visit) are observations; an unmapped code has no
--           domain and no table, so it stays in the table of its origin
-- note:     target_no counts the targets of a stretch from 0, smallest concept first. id_no is what ids end in: the
--           place among all targets that the bundle names, also withdrawn and dead ones. So a target that is withdrawn
--           leaves its number unused, and the rows of the others keep their ids.
WITH code AS (
    SELECT
        source_code.source_vocabulary,
        source_code.source_code,
        coalesce(
            min(concept.concept_id) FILTER (WHERE concept.invalid_reason IS NULL), min(concept.concept_id)
        ) AS source_concept_id
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
        own.target_concept_id,
        own.invalid_reason IS NULL AS is_held,
        greatest(
            coalesce(nullif(own.valid_start_date, cast('1970-01-01' AS date)), cast('1000-01-01' AS date)),
            cast('1000-01-01' AS date)
        ) AS first_date,
        coalesce(nullif(own.valid_end_date, cast('2099-12-31' AS date)), cast('9999-12-31' AS date)) AS last_date
    FROM code
    INNER JOIN custom.source_to_concept_map AS own
        ON code.source_vocabulary = own.source_vocabulary_id
        AND code.source_code = own.source_code
),

boundary AS (
    SELECT code.source_vocabulary, code.source_code, cast('1000-01-01' AS date) AS start_date
    FROM code
    UNION
    SELECT custom.source_vocabulary, custom.source_code, custom.first_date
    FROM custom
    WHERE custom.is_held AND custom.first_date <= custom.last_date
    UNION
    SELECT custom.source_vocabulary, custom.source_code, custom.last_date + 1
    FROM custom
    WHERE custom.is_held AND custom.first_date <= custom.last_date AND custom.last_date < cast('9999-12-31' AS date)
),

segment AS (
    SELECT
        boundary.source_vocabulary,
        boundary.source_code,
        boundary.start_date,
        coalesce(
            lead(boundary.start_date) OVER (
                PARTITION BY boundary.source_vocabulary, boundary.source_code ORDER BY boundary.start_date
            ) + (-1),
            cast('9999-12-31' AS date)
        ) AS end_date
    FROM boundary
),

custom_in AS (
    SELECT
        segment.source_vocabulary,
        segment.source_code,
        segment.start_date,
        custom.source_concept_id,
        custom.target_concept_id,
        custom.is_held
    FROM segment
    INNER JOIN custom
        ON segment.source_vocabulary = custom.source_vocabulary
        AND segment.source_code = custom.source_code
        AND segment.start_date BETWEEN custom.first_date AND custom.last_date
),

held AS (
    SELECT
        custom_in.source_vocabulary,
        custom_in.source_code,
        custom_in.start_date,
        min(custom_in.source_concept_id) AS source_concept_id
    FROM custom_in
    WHERE custom_in.is_held
    GROUP BY custom_in.source_vocabulary, custom_in.source_code, custom_in.start_date
),

stretch AS (
    SELECT
        segment.source_vocabulary,
        segment.source_code,
        segment.start_date,
        segment.end_date,
        CASE WHEN held.source_code IS NULL THEN code.source_concept_id ELSE held.source_concept_id END
            AS source_concept_id,
        CASE WHEN held.source_code IS NULL THEN code.source_concept_id END AS asked_concept_id
    FROM segment
    INNER JOIN code
        ON segment.source_vocabulary = code.source_vocabulary
        AND segment.source_code = code.source_code
    LEFT JOIN held
        ON segment.source_vocabulary = held.source_vocabulary
        AND segment.source_code = held.source_code
        AND segment.start_date = held.start_date
),

-- what the vocabulary relates the asked concepts to; a domain only where the relationship and the target count
related AS (
    SELECT
        relationship.concept_id_1,
        relationship.concept_id_2,
        relationship.relationship_id,
        max(
            CASE
                WHEN relationship.invalid_reason IS NULL
                    AND target.standard_concept = 'S'
                    AND target.invalid_reason IS NULL
                    THEN target.domain_id
            END
        ) AS domain_id
    FROM vocabulary.concept_relationship AS relationship
    SEMI JOIN stretch ON relationship.concept_id_1 = stretch.asked_concept_id
    LEFT JOIN vocabulary.concept AS target ON relationship.concept_id_2 = target.concept_id
    WHERE relationship.relationship_id IN ('Maps to', 'Maps to value')
    GROUP BY relationship.concept_id_1, relationship.concept_id_2, relationship.relationship_id
),

mapped AS (
    SELECT related.concept_id_1
    FROM related
    WHERE related.relationship_id = 'Maps to' AND related.domain_id IS NOT NULL
),

itself AS (
    SELECT
        concept.concept_id,
        concept.domain_id
    FROM vocabulary.concept AS concept
    SEMI JOIN stretch ON concept.concept_id = stretch.asked_concept_id
    ANTI JOIN mapped ON concept.concept_id = mapped.concept_id_1
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

answer AS (
    SELECT
        related.concept_id_1,
        related.concept_id_2,
        related.domain_id,
        row_number() OVER (PARTITION BY related.concept_id_1 ORDER BY related.concept_id_2) - 1 AS value_no,
        count(*) OVER (PARTITION BY related.concept_id_1) AS value_count
    FROM related
    WHERE related.relationship_id = 'Maps to value'
),

target AS (
    SELECT related.concept_id_1, related.concept_id_2 AS concept_id, related.domain_id, 'maps to' AS mapping_path
    FROM related
    WHERE related.relationship_id = 'Maps to'
    UNION ALL
    SELECT itself.concept_id AS concept_id_1, itself.concept_id, itself.domain_id, 'itself' AS mapping_path
    FROM itself
),

-- all targets that are named, each once; those without a domain only hold their place
named AS (
    SELECT
        custom_in.source_vocabulary,
        custom_in.source_code,
        custom_in.start_date,
        custom_in.target_concept_id,
        max(CASE WHEN custom_in.is_held THEN custom_target.domain_id END) AS target_domain,
        'custom' AS mapping_path
    FROM custom_in
    SEMI JOIN held
        ON custom_in.source_vocabulary = held.source_vocabulary
        AND custom_in.source_code = held.source_code
        AND custom_in.start_date = held.start_date
    LEFT JOIN custom_target ON custom_in.target_concept_id = custom_target.concept_id
    GROUP BY
        custom_in.source_vocabulary, custom_in.source_code, custom_in.start_date, custom_in.target_concept_id
    UNION ALL
    SELECT
        stretch.source_vocabulary,
        stretch.source_code,
        stretch.start_date,
        target.concept_id AS target_concept_id,
        max(target.domain_id) AS target_domain,
        min(target.mapping_path) AS mapping_path
    FROM stretch
    INNER JOIN target ON stretch.asked_concept_id = target.concept_id_1
    GROUP BY stretch.source_vocabulary, stretch.source_code, stretch.start_date, target.concept_id
),

placed AS (
    SELECT
        named.*,
        row_number() OVER (
            PARTITION BY named.source_vocabulary, named.source_code, named.start_date
            ORDER BY named.target_concept_id
        ) - 1 AS place_no
    FROM named
),

routed AS (
    SELECT
        placed.*,
        CASE placed.target_domain
            WHEN 'Condition' THEN 'condition_occurrence'
            WHEN 'Drug' THEN 'drug_exposure'
            WHEN 'Procedure' THEN 'procedure_occurrence'
            WHEN 'Device' THEN 'device_exposure'
            WHEN 'Measurement' THEN 'measurement'
            WHEN 'Specimen' THEN 'specimen'
            ELSE 'observation'
        END AS target_table
    FROM placed
    WHERE placed.target_domain IS NOT NULL
),

told AS (
    SELECT
        stretch.source_vocabulary,
        stretch.source_code,
        stretch.start_date,
        stretch.end_date,
        stretch.source_concept_id,
        routed.target_concept_id,
        routed.target_domain,
        routed.target_table,
        routed.mapping_path,
        answer.concept_id_2 AS value_as_concept_id,
        routed.place_no * coalesce(room.value_count, 1) + coalesce(answer.value_no, 0) AS id_no,
        row_number() OVER (
            PARTITION BY stretch.source_vocabulary, stretch.source_code, stretch.start_date
            ORDER BY routed.target_concept_id NULLS LAST, answer.concept_id_2 NULLS LAST
        ) - 1 AS target_no
    FROM stretch
    LEFT JOIN routed
        ON stretch.source_vocabulary = routed.source_vocabulary
        AND stretch.source_code = routed.source_code
        AND stretch.start_date = routed.start_date
    LEFT JOIN answer AS room
        ON stretch.asked_concept_id = room.concept_id_1
        AND room.value_no = 0
    LEFT JOIN answer
        ON stretch.asked_concept_id = answer.concept_id_1
        AND answer.domain_id IS NOT NULL
        AND routed.target_table IN ('measurement', 'observation')
)

SELECT
    told.source_vocabulary,
    told.source_code,
    cast(told.start_date AS date) AS valid_start_date,
    cast(told.end_date AS date) AS valid_end_date,
    cast(told.target_no AS integer) AS target_no,
    -- an id has room for 100 targets; where withdrawn ones would not fit, only the others are numbered
    cast(
        CASE
            WHEN max(told.id_no) OVER (PARTITION BY told.source_vocabulary, told.source_code, told.start_date) > 99
                THEN told.target_no
            ELSE coalesce(told.id_no, 0)
        END AS integer
    ) AS id_no,
    cast(coalesce(told.source_concept_id, 0) AS integer) AS source_concept_id,
    cast(coalesce(told.target_concept_id, 0) AS integer) AS target_concept_id,
    cast(told.target_domain AS varchar) AS target_domain,
    cast(told.target_table AS varchar) AS target_table,
    cast(told.value_as_concept_id AS integer) AS value_as_concept_id,
    cast(coalesce(told.mapping_path, 'unmapped') AS varchar) AS mapping_path
FROM told
WHERE told.target_no < 100
