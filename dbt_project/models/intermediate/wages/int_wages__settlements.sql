with

settlements as (

    select
        *,
        row_number() over (
            partition by payment_ref_hash
            order by
                -- Once credited, a payment stays posted: undoing it takes a reversal on the ledger.
                case when settlement_state = 'posted' then 0 else 1 end,
                case when settlement_state = 'posted' then posted_at end,
                initiated_at desc,
                settlement_id
        ) as precedence,
        min(initiated_at) over (partition by payment_ref_hash) as first_initiated_at
    from {{ ref('stg_wages__upi_settlements') }}

)

select
    payment_ref_hash,
    settlement_state,
    first_initiated_at as initiated_at,
    posted_at,
    coalesce(
        settlement_state = 'posted'
        and posted_at > first_initiated_at + interval '{{ var("late_after_days") }} days',
        false
    ) as is_late
from settlements
where precedence = 1
