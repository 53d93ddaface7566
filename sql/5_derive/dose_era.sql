-- one row per person, ingredient, unit, daily dose and uninterrupted time: exposures at most 30 days apart are one era
-- keeps:    strengths per unit of form (amount), times quantity over days of supply where both are known; else
--           (Synthea) one unit a day is assumed
-- keeps:    strengths that are not withdrawn (invalid_reason), whatever their valid_end_date: bundles past-date valid ones
-- excludes: drugs without strength, and strengths per volume (numerator): how much is given is not known
WITH exposure AS (
    SELECT
        drug.person_id,
        strength.ingredient_concept_id,
        strength.amount_unit_concept_id AS unit_concept_id,
        strength.amount_value * CASE
            WHEN drug.quantity > 0 AND drug.days_supply > 0 THEN drug.quantity / nullif(drug.days_supply, 0)
            ELSE 1
        END AS dose_value,
        drug.drug_exposure_id,
        drug.drug_exposure_start_date AS start_date,
        drug.drug_exposure_end_date AS end_date
    FROM cdm.drug_exposure AS drug
    INNER JOIN vocabulary.drug_strength AS strength ON drug.drug_concept_id = strength.drug_concept_id
    WHERE strength.amount_value > 0
        AND strength.amount_unit_concept_id IS NOT NULL
        AND strength.invalid_reason IS NULL
        AND drug.drug_concept_id <> 0
),

reached AS (
    SELECT
        exposure.person_id,
        exposure.ingredient_concept_id,
        exposure.unit_concept_id,
        exposure.dose_value,
        exposure.drug_exposure_id,
        exposure.start_date,
        exposure.end_date,
        max(exposure.end_date) OVER (
            PARTITION BY
                exposure.person_id, exposure.ingredient_concept_id, exposure.unit_concept_id, exposure.dose_value
            ORDER BY exposure.start_date, exposure.drug_exposure_id
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ) AS reached_date
    FROM exposure
),

island AS (
    SELECT
        reached.person_id,
        reached.ingredient_concept_id,
        reached.unit_concept_id,
        reached.dose_value,
        reached.start_date,
        reached.end_date,
        sum(CASE WHEN date_diff('day', reached.reached_date, reached.start_date) <= 30 THEN 0 ELSE 1 END) OVER (
            PARTITION BY reached.person_id, reached.ingredient_concept_id, reached.unit_concept_id, reached.dose_value
            ORDER BY reached.start_date, reached.drug_exposure_id
            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        ) AS island_no
    FROM reached
),

era AS (
    SELECT
        island.person_id,
        island.ingredient_concept_id,
        island.unit_concept_id,
        island.dose_value,
        min(island.start_date) AS start_date,
        max(island.end_date) AS end_date
    FROM island
    GROUP BY
        island.person_id, island.ingredient_concept_id, island.unit_concept_id, island.dose_value, island.island_no
)

SELECT
    cast(
        cast(era.person_id AS bigint) * 1000000
        + row_number() OVER (
            PARTITION BY era.person_id
            ORDER BY era.ingredient_concept_id, era.unit_concept_id, era.dose_value, era.start_date
        ) AS bigint
    ) AS dose_era_id,
    era.person_id,
    era.ingredient_concept_id AS drug_concept_id,
    cast(era.unit_concept_id AS integer) AS unit_concept_id,
    cast(era.dose_value AS double) AS dose_value,
    era.start_date AS dose_era_start_date,
    era.end_date AS dose_era_end_date
FROM era
