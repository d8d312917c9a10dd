{{ config(materialized='table') }}

with

recorded as (

    select * from {{ ref('int_wages__recorded_payments') }}

),

rates as (

    select * from {{ ref('int_wages__notified_rates') }}

),

originals as (

    select
        record_id,
        row_number() over (
            partition by
                worker_id_hash, employer_id_hash, amount_paise, period_from, period_to,
                -- Declared cash has no reference: the moment of payment stands in for it.
                coalesce(payment_ref_hash, cast(paid_at as varchar))
            order by block_number, tx_number, write_number
        ) as occurrence
    from recorded
    where is_well_formed and reverses_record_id is null

),

duplicates as (

    select record_id from originals
    where occurrence > 1

),

reversals as (

    select * from {{ ref('int_wages__reversals') }}

),

joined as (

    select
        recorded.*,
        reversals.outcome as reversal_outcome,
        undone.reversed_on,
        duplicates.record_id is not null as is_duplicate,
        case
            when recorded.rail <> 'UPI' then 'not_applicable'
            else coalesce(settlements.settlement_state, 'not_on_file')
        end as settlement_state,
        settlements.posted_at,
        coalesce(settlements.is_late, false) as is_posted_late,
        own_rate.daily_rate_paise as notified_daily_rate_paise,
        own_rate.rule_version,
        {{ ratio('recorded.amount_paise', 'recorded.days_worked * yardstick.daily_rate_paise') }}
            as notified_rate_ratio,
        -- A reversal repeats the period of what it takes back: it is no work of its own.
        coalesce(
            recorded.reverses_record_id is null and recorded.period_from > deaths.died_on, false
        ) as is_after_death,
        coalesce(
            recorded.reverses_record_id is null
            and extract(year from recorded.period_from) - workers.birth_year > 80,
            false
        ) as is_over_80,
        coalesce(
            recorded.reverses_record_id is null
            and recorded.days_worked > date_diff('day', recorded.period_from, recorded.period_to) + 1,
            false
        ) as is_days_beyond_period
    from recorded
    left join reversals on recorded.record_id = reversals.record_id
    left join reversals as undone
        on
            recorded.record_id = undone.original_record_id
            and undone.outcome = 'reversal.matched'
    left join duplicates on recorded.record_id = duplicates.record_id
    left join {{ ref('int_wages__settlements') }} as settlements
        on
            recorded.payment_ref_hash = settlements.payment_ref_hash
            and recorded.rail = 'UPI'
    left join rates as own_rate
        on
            recorded.state_code = own_rate.state_code
            and recorded.skill = own_rate.skill
            and recorded.period_from between own_rate.valid_from
            and coalesce(own_rate.valid_to, date '9999-12-31')
    left join rates as yardstick
        on
            recorded.state_code = yardstick.state_code
            and yardstick.skill = 'unskilled'
            and recorded.period_from between yardstick.valid_from
            and coalesce(yardstick.valid_to, date '9999-12-31')
    left join {{ ref('stg_wages__deaths') }} as deaths
        on recorded.worker_id_hash = deaths.worker_id_hash
    left join {{ ref('stg_wages__workers') }} as workers
        on recorded.worker_id_hash = workers.worker_id_hash

)

select
    record_id,
    block_number,
    worker_id_hash,
    employer_id_hash,
    month,
    period_from,
    period_to,
    amount_paise,
    days_worked,
    rail,
    sector_nic,
    skill,
    state_code,
    district_code,
    {{ utc_date('greatest(paid_at, coalesce(posted_at, paid_at))') }} as known_on,
    settlement_state,
    is_posted_late,
    reversed_on,
    notified_daily_rate_paise,
    rule_version,
    notified_rate_ratio,
    is_after_death,
    is_over_80,
    is_days_beyond_period,
    case
        when not is_well_formed then 'record.malformed'
        when reversal_outcome is not null then reversal_outcome
        when reversed_on is not null then 'payment.reversed'
        when is_duplicate then 'payment.duplicate'
        when settlement_state in ('failed', 'void') then 'settlement.failed'
        when settlement_state = 'pending' then 'settlement.pending'
        when settlement_state = 'deemed' then 'settlement.deemed'
        when settlement_state = 'unknown' then 'settlement.unknown_code'
        when notified_rate_ratio >= {{ var('hundredfold_from_ratio') }} then 'unit.hundredfold'
        when notified_rate_ratio >= {{ var('unit_error_from_ratio') }} then 'unit.monthly_as_daily'
        when notified_rate_ratio <= {{ var('hundredth_to_ratio') }} then 'unit.hundredth'
    end as exclusion_reason
from joined
