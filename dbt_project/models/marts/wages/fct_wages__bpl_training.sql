with

audits as (

    select * from {{ ref('stg_wages__income_audits') }}

),

workers as (

    select * from {{ ref('stg_wages__workers') }}

),

lines as (

    select * from {{ ref('int_wages__poverty_lines') }}

),

labelled as (

    select
        audits.worker_id_hash,
        audits.household_id_hash,
        workers.state_code,
        workers.district_code,
        coalesce(state_lines.line_paise, india_lines.line_paise) as line_paise,
        coalesce(state_lines.line_basis, india_lines.line_basis) as line_basis,
        coalesce(state_lines.line_status, india_lines.line_status) as line_status,
        audits.household_size,
        audits.household_monthly_consumption_paise,
        audits.design_weight,
        audits.audited_on
    from audits
    -- A worker who is not registered has no residence, so no line and no label.
    inner join workers on audits.worker_id_hash = workers.worker_id_hash
    left join lines as state_lines
        on
            workers.state_code = state_lines.state_code
            and workers.residence = state_lines.residence
    inner join lines as india_lines
        on
            india_lines.line_basis = 'all_india'
            and workers.residence = india_lines.residence

),

features as (

    select * from {{ ref('fct_wages__worker_features') }}

),

places as (

    select * from {{ ref('int_wages__worker_places') }}

)

select
    labelled.worker_id_hash,
    labelled.household_id_hash,
    places.main_employer_id_hash,
    coalesce(places.district_code, labelled.district_code) as district_code,
    coalesce(places.state_code, labelled.state_code) as state_code,
    {%- for feature in feature_columns() %}
    features.{{ feature }},
    {%- endfor %}
    labelled.household_monthly_consumption_paise
        < labelled.line_paise * labelled.household_size as is_below_line,
    '{{ var("line_id") }}' as line_id,
    labelled.line_paise,
    labelled.line_basis,
    labelled.line_status,
    features.f_monthly_wage_paise as incumbent_score,
    labelled.design_weight,
    labelled.audited_on,
    features.cutoff_on
from labelled
inner join features on labelled.worker_id_hash = features.worker_id_hash
left join places on labelled.worker_id_hash = places.worker_id_hash
