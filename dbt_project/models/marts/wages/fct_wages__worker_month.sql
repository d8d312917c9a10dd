with

counted as (

    select * from {{ ref('int_wages__payments') }}
    where exclusion_reason is null

),

totals as (

    select
        worker_id_hash,
        month,
        sum(amount_paise) as wage_paise,
        sum(days_worked) as days_worked,
        count(*) as payment_count,
        sum(case when rail = 'CASH_DECLARED' then amount_paise else 0 end) as cash_paise,
        sum(case when is_posted_late then amount_paise else 0 end) as late_paise,
        sum(case when notified_daily_rate_paise is not null then amount_paise end)
            as assessed_wage_paise,
        sum(case when notified_daily_rate_paise is not null then days_worked end)
            as assessed_days,
        sum(days_worked * notified_daily_rate_paise) as due_paise,
        max(rule_version) as rule_version,
        -- The only payment's own values where there is one; where there are more, see below.
        max(state_code) as state_code,
        max(district_code) as district_code,
        max(skill) as skill,
        max(sector_nic) as sector_nic
    from counted
    group by worker_id_hash, month

),

-- Most months have one payment: ranking only the others takes a third of the time.
repeated as (

    select counted.*
    from counted
    inner join totals
        on
            counted.worker_id_hash = totals.worker_id_hash
            and counted.month = totals.month
            and totals.payment_count > 1

),

employers as (

    select
        worker_id_hash,
        month,
        count(distinct employer_id_hash) as employer_count
    from repeated
    group by worker_id_hash, month

),

districts as (

    select
        worker_id_hash,
        month,
        state_code,
        district_code,
        row_number() over (
            partition by worker_id_hash, month
            order by sum(amount_paise) desc, {{ tie_hash(['worker_id_hash', 'district_code']) }}
        ) as precedence
    from repeated
    group by worker_id_hash, month, state_code, district_code

),

largest_payments as (

    select
        worker_id_hash,
        month,
        skill,
        sector_nic,
        row_number() over (
            partition by worker_id_hash, month
            order by amount_paise desc, {{ tie_hash(['worker_id_hash', 'record_id']) }}
        ) as precedence
    from repeated

)

select
    totals.worker_id_hash,
    totals.month,
    coalesce(districts.state_code, totals.state_code) as state_code,
    coalesce(districts.district_code, totals.district_code) as district_code,
    cast(totals.wage_paise as bigint) as wage_paise,
    cast(totals.days_worked as integer) as days_worked,
    {{ whole_division('totals.wage_paise', 'totals.days_worked') }} as daily_wage_paise,
    totals.payment_count,
    coalesce(employers.employer_count, 1) as employer_count,
    cast(totals.cash_paise as bigint) as cash_paise,
    cast(totals.late_paise as bigint) as late_paise,
    coalesce(largest_payments.skill, totals.skill) as skill,
    coalesce(largest_payments.sector_nic, totals.sector_nic) as sector_nic,
    workers.residence,
    {{ whole_division('totals.due_paise', 'totals.assessed_days') }} as notified_daily_rate_paise,
    totals.due_paise is not null as is_assessed,
    -- Compared as totals, so that no rounding of a day's wage decides.
    totals.assessed_wage_paise < totals.due_paise as is_below_notified_rate,
    -- Not greatest() alone: it skips nulls, and a month that was not assessed has no shortfall of 0.
    case
        when totals.due_paise is not null
            then cast(greatest(totals.due_paise - totals.assessed_wage_paise, 0) as bigint)
    end as shortfall_paise,
    coalesce(totals.rule_version, {{ not_assessed() }}) as rule_version
from totals
left join employers
    on
        totals.worker_id_hash = employers.worker_id_hash
        and totals.month = employers.month
left join districts
    on
        totals.worker_id_hash = districts.worker_id_hash
        and totals.month = districts.month
        and districts.precedence = 1
left join largest_payments
    on
        totals.worker_id_hash = largest_payments.worker_id_hash
        and totals.month = largest_payments.month
        and largest_payments.precedence = 1
left join {{ ref('stg_wages__workers') }} as workers
    on totals.worker_id_hash = workers.worker_id_hash
