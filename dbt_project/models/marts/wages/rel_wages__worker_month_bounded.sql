{%- set months = var('monthly_wage_bounds_paise') %}
{%- set days = var('daily_wage_bounds_paise') %}

with

worker_months as (

    select * from {{ ref('fct_wages__worker_month') }}

),

protected as (

    select * from {{ ref('dim_wages__worker_protected') }}

)

select
    worker_months.worker_id_hash,
    worker_months.month,
    concat(
        extract(year from worker_months.month), '-Q', extract(quarter from worker_months.month)
    ) as quarter,
    worker_months.state_code,
    worker_months.district_code,
    coalesce(protected.sex, 'unknown') as sex,
    {{ clipped('worker_months.wage_paise', months) }} as wage_paise,
    {{ clipped('worker_months.daily_wage_paise', days) }} as daily_wage_paise,
    worker_months.is_assessed,
    worker_months.is_below_notified_rate,
    worker_months.rule_version
from worker_months
left join protected on worker_months.worker_id_hash = protected.worker_id_hash
