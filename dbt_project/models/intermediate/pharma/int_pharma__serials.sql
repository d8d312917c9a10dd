{{ config(materialized='table') }}

-- Which batch a serial number belongs to: the lot beside it when it was commissioned or packed.
with

items as (

    select * from {{ ref('stg_pharma__event_items') }}
    where gtin is not null

),

events as (

    select * from {{ ref('stg_pharma__events') }}

),

lots as (

    select
        event_key,
        gtin,
        min(lot) as lot
    from items
    where lot is not null
    group by event_key, gtin
    having count(distinct lot) = 1

),

sightings as (

    select
        items.gtin,
        items.serial,
        coalesce(lots.lot, events.lot) as lot,
        events.biz_step,
        events.event_at,
        events.event_key
    from items
    inner join events on items.event_key = events.event_key
    left join lots on items.event_key = lots.event_key and items.gtin = lots.gtin
    where
        items.serial is not null
        and events.biz_step in ('commissioning', 'packing')
        and coalesce(lots.lot, events.lot) is not null

),

ranked as (

    select
        *,
        row_number() over (
            partition by gtin, serial
            order by case when biz_step = 'commissioning' then 0 else 1 end, event_at, event_key
        ) as precedence
    from sightings

)

select
    gtin,
    serial,
    gtin || '/' || lot as batch_id
from ranked
where precedence = 1
