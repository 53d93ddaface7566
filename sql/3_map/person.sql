-- one row per person key of a person of the CDM: the id, the source's row, mapped codes and links; exactly one key of a
-- person is_survivor, the others were merged into it and have its id, row and attributes
-- keeps:    persons with a year of birth (1 to 9999), which the CDM requires; of several rows of one person the first
--           (smallest source_row_id) that has one, all attributes from it (the others: map.merged)
-- keeps:    sex as male or female, race and ethnicity as what the vocabulary knows as such, anything else as 0 with the
--           source's code; several races and "other" are 0 too, since the CDM has no mixed race. Not recorded is 0 with
--           no code. Maps as of the cut-off.
-- keeps:    month and day of birth only as recorded; those that no calendar has, and a day without a month, are unknown
-- keeps:    a key that was merged into a person of the CDM, also where the source has no row of it any more
-- excludes: persons without a year (map.excluded: person_without_birth_year) and, with them, all their records
WITH chosen AS (
    SELECT
        person.person_key,
        person.source_part_no,
        person.source_row_id,
        person.year_of_birth,
        CASE WHEN person.month_of_birth BETWEEN 1 AND 12 THEN person.month_of_birth END AS month_of_birth,
        person.day_of_birth,
        person.birth_datetime,
        person.gender_vocabulary,
        CASE WHEN lower(trim(person.gender_code)) NOT IN ('', 'null') THEN person.gender_code END AS gender_code,
        person.race_vocabulary,
        CASE WHEN lower(trim(person.race_code)) NOT IN ('', 'null') THEN person.race_code END AS race_code,
        person.ethnicity_vocabulary,
        CASE WHEN lower(trim(person.ethnicity_code)) NOT IN ('', 'null') THEN person.ethnicity_code END
            AS ethnicity_code,
        person.location_key,
        person.provider_key,
        person.care_site_key
    FROM source.src_person AS person
    WHERE person.year_of_birth BETWEEN 1 AND 9999
    QUALIFY
        row_number() OVER (PARTITION BY person.person_key ORDER BY person.source_row_id, person.source_part_no) = 1
),

merged_away AS (
    SELECT
        merge.old_person_key,
        merge.person_key
    FROM map.person_merge AS merge
    SEMI JOIN chosen ON merge.person_key = chosen.person_key
),

-- under which keys a person has records
alias AS (
    SELECT
        chosen.person_key,
        chosen.person_key AS surviving_key,
        TRUE AS is_survivor
    FROM chosen
    ANTI JOIN merged_away ON chosen.person_key = merged_away.old_person_key
    UNION ALL
    SELECT
        merged_away.old_person_key AS person_key,
        merged_away.person_key AS surviving_key,
        FALSE AS is_survivor
    FROM merged_away
),

birth_month AS (
    SELECT
        chosen.person_key,
        cast(
            cast(
                lpad(cast(chosen.year_of_birth AS varchar), 4, '0') || '-'
                || lpad(cast(chosen.month_of_birth AS varchar), 2, '0') || '-01' AS date
            ) + INTERVAL 1 MONTH AS date
        ) + -1 AS last_date
    FROM chosen
    WHERE chosen.month_of_birth IS NOT NULL
),

-- what a code means today; a code that means several things tells none of them
today AS (
    SELECT
        code.source_vocabulary,
        code.source_code,
        max(code.source_concept_id) AS source_concept_id,
        min(code.target_concept_id) AS target_concept_id,
        min(code.target_domain) AS target_domain
    FROM map.map_source_code AS code
    INNER JOIN run.parameter AS parameter ON parameter.cutoff_date BETWEEN code.valid_start_date AND code.valid_end_date
    GROUP BY code.source_vocabulary, code.source_code
    HAVING min(code.target_concept_id) = max(code.target_concept_id)
)

SELECT
    known.person_id,
    cast(alias.person_key AS varchar) AS person_key,
    cast(alias.is_survivor AS boolean) AS is_survivor,
    chosen.source_part_no,
    chosen.source_row_id,
    chosen.year_of_birth,
    cast(chosen.month_of_birth AS integer) AS month_of_birth,
    cast(
        CASE
            WHEN chosen.day_of_birth BETWEEN 1 AND extract(DAY FROM birth_month.last_date)
                THEN chosen.day_of_birth
        END AS integer
    ) AS day_of_birth,
    chosen.birth_datetime,
    cast(
        CASE
            WHEN gender.target_concept_id IN ({{ concept.gender_male }}, {{ concept.gender_female }})
                THEN gender.target_concept_id
            ELSE 0
        END AS integer
    ) AS gender_concept_id,
    cast(chosen.gender_code AS varchar) AS gender_code,
    cast(CASE WHEN chosen.gender_code IS NOT NULL THEN coalesce(gender.source_concept_id, 0) END AS integer)
        AS gender_source_concept_id,
    cast(CASE WHEN race.target_domain = 'Race' THEN race.target_concept_id ELSE 0 END AS integer) AS race_concept_id,
    cast(chosen.race_code AS varchar) AS race_code,
    cast(CASE WHEN chosen.race_code IS NOT NULL THEN coalesce(race.source_concept_id, 0) END AS integer)
        AS race_source_concept_id,
    cast(CASE WHEN ethnicity.target_domain = 'Ethnicity' THEN ethnicity.target_concept_id ELSE 0 END AS integer)
        AS ethnicity_concept_id,
    cast(chosen.ethnicity_code AS varchar) AS ethnicity_code,
    cast(CASE WHEN chosen.ethnicity_code IS NOT NULL THEN coalesce(ethnicity.source_concept_id, 0) END AS integer)
        AS ethnicity_source_concept_id,
    chosen.location_key,
    provider.provider_id,
    care_site.care_site_id
FROM chosen
INNER JOIN alias ON chosen.person_key = alias.surviving_key
INNER JOIN state.person AS known ON chosen.person_key = known.person_key
LEFT JOIN birth_month ON chosen.person_key = birth_month.person_key
LEFT JOIN today AS gender
    ON chosen.gender_vocabulary = gender.source_vocabulary
    AND chosen.gender_code = gender.source_code
LEFT JOIN today AS race
    ON chosen.race_vocabulary = race.source_vocabulary
    AND chosen.race_code = race.source_code
LEFT JOIN today AS ethnicity
    ON chosen.ethnicity_vocabulary = ethnicity.source_vocabulary
    AND chosen.ethnicity_code = ethnicity.source_code
LEFT JOIN map.provider AS provider ON chosen.provider_key = provider.provider_key
LEFT JOIN map.care_site AS care_site ON chosen.care_site_key = care_site.care_site_key
