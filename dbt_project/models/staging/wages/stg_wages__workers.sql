with

registrations as (

    select
        *,
        row_number() over (
            partition by worker_id_hash
            order by registered_on desc, household_id_hash, birth_year, district_code
        ) as recency
    from {{ source('wages', 'raw_wages__eshram_registry') }}

)

select
    worker_id_hash,
    household_id_hash,
    birth_year,
    sex,
    social_category,
    education,
    occupation_nco,
    is_disabled,
    is_migrant,
    state_code,
    district_code,
    residence,
    registered_on
from registrations
where recency = 1
