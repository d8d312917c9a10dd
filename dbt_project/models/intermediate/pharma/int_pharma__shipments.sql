{{ config(materialized='table') }}

-- One row for each batch in each shipment, with the receipt that answers it.
with

event_batches as (

    select * from {{ ref('int_pharma__event_batches') }}

),

despatch_advices as (

    select event_key, min(paper_id) as despatch_advice_id
    from {{ ref('stg_pharma__event_papers') }}
    where paper_type = 'desadv'
    group by event_key

),

movements as (

    select
        event_batches.*,
        despatch_advices.despatch_advice_id
    from event_batches
    left join despatch_advices on event_batches.event_key = despatch_advices.event_key
    where event_batches.biz_step in ('shipping', 'receiving')

),

shipments as (

    select * from movements
    where biz_step = 'shipping'

),

receipts as (

    select * from movements
    where biz_step = 'receiving'

),

answers as (

    select
        shipments.event_key as shipment_id,
        shipments.batch_id,
        receipts.event_key as receipt_event_key,
        receipts.event_at as received_at,
        receipts.place_gln as received_by_gln,
        row_number() over (
            partition by shipments.event_key, shipments.batch_id
            order by receipts.event_at < shipments.event_at, receipts.event_at, receipts.event_key
        ) as precedence
    from shipments
    inner join receipts
        on
            shipments.batch_id = receipts.batch_id
            and (
                shipments.despatch_advice_id = receipts.despatch_advice_id
                or (
                    -- Without papers on both sides: the same goods at their destination afterwards.
                    (shipments.despatch_advice_id is null or receipts.despatch_advice_id is null)
                    and shipments.destination_gln
                        = coalesce(receipts.destination_gln, receipts.place_gln)
                    and shipments.event_at <= receipts.event_at
                )
            )

)

select
    shipments.event_key as shipment_id,
    shipments.batch_id,
    shipments.sscc,
    shipments.despatch_advice_id,
    coalesce(shipments.source_gln, shipments.place_gln) as from_gln,
    coalesce(shipments.destination_gln, answers.received_by_gln) as to_gln,
    shipments.event_at as shipped_at,
    shipments.event_on as shipped_on,
    answers.receipt_event_key,
    answers.received_at,
    shipments.unit_count
from shipments
left join answers
    on
        shipments.event_key = answers.shipment_id
        and shipments.batch_id = answers.batch_id
        and answers.precedence = 1
