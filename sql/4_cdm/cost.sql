-- one row per cost record of an event or visit, in its currency
-- keeps:    costs of the record and of claims side by side, told apart by cost_type_concept_id: they are two views on
--           the same money and must not be summed together (src_cost)
-- excludes: costs whose event or visit is not in the CDM (map.cost)
SELECT
    cast(cost.cost_id AS bigint) AS cost_id,
    cast(cost.cost_event_id AS bigint) AS cost_event_id,
    cast(left(cost.cost_domain_id, 20) AS varchar) AS cost_domain_id,
    cast(cost.type_concept_id AS integer) AS cost_type_concept_id,
    cast(cost.currency_concept_id AS integer) AS currency_concept_id,
    cast(cost.total_charge AS double) AS total_charge,
    cast(cost.total_cost AS double) AS total_cost,
    cast(cost.total_paid AS double) AS total_paid,
    cast(cost.paid_by_payer AS double) AS paid_by_payer,
    cast(cost.paid_by_patient AS double) AS paid_by_patient,
    cast(cost.paid_patient_copay AS double) AS paid_patient_copay,
    cast(NULL AS double) AS paid_patient_coinsurance,
    cast(NULL AS double) AS paid_patient_deductible,
    cast(NULL AS double) AS paid_by_primary,
    cast(NULL AS double) AS paid_ingredient_cost,
    cast(NULL AS double) AS paid_dispensing_fee,
    cast(cost.payer_plan_period_id AS bigint) AS payer_plan_period_id,
    cast(NULL AS double) AS amount_allowed,
    cast(NULL AS integer) AS revenue_code_concept_id,
    cast(NULL AS varchar) AS revenue_code_source_value,
    cast(NULL AS integer) AS drg_concept_id,
    cast(NULL AS varchar) AS drg_source_value
FROM map.cost AS cost
