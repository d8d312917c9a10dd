with

payments as (

    select * from {{ ref('int_wages__recorded_payments') }}
    where is_well_formed

),

reversals as (

    select
        reversal.record_id,
        reversal.paid_at,
        original.record_id as original_record_id,
        abs(reversal.amount_paise) = original.amount_paise as is_amount_equal,
        row_number() over (
            partition by original.record_id
            order by
                abs(reversal.amount_paise) <> original.amount_paise,
                reversal.block_number, reversal.tx_number, reversal.write_number
        ) as reversal_number
    from payments as reversal
    left join payments as original
        on
            reversal.reverses_record_id = original.record_id
            and reversal.worker_id_hash = original.worker_id_hash
            and original.reverses_record_id is null
    where reversal.reverses_record_id is not null

)

select
    record_id,
    original_record_id,
    {{ utc_date('paid_at') }} as reversed_on,
    case
        when original_record_id is null then 'reversal.unmatched'
        when not is_amount_equal then 'reversal.amount_mismatch'
        when reversal_number > 1 then 'reversal.repeated'
        else 'reversal.matched'
    end as outcome
from reversals
