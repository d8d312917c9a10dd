{{ config(materialized='table') }}

-- Which batches an event is about: by its lots, its serial numbers and what was on its pallets.
with

events as (

    select * from {{ ref('stg_pharma__events') }}

),

items as (

    select * from {{ ref('stg_pharma__event_items') }}

),

serials as (

    select * from {{ ref('int_pharma__serials') }}

),

contents as (

    select * from {{ ref('int_pharma__pallet_contents') }}

),

parties as (

    select * from {{ ref('int_pharma__event_parties') }}

),

found as (

    select
        items.event_key,
        case
            when items.lot is not null then items.gtin || '/' || items.lot
            else serials.batch_id
        end as batch_id,
        null as sscc,
        items.unit_count as lot_units,
        case when items.serial is not null then 1 end as serial_units,
        null as pallet_units
    from items
    left join serials on items.gtin = serials.gtin and items.serial = serials.serial
    where items.gtin is not null

    union all

    select
        items.event_key,
        contents.batch_id,
        items.sscc,
        null,
        null,
        contents.unit_count
    from items
    inner join events on items.event_key = events.event_key
    inner join contents
        on
            items.sscc = contents.sscc
            and events.event_at between contents.packed_at and contents.unpacked_at

),

batches as (

    select
        event_key,
        batch_id,
        min(sscc) as sscc,
        -- Packing names the packs and their pallet: they are the same packs.
        cast(coalesce(sum(lot_units), sum(pallet_units), sum(serial_units)) as bigint) as unit_count
    from found
    where batch_id is not null
    group by event_key, batch_id

)

select
    batches.event_key,
    batches.batch_id,
    batches.sscc,
    batches.unit_count,
    events.event_type,
    events.event_at,
    events.event_on,
    events.action,
    events.biz_step,
    events.disposition,
    events.source_kind,
    events.source_ref,
    parties.place_gln,
    parties.source_gln,
    parties.destination_gln
from batches
inner join events on batches.event_key = events.event_key
left join parties on batches.event_key = parties.event_key
