with

history as (

    select * from {{ ref('int_wages__worker_history') }}

),

audited as (

    select worker_id_hash from {{ ref('stg_wages__income_audits') }}

),

workers as (

    select worker_id_hash from history
    union
    -- An audited worker without a recorded wage is a row too: no record means cash, not poverty.
    select worker_id_hash from audited

),

employers as (

    select
        worker_id_hash,
        count(distinct employer_id_hash) as employer_count
    from {{ ref('int_wages__known_payments') }}
    group by worker_id_hash

),

totals as (

    select
        worker_id_hash,
        count(*) as months_with_wage,
        sum(wage_paise) as wage_paise,
        sum(cast(wage_paise as decimal(38, 0)) * wage_paise) as wage_paise_squared,
        min(wage_paise) as lowest_wage_paise,
        max(wage_paise) as highest_wage_paise,
        sum(days_worked) as days_worked,
        sum(payment_count) as payment_count,
        sum(round_payment_count) as round_payment_count,
        sum(late_payment_count) as late_payment_count,
        sum(cash_paise) as cash_paise,
        sum(unskilled_paise) as unskilled_paise,
        sum(agriculture_paise) as agriculture_paise,
        sum(manufacturing_paise) as manufacturing_paise,
        sum(construction_paise) as construction_paise,
        sum(households_paise) as households_paise,
        count(case when months_ago < 3 then 1 end) as months_with_wage_last_quarter,
        sum(case when months_ago < 3 then wage_paise else 0 end) as last_quarter_paise
    from history
    group by worker_id_hash

)

select
    workers.worker_id_hash,
    date '{{ var("feature_cutoff_on") }}' as cutoff_on,
    coalesce(totals.months_with_wage, 0) as f_months_with_wage,
    12 - coalesce(totals.months_with_wage, 0) as f_missing_months,
    3 - coalesce(totals.months_with_wage_last_quarter, 0) as f_missing_months_last_quarter,
    coalesce({{ ratio('totals.wage_paise', '12', 2) }}, 0) as f_monthly_wage_paise,
    {{ ratio('totals.wage_paise', 'totals.months_with_wage', 2) }} as f_paid_month_wage_paise,
    {{ standard_deviation('totals.months_with_wage', 'totals.wage_paise', 'totals.wage_paise_squared') }}
        as f_paid_month_wage_sd_paise,
    cast(totals.lowest_wage_paise as bigint) as f_lowest_month_wage_paise,
    cast(totals.highest_wage_paise as bigint) as f_highest_month_wage_paise,
    cast(coalesce(totals.days_worked, 0) as bigint) as f_days_worked,
    {{ ratio('totals.wage_paise', 'totals.days_worked', 2) }} as f_daily_wage_paise,
    {{ ratio('totals.cash_paise', 'totals.wage_paise') }} as f_cash_share,
    coalesce(employers.employer_count, 0) as f_employer_count,
    {{ ratio('totals.late_payment_count', 'totals.payment_count') }} as f_late_payment_share,
    {{ ratio('totals.round_payment_count', 'totals.payment_count') }} as f_round_wage_share,
    -- The last quarter's monthly wage against the year's: 1 is steady, 0 is none.
    {{ ratio('totals.last_quarter_paise * 4', 'totals.wage_paise') }} as f_last_quarter_trend,
    {{ ratio('totals.unskilled_paise', 'totals.wage_paise') }} as f_unskilled_share,
    {{ ratio('totals.agriculture_paise', 'totals.wage_paise') }} as f_agriculture_share,
    {{ ratio('totals.manufacturing_paise', 'totals.wage_paise') }} as f_manufacturing_share,
    {{ ratio('totals.construction_paise', 'totals.wage_paise') }} as f_construction_share,
    {{ ratio('totals.households_paise', 'totals.wage_paise') }} as f_households_share
from workers
left join totals on workers.worker_id_hash = totals.worker_id_hash
left join employers on workers.worker_id_hash = employers.worker_id_hash
