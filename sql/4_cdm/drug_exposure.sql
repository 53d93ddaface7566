-- one row per prescription, vaccination, order … and standard concept whose domain is Drug
-- keeps:    codes without a standard concept, as 0, when the source calls them a drug
-- keeps:    the recorded end, else the last day of supply (start + days_supply - 1), else the start: so for what is given
--           once, and for a prescription that is still running, since inventing an end would lengthen every era
-- keeps:    the end's time only where the source records it; verbatim_end_date as the source writes it, also where it lies
--           before the start and so is not believed
-- sends on: the same codes' targets in other domains, to their tables
-- excludes: nothing; events of excluded persons never get here (map.event)
SELECT
    cast(event.event_id AS bigint) AS drug_exposure_id,
    cast(event.person_id AS integer) AS person_id,
    cast(event.target_concept_id AS integer) AS drug_concept_id,
    cast(event.start_date AS date) AS drug_exposure_start_date,
    cast(event.start_datetime AS timestamp) AS drug_exposure_start_datetime,
    cast(coalesce(event.end_date, event.start_date + (greatest(coalesce(event.days_supply, 1), 1) - 1)) AS date)
        AS drug_exposure_end_date,
    cast(event.end_datetime AS timestamp) AS drug_exposure_end_datetime,
    cast(event.verbatim_end_date AS date) AS verbatim_end_date,
    cast(event.type_concept_id AS integer) AS drug_type_concept_id,
    cast(left(event.stop_reason, 20) AS varchar) AS stop_reason,
    cast(event.refills AS integer) AS refills,
    cast(event.quantity AS double) AS quantity,
    cast(event.days_supply AS integer) AS days_supply,
    cast(event.sig AS varchar) AS sig,
    cast(event.route_concept_id AS integer) AS route_concept_id,
    cast(left(event.lot_number, 50) AS varchar) AS lot_number,
    cast(event.provider_id AS bigint) AS provider_id,
    cast(event.visit_occurrence_id AS bigint) AS visit_occurrence_id,
    cast(event.visit_detail_id AS bigint) AS visit_detail_id,
    cast(left(event.source_code, 50) AS varchar) AS drug_source_value,
    cast(event.source_concept_id AS integer) AS drug_source_concept_id,
    cast(left(event.route_code, 50) AS varchar) AS route_source_value,
    cast(left(event.unit_code, 50) AS varchar) AS dose_unit_source_value
FROM map.event AS event
WHERE event.target_table = 'drug_exposure'
