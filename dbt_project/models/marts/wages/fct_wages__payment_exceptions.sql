with

payments as (

    select * from {{ ref('int_wages__payments') }}

),

hits as (

    select *, exclusion_reason as rule_id from payments
    where exclusion_reason is not null
    union all
    select *, 'ghost.work_after_death' as rule_id from payments
    where is_after_death
    union all
    select *, 'ghost.age_over_80' as rule_id from payments
    where is_over_80
    union all
    select *, 'days.exceed_period' as rule_id from payments
    where is_days_beyond_period

),

rules as (

    select * from {{ ref('payment_rules') }}

)

select
    hits.record_id,
    hits.rule_id,
    rules.action,
    hits.worker_id_hash,
    hits.employer_id_hash,
    hits.month,
    hits.state_code,
    hits.district_code,
    hits.rail,
    hits.amount_paise,
    hits.days_worked,
    hits.notified_rate_ratio
from hits
inner join rules on hits.rule_id = rules.rule_id
