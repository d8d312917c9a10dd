with

settlements as (

    select * from {{ source('wages', 'raw_wages__upi_settlements') }}

),

codes as (

    select * from {{ ref('upi_codes') }}

)

select
    settlements.settlement_id,
    settlements.payment_ref_hash,
    settlements.amount_paise,
    settlements.status_code,
    settlements.initiated_at,
    settlements.posted_at,
    case
        -- A deemed or pending payment that was credited after all is posted, late.
        when codes.settlement_state in ('deemed', 'pending') and settlements.posted_at is not null
            then 'posted'
        else coalesce(codes.settlement_state, 'unknown')
    end as settlement_state
from settlements
left join codes on settlements.status_code = codes.code
