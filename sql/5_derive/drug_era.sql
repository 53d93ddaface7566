-- one row per person, ingredient and uninterrupted time: exposures at most 30 days apart are one era
-- keeps:    a drug with several ingredients in an era of each
-- keeps:    gap_days as the days of the era that no exposure covers: days that two cover count once. (Where a new supply
--           begins before the last ends, the specification would have the rest thrown away; here it is still taken.)
-- excludes: exposures without a standard concept, and drugs without a standard ingredient of RxNorm or its Extension
WITH ingredient AS (
    SELECT
        ancestor.descendant_concept_id AS drug_concept_id,
        ancestor.ancestor_concept_id AS ingredient_concept_id
    FROM vocabulary.concept_ancestor AS ancestor
    SEMI JOIN cdm.drug_exposure AS used ON ancestor.descendant_concept_id = used.drug_concept_id
    INNER JOIN vocabulary.concept AS concept ON ancestor.ancestor_concept_id = concept.concept_id
    WHERE concept.concept_class_id = 'Ingredient'
        AND concept.standard_concept = 'S'
        AND concept.vocabulary_id IN ('RxNorm', 'RxNorm Extension')
),

exposure AS (
    SELECT
        drug.person_id,
        ingredient.ingredient_concept_id,
        drug.drug_exposure_id,
        drug.drug_exposure_start_date AS start_date,
        drug.drug_exposure_end_date AS end_date
    FROM cdm.drug_exposure AS drug
    INNER JOIN ingredient ON drug.drug_concept_id = ingredient.drug_concept_id
    WHERE drug.drug_concept_id <> 0
),

reached AS (
    SELECT
        exposure.person_id,
        exposure.ingredient_concept_id,
        exposure.drug_exposure_id,
        exposure.start_date,
        exposure.end_date,
        max(exposure.end_date) OVER (
            PARTITION BY exposure.person_id, exposure.ingredient_concept_id
            ORDER BY exposure.start_date, exposure.drug_exposure_id
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ) AS reached_date
    FROM exposure
),

island AS (
    SELECT
        reached.person_id,
        reached.ingredient_concept_id,
        reached.start_date,
        reached.end_date,
        greatest(date_diff('day', reached.reached_date, reached.start_date) - 1, 0) AS gap_days,
        sum(CASE WHEN date_diff('day', reached.reached_date, reached.start_date) <= 30 THEN 0 ELSE 1 END) OVER (
            PARTITION BY reached.person_id, reached.ingredient_concept_id
            ORDER BY reached.start_date, reached.drug_exposure_id
            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        ) AS island_no,
        CASE WHEN date_diff('day', reached.reached_date, reached.start_date) <= 30 THEN 1 ELSE 0 END AS is_continued
    FROM reached
),

era AS (
    SELECT
        island.person_id,
        island.ingredient_concept_id,
        min(island.start_date) AS start_date,
        max(island.end_date) AS end_date,
        count(*) AS exposure_count,
        sum(CASE WHEN island.is_continued = 1 THEN island.gap_days ELSE 0 END) AS gap_days
    FROM island
    GROUP BY island.person_id, island.ingredient_concept_id, island.island_no
)

SELECT
    cast(
        cast(era.person_id AS bigint) * 1000000
        + row_number() OVER (PARTITION BY era.person_id ORDER BY era.ingredient_concept_id, era.start_date) AS bigint
    ) AS drug_era_id,
    era.person_id,
    era.ingredient_concept_id AS drug_concept_id,
    era.start_date AS drug_era_start_date,
    era.end_date AS drug_era_end_date,
    cast(era.exposure_count AS integer) AS drug_exposure_count,
    cast(era.gap_days AS integer) AS gap_days
FROM era
