with

event_batches as (

    select * from {{ ref('int_pharma__event_batches') }}

),

batches as (

    select * from {{ ref('int_pharma__batches') }}

),

parents as (

    select event_key, min(sscc) as sscc
    from {{ ref('stg_pharma__event_items') }}
    where role = 'parent'
    group by event_key

),

locations as (

    select gln, max(country) as country
    from {{ ref('stg_pharma__locations') }}
    group by gln

)

select
    event_batches.batch_id,
    cast(row_number() over (
        partition by event_batches.batch_id order by event_batches.event_at, event_batches.event_key
    ) as integer) as step_number,
    batches.gtin,
    batches.lot,
    event_batches.event_key,
    event_batches.event_at,
    event_batches.event_type,
    event_batches.action,
    event_batches.biz_step,
    event_batches.disposition,
    event_batches.place_gln,
    locations.country as place_country,
    event_batches.source_gln,
    event_batches.destination_gln,
    coalesce(event_batches.sscc, parents.sscc) as sscc,
    event_batches.unit_count,
    event_batches.source_kind,
    event_batches.source_ref
from event_batches
inner join batches on event_batches.batch_id = batches.batch_id
left join parents on event_batches.event_key = parents.event_key
left join locations on event_batches.place_gln = locations.gln
