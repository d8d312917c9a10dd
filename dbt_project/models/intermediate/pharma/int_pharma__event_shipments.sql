{{ config(materialized='table') }}

-- The shipment that an event of a batch belongs to: the one it is, answers or follows.
with

event_batches as (

    select * from {{ ref('int_pharma__event_batches') }}

),

shipments as (

    select * from {{ ref('int_pharma__shipments') }}

),

ranked as (

    select
        event_batches.event_key,
        event_batches.batch_id,
        shipments.shipment_id,
        row_number() over (
            partition by event_batches.event_key, event_batches.batch_id
            order by
                shipments.shipment_id = event_batches.event_key desc,
                coalesce(shipments.receipt_event_key = event_batches.event_key, false) desc,
                -- Goods seen at a destination came with the last shipment to it.
                coalesce(
                    shipments.shipped_at <= event_batches.event_at
                    and shipments.to_gln = event_batches.place_gln, false
                ) desc,
                shipments.shipped_at <= event_batches.event_at desc,
                case
                    when shipments.shipped_at <= event_batches.event_at then shipments.shipped_at
                end desc,
                shipments.shipped_at,
                shipments.shipment_id
        ) as precedence
    from event_batches
    inner join shipments on event_batches.batch_id = shipments.batch_id

)

select
    event_key,
    batch_id,
    shipment_id
from ranked
where precedence = 1
