-- What was directly on a pallet, from when to when.
with

events as (

    select * from {{ ref('stg_pharma__events') }}
    where event_type in ('AggregationEvent', 'AssociationEvent')

),

items as (

    select * from {{ ref('stg_pharma__event_items') }}

),

serials as (

    select * from {{ ref('int_pharma__serials') }}

),

parents as (

    select
        events.event_key,
        events.event_at,
        events.action,
        items.sscc
    from events
    inner join items
        on events.event_key = items.event_key and items.role = 'parent'
    where items.sscc is not null

),

children as (

    select
        parents.event_key,
        parents.event_at,
        parents.action,
        parents.sscc,
        case when items.sscc is not null then 'sscc' else 'batch' end as child_kind,
        coalesce(
            items.sscc,
            case when items.lot is not null then items.gtin || '/' || items.lot end,
            serials.batch_id
        ) as child_id,
        -- Packs are counted by quantity; single serials stand beside the quantity they are part of.
        coalesce(sum(items.unit_count), count(items.serial)) as unit_count
    from parents
    inner join items
        on parents.event_key = items.event_key and items.role = 'child'
    left join serials
        on items.gtin = serials.gtin and items.serial = serials.serial
    group by all

),

packed as (

    select * from children
    where action = 'ADD' and child_id is not null

),

unpacked as (

    select
        parents.event_at,
        parents.sscc,
        children.child_id
    from parents
    -- An unpacking that lists nothing takes everything off.
    left join children on parents.event_key = children.event_key
    where parents.action = 'DELETE'

)

select
    packed.event_key,
    packed.sscc,
    packed.child_kind,
    packed.child_id,
    packed.unit_count,
    packed.event_at as packed_at,
    coalesce(min(unpacked.event_at), {{ open_end() }}) as unpacked_at
from packed
left join unpacked
    on
        packed.sscc = unpacked.sscc
        and packed.event_at < unpacked.event_at
        and (packed.child_id = unpacked.child_id or unpacked.child_id is null)
group by
    packed.event_key, packed.sscc, packed.child_kind, packed.child_id, packed.unit_count,
    packed.event_at
