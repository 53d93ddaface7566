-- one row per cost record, with the id of the event or visit that it belongs to and the insurance that covered it
-- keeps:    the event's first row (target_no 0), whose table gives the cost's domain; else the visit
-- keeps:    the insured period of the day of the event, else of the visit's first day, if the person had just one then;
--           with several insurances nobody says which paid
-- excludes: costs of unknown or excluded persons, and costs of events and visits that the CDM does not have or has for
--           somebody else (map.excluded: cost_event_unknown)
WITH costed AS (
    SELECT
        cast(cost.source_row_id * 100000 + cost.source_part_no * 100 AS bigint) AS cost_id,
        person.person_id,
        coalesce(event.event_id, key.visit_occurrence_id) AS cost_event_id,
        event.target_table,
        coalesce(event.start_date, visit.start_date) AS cost_date,
        cost.type_concept_id,
        cost.currency_concept_id,
        cost.total_charge,
        cost.total_cost,
        cost.total_paid,
        cost.paid_by_payer,
        cost.paid_by_patient,
        cost.paid_patient_copay
    FROM source.src_cost AS cost
    INNER JOIN map.person AS person ON cost.person_key = person.person_key
    LEFT JOIN map.event AS event
        ON cost.event_source_row_id = event.source_row_id
        AND cost.event_part_no = event.source_part_no
        AND event.target_no = 0
        AND person.person_id = event.person_id
    LEFT JOIN map.visit_key AS key
        ON cost.visit_key = key.visit_key
        AND person.person_id = key.person_id
    LEFT JOIN map.visit AS visit ON key.visit_occurrence_id = visit.visit_occurrence_id
    WHERE event.event_id IS NOT NULL OR key.visit_occurrence_id IS NOT NULL
),

-- by person and day, since many costs share them
day AS (
    SELECT DISTINCT
        costed.person_id,
        costed.cost_date
    FROM costed
),

covered AS (
    SELECT
        day.person_id,
        day.cost_date,
        min(plan.payer_plan_period_id) AS payer_plan_period_id
    FROM day
    INNER JOIN map.payer_plan AS plan
        ON day.person_id = plan.person_id
        AND day.cost_date BETWEEN plan.start_date AND plan.end_date
    WHERE plan.is_insured
    GROUP BY day.person_id, day.cost_date
    HAVING count(*) = 1
)

SELECT
    costed.cost_id,
    costed.person_id,
    cast(costed.cost_event_id AS bigint) AS cost_event_id,
    cast(
        CASE costed.target_table
            WHEN 'condition_occurrence' THEN 'Condition'
            WHEN 'drug_exposure' THEN 'Drug'
            WHEN 'procedure_occurrence' THEN 'Procedure'
            WHEN 'device_exposure' THEN 'Device'
            WHEN 'measurement' THEN 'Measurement'
            WHEN 'specimen' THEN 'Specimen'
            WHEN 'observation' THEN 'Observation'
            ELSE 'Visit'
        END AS varchar
    ) AS cost_domain_id,
    costed.type_concept_id,
    costed.currency_concept_id,
    cast(covered.payer_plan_period_id AS bigint) AS payer_plan_period_id,
    costed.total_charge,
    costed.total_cost,
    costed.total_paid,
    costed.paid_by_payer,
    costed.paid_by_patient,
    costed.paid_patient_copay
FROM costed
LEFT JOIN covered
    ON costed.person_id = covered.person_id
    AND costed.cost_date = covered.cost_date
