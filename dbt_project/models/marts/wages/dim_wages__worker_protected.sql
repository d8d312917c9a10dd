with

workers as (

    select
        *,
        extract(year from date '{{ var("feature_cutoff_on") }}') - birth_year as age_years
    from {{ ref('stg_wages__workers') }}

)

select
    worker_id_hash,
    sex,
    social_category,
    case
        when age_years < 25 then 'under 25'
        when age_years < 40 then '25-39'
        when age_years < 60 then '40-59'
        else '60 and over'
    end as age_band,
    is_disabled,
    is_migrant,
    residence,
    state_code
from workers
