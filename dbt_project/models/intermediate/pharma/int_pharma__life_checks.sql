-- The order of life of batches and of single packs: commissioned, packed, shipped, received, ended.
with

event_batches as (

    select * from {{ ref('int_pharma__event_batches') }}

),

batches as (

    select * from {{ ref('int_pharma__batches') }}

),

shipments as (

    select * from {{ ref('int_pharma__shipments') }}

),

locations as (

    select gln, max(country) as country
    from {{ ref('stg_pharma__locations') }}
    group by gln

),

sightings as (

    select distinct
        serials.batch_id,
        items.gtin,
        items.serial,
        event_batches.event_key,
        event_batches.event_at,
        event_batches.event_type,
        event_batches.action,
        event_batches.biz_step,
        event_batches.place_gln,
        locations.country
    from {{ ref('stg_pharma__event_items') }} as items
    inner join {{ ref('int_pharma__serials') }} as serials
        on items.gtin = serials.gtin and items.serial = serials.serial
    inner join event_batches
        on items.event_key = event_batches.event_key and serials.batch_id = event_batches.batch_id
    left join locations on event_batches.place_gln = locations.gln

),

ends as (

    select
        gtin,
        serial,
        min(event_at) as ended_at
    from sightings
    where biz_step in ('decommissioning', 'destroying')
    group by gtin, serial

),

journeys as (

    select
        *,
        lag(country) over serial_path as previous_country,
        lag(place_gln) over serial_path as previous_gln,
        lag(event_at) over serial_path as previous_at
    from sightings
    window serial_path as (partition by gtin, serial order by event_at, event_key)

),

commissionings as (

    select
        *,
        row_number() over (partition by gtin, serial order by event_at, event_key) as number
    from sightings
    where biz_step = 'commissioning' and action = 'ADD'

),

packings as (

    select
        sightings.batch_id,
        sightings.serial,
        sightings.event_key,
        sightings.event_at,
        sightings.place_gln,
        parents.sscc,
        lag(parents.sscc) over (
            partition by sightings.gtin, sightings.serial
            order by sightings.event_at, sightings.event_key
        ) as previous_sscc
    from sightings
    inner join {{ ref('stg_pharma__event_items') }} as parents
        on sightings.event_key = parents.event_key and parents.role = 'parent'
    where sightings.event_type = 'AggregationEvent' and sightings.action = 'ADD'

),

described as (

    select
        event_batches.batch_id,
        event_batches.event_key,
        event_batches.event_at,
        event_batches.place_gln,
        batches.expires_on,
        count(sightings.serial) as serial_count
    from event_batches
    inner join batches on event_batches.batch_id = batches.batch_id
    left join sightings
        on
            event_batches.event_key = sightings.event_key
            and event_batches.batch_id = sightings.batch_id
    where event_batches.biz_step = 'commissioning'
    group by all

)

select
    'life.order' as check_id,
    event_batches.batch_id,
    event_batches.event_key,
    event_batches.event_at,
    event_batches.place_gln as gln,
    case
        when batches.commissioned_at is null then event_batches.biz_step || ' without commissioning'
        else event_batches.biz_step || ' before commissioning'
    end as detail,
    cast(null as double) as hours_apart
from event_batches
inner join batches on event_batches.batch_id = batches.batch_id
where
    (event_batches.biz_step in ('packing', 'shipping') and event_batches.event_at < batches.commissioned_at)
    or (event_batches.biz_step = 'shipping' and batches.commissioned_at is null)

union all

select
    'life.order',
    batch_id,
    receipt_event_key,
    received_at,
    to_gln,
    'receiving before shipping',
    null
from shipments
where received_at < shipped_at

union all

select
    'life.after_end',
    sightings.batch_id,
    sightings.event_key,
    sightings.event_at,
    sightings.place_gln,
    sightings.biz_step || ' after the end of serial ' || sightings.serial,
    null
from sightings
inner join ends
    on
        sightings.gtin = ends.gtin
        and sightings.serial = ends.serial
        and sightings.event_at > ends.ended_at
-- Authorities and investigators may look at a pack that has ended: looking is no supply.
where sightings.biz_step in (
    'commissioning', 'packing', 'unpacking', 'shipping', 'receiving', 'dispensing', 'retail_selling'
)

union all

select
    'serial.impossible_travel',
    batch_id,
    event_key,
    event_at,
    place_gln,
    'serial ' || serial || ' seen at ' || previous_gln || ' (' || previous_country || ') and at '
        || place_gln || ' (' || country || ')',
    round({{ seconds_between('previous_at', 'event_at') }} / 3600.0, 3)
from journeys
where previous_country <> country

union all

select
    'serial.repeated',
    batch_id,
    event_key,
    event_at,
    place_gln,
    'serial ' || serial || ' commissioned again',
    null
from commissionings
where number > 1

union all

select
    'serial.two_parents',
    packings.batch_id,
    packings.event_key,
    packings.event_at,
    packings.place_gln,
    'serial ' || packings.serial || ' packed again while on another pallet',
    null
from packings
inner join {{ ref('int_pharma__pallet_contents') }} as contents
    on
        packings.previous_sscc = contents.sscc
        and packings.previous_sscc <> packings.sscc
        and packings.batch_id = contents.batch_id
        and packings.event_at > contents.packed_at
        and packings.event_at < contents.unpacked_at

union all

select
    'commissioning.incomplete',
    batch_id,
    event_key,
    event_at,
    place_gln,
    case
        when serial_count = 0 and expires_on is null then 'no serial number and no expiry date'
        when serial_count = 0 then 'no serial number'
        else 'no expiry date'
    end,
    null
from described
where serial_count = 0 or expires_on is null
