{{ config(materialized='table') }}

with

event_batches as (

    select * from {{ ref('int_pharma__event_batches') }}

),

events as (

    select * from {{ ref('stg_pharma__events') }}

),

products as (

    select * from {{ ref('stg_pharma__products') }}

),

locations as (

    select gln, max(market) as market
    from {{ ref('stg_pharma__locations') }}
    group by gln

),

batches as (

    select
        event_batches.batch_id,
        min(event_batches.event_at) as first_event_at,
        max(event_batches.event_at) as last_event_at,
        min(case when event_batches.biz_step = 'commissioning' then event_batches.event_at end)
            as commissioned_at,
        min(case when event_batches.biz_step = 'commissioning' then event_batches.place_gln end)
            as commissioned_by_gln,
        -- Where two dates are stated, the one that protects the patient.
        min(events.expires_on) as expires_on,
        sum(case when event_batches.biz_step = 'commissioning' then event_batches.unit_count end)
            as unit_count,
        split_part(event_batches.batch_id, '/', 1) as gtin
    from event_batches
    inner join events on event_batches.event_key = events.event_key
    group by event_batches.batch_id

)

select
    batches.batch_id,
    batches.gtin,
    substring(batches.batch_id, 16) as lot,
    products.gtin is not null as is_product_known,
    coalesce(products.product_class, 'unknown') as product_class,
    coalesce(products.jurisdiction, 'unknown') as jurisdiction,
    products.jurisdiction
        || case
            when locations.market = 'IN' and products.jurisdiction <> 'IN' then ' IN-export' else ''
        end as rule_jurisdictions,
    products.storage_condition,
    coalesce(products.storage_condition = '2-8C', false) as is_cold_chain,
    coalesce(products.manufacturer_gln, batches.commissioned_by_gln) as manufacturer_gln,
    batches.first_event_at,
    batches.last_event_at,
    batches.commissioned_at,
    batches.expires_on,
    cast(batches.unit_count as bigint) as unit_count
from batches
left join products on batches.gtin = products.gtin
left join locations on products.manufacturer_gln = locations.gln
