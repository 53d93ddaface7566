-- one row per part of this source: its table, and the number under which src_landed knows the table (its smallest part)
SELECT
    cast(part.source_part_no AS integer) AS source_part_no,
    cast(part.table_no AS integer) AS table_no,
    cast(part.table_name AS varchar) AS table_name
FROM (
    VALUES
        ({{ part.synthea_person }}, {{ part.synthea_person }}, 'patients'),
        ({{ part.synthea_person_location }}, {{ part.synthea_person }}, 'patients'),
        ({{ part.synthea_death }}, {{ part.synthea_person }}, 'patients'),
        ({{ part.synthea_person_merge }}, {{ part.synthea_person_merge }}, 'patient_merges'),
        ({{ part.synthea_care_site }}, {{ part.synthea_care_site }}, 'organizations'),
        ({{ part.synthea_care_site_location }}, {{ part.synthea_care_site }}, 'organizations'),
        ({{ part.synthea_provider }}, {{ part.synthea_provider }}, 'providers'),
        ({{ part.synthea_visit }}, {{ part.synthea_visit }}, 'encounters'),
        ({{ part.synthea_visit_detail }}, {{ part.synthea_visit }}, 'encounters'),
        ({{ part.synthea_visit_cost }}, {{ part.synthea_visit }}, 'encounters'),
        ({{ part.synthea_conditions }}, {{ part.synthea_conditions }}, 'conditions'),
        ({{ part.synthea_medications }}, {{ part.synthea_medications }}, 'medications'),
        ({{ part.synthea_medication_cost }}, {{ part.synthea_medications }}, 'medications'),
        ({{ part.synthea_procedures }}, {{ part.synthea_procedures }}, 'procedures'),
        ({{ part.synthea_procedure_cost }}, {{ part.synthea_procedures }}, 'procedures'),
        ({{ part.synthea_immunizations }}, {{ part.synthea_immunizations }}, 'immunizations'),
        ({{ part.synthea_immunization_cost }}, {{ part.synthea_immunizations }}, 'immunizations'),
        ({{ part.synthea_allergies }}, {{ part.synthea_allergies }}, 'allergies'),
        ({{ part.synthea_reaction1 }}, {{ part.synthea_allergies }}, 'allergies'),
        ({{ part.synthea_reaction2 }}, {{ part.synthea_allergies }}, 'allergies'),
        ({{ part.synthea_careplans }}, {{ part.synthea_careplans }}, 'careplans'),
        ({{ part.synthea_devices }}, {{ part.synthea_devices }}, 'devices'),
        ({{ part.synthea_supplies }}, {{ part.synthea_supplies }}, 'supplies'),
        ({{ part.synthea_imaging_studies }}, {{ part.synthea_imaging_studies }}, 'imaging_studies'),
        ({{ part.synthea_observations }}, {{ part.synthea_observations }}, 'observations'),
        ({{ part.synthea_claim_cost }}, {{ part.synthea_claim_cost }}, 'claims'),
        ({{ part.synthea_claims_transactions }}, {{ part.synthea_claims_transactions }}, 'claims_transactions'),
        ({{ part.synthea_payers }}, {{ part.synthea_payers }}, 'payers'),
        ({{ part.synthea_payer_plan }}, {{ part.synthea_payer_plan }}, 'payer_transitions')
) AS part (source_part_no, table_no, table_name)
