with

counted as (

    select * from {{ ref('int_wages__payments') }}
    where exclusion_reason is null

),

worker_totals as (

    select
        employer_id_hash,
        month,
        state_code,
        district_code,
        worker_id_hash,
        sum(amount_paise) as wage_paise,
        sum(days_worked) as days_worked,
        count(*) as payment_count,
        -- A day wage in whole fifties of rupees.
        count(case when amount_paise % (5000 * days_worked) = 0 then 1 end) as round_payment_count,
        sum(case when notified_daily_rate_paise is not null then amount_paise end)
            as assessed_wage_paise,
        sum(days_worked * notified_daily_rate_paise) as due_paise,
        max(rule_version) as rule_version
    from counted
    group by employer_id_hash, month, state_code, district_code, worker_id_hash

),

totals as (

    select
        employer_id_hash,
        month,
        state_code,
        district_code,
        count(*) as worker_count,
        sum(wage_paise) as wage_paise,
        sum(days_worked) as days_worked,
        sum(payment_count) as payment_count,
        sum(round_payment_count) as round_payment_count,
        count(case when assessed_wage_paise < due_paise then 1 end) as below_notified_rate_count,
        count(due_paise) as assessed_count,
        max(rule_version) as rule_version
    from worker_totals
    group by employer_id_hash, month, state_code, district_code

),

sector_totals as (

    select
        employer_id_hash,
        month,
        district_code,
        sector_nic,
        row_number() over (
            partition by employer_id_hash, month, district_code
            order by sum(amount_paise) desc, sector_nic
        ) as precedence
    from counted
    group by employer_id_hash, month, district_code, sector_nic

)

select
    totals.employer_id_hash,
    totals.month,
    totals.state_code,
    totals.district_code,
    coalesce(employers.sector_nic, sector_totals.sector_nic) as sector_nic,
    employers.size_class,
    employers.status,
    totals.worker_count,
    cast(totals.payment_count as bigint) as payment_count,
    cast(totals.wage_paise as bigint) as wage_paise,
    cast(totals.days_worked as bigint) as days_worked,
    totals.below_notified_rate_count,
    totals.assessed_count,
    {{ ratio('totals.round_payment_count', 'totals.payment_count') }} as round_wage_share,
    coalesce(totals.rule_version, {{ not_assessed() }}) as rule_version
from totals
inner join sector_totals
    on
        totals.employer_id_hash = sector_totals.employer_id_hash
        and totals.month = sector_totals.month
        and totals.district_code = sector_totals.district_code
        and sector_totals.precedence = 1
left join {{ ref('stg_wages__employers') }} as employers
    on totals.employer_id_hash = employers.employer_id_hash
