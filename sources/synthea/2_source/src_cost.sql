-- one row per encounter, prescription, procedure and vaccination with what the record says it cost, and one per claim
-- keeps:    every row; a claim's transactions are summed up and support its row (src_support)
-- note:     these are two views on the same money and must never be summed together: the rows of the record are of type
--           cost record, those of claims.csv of type claim. Among the former an encounter's total charge contains
--           those of its procedures, prescriptions and vaccinations.
-- note:     in a claim, ECHECK is how payers pay; COPAY, CASH, CC and CHECK come from the patient
WITH paid AS (
    SELECT
        line.claimid,
        sum(line.amount) FILTER (WHERE line.type = 'CHARGE') AS total_charge,
        sum(line.payments) FILTER (WHERE line.type = 'PAYMENT') AS total_paid,
        sum(line.payments) FILTER (WHERE line.type = 'PAYMENT' AND line.method = 'ECHECK') AS by_payer,
        sum(line.payments) FILTER (WHERE line.type = 'PAYMENT' AND line.method <> 'ECHECK') AS by_patient,
        sum(line.payments) FILTER (WHERE line.type = 'PAYMENT' AND line.method = 'COPAY') AS copay
    FROM landing.claims_transactions AS line
    GROUP BY line.claimid
)

SELECT
    cast({{ part.synthea_visit_cost }} AS integer) AS source_part_no,
    cast(encounter.source_row_id AS bigint) AS source_row_id,
    cast(encounter.patient AS varchar) AS person_key,
    cast(NULL AS integer) AS event_part_no,
    cast(NULL AS bigint) AS event_source_row_id,
    cast(encounter.id AS varchar) AS visit_key,
    cast({{ concept.cost_record }} AS integer) AS type_concept_id,
    cast({{ concept.us_dollar }} AS integer) AS currency_concept_id,
    cast(encounter.total_claim_cost AS double) AS total_charge,
    cast(encounter.base_encounter_cost AS double) AS total_cost,
    cast(NULL AS double) AS total_paid,
    cast(encounter.payer_coverage AS double) AS paid_by_payer,
    cast(encounter.total_claim_cost - encounter.payer_coverage AS double) AS paid_by_patient,
    cast(NULL AS double) AS paid_patient_copay
FROM landing.encounters AS encounter

UNION ALL

SELECT
    cast({{ part.synthea_medication_cost }} AS integer) AS source_part_no,
    cast(medication.source_row_id AS bigint) AS source_row_id,
    cast(medication.patient AS varchar) AS person_key,
    cast({{ part.synthea_medications }} AS integer) AS event_part_no,
    cast(medication.source_row_id AS bigint) AS event_source_row_id,
    cast(NULL AS varchar) AS visit_key,
    cast({{ concept.cost_record }} AS integer) AS type_concept_id,
    cast({{ concept.us_dollar }} AS integer) AS currency_concept_id,
    cast(medication.totalcost AS double) AS total_charge,
    cast(NULL AS double) AS total_cost,
    cast(NULL AS double) AS total_paid,
    cast(medication.payer_coverage AS double) AS paid_by_payer,
    cast(medication.totalcost - medication.payer_coverage AS double) AS paid_by_patient,
    cast(NULL AS double) AS paid_patient_copay
FROM landing.medications AS medication

UNION ALL

SELECT
    cast({{ part.synthea_procedure_cost }} AS integer) AS source_part_no,
    cast(procedure.source_row_id AS bigint) AS source_row_id,
    cast(procedure.patient AS varchar) AS person_key,
    cast({{ part.synthea_procedures }} AS integer) AS event_part_no,
    cast(procedure.source_row_id AS bigint) AS event_source_row_id,
    cast(NULL AS varchar) AS visit_key,
    cast({{ concept.cost_record }} AS integer) AS type_concept_id,
    cast({{ concept.us_dollar }} AS integer) AS currency_concept_id,
    cast(procedure.base_cost AS double) AS total_charge,
    cast(NULL AS double) AS total_cost,
    cast(NULL AS double) AS total_paid,
    cast(NULL AS double) AS paid_by_payer,
    cast(NULL AS double) AS paid_by_patient,
    cast(NULL AS double) AS paid_patient_copay
FROM landing.procedures AS procedure

UNION ALL

SELECT
    cast({{ part.synthea_immunization_cost }} AS integer) AS source_part_no,
    cast(immunization.source_row_id AS bigint) AS source_row_id,
    cast(immunization.patient AS varchar) AS person_key,
    cast({{ part.synthea_immunizations }} AS integer) AS event_part_no,
    cast(immunization.source_row_id AS bigint) AS event_source_row_id,
    cast(NULL AS varchar) AS visit_key,
    cast({{ concept.cost_record }} AS integer) AS type_concept_id,
    cast({{ concept.us_dollar }} AS integer) AS currency_concept_id,
    cast(immunization.base_cost AS double) AS total_charge,
    cast(NULL AS double) AS total_cost,
    cast(NULL AS double) AS total_paid,
    cast(NULL AS double) AS paid_by_payer,
    cast(NULL AS double) AS paid_by_patient,
    cast(NULL AS double) AS paid_patient_copay
FROM landing.immunizations AS immunization

UNION ALL

SELECT
    cast({{ part.synthea_claim_cost }} AS integer) AS source_part_no,
    cast(claim.source_row_id AS bigint) AS source_row_id,
    cast(claim.patientid AS varchar) AS person_key,
    cast(NULL AS integer) AS event_part_no,
    cast(NULL AS bigint) AS event_source_row_id,
    cast(claim.appointmentid AS varchar) AS visit_key,
    cast({{ concept.claim }} AS integer) AS type_concept_id,
    cast({{ concept.us_dollar }} AS integer) AS currency_concept_id,
    cast(paid.total_charge AS double) AS total_charge,
    cast(NULL AS double) AS total_cost,
    cast(paid.total_paid AS double) AS total_paid,
    cast(paid.by_payer AS double) AS paid_by_payer,
    cast(paid.by_patient AS double) AS paid_by_patient,
    cast(paid.copay AS double) AS paid_patient_copay
FROM landing.claims AS claim
LEFT JOIN paid ON claim.id = paid.claimid
