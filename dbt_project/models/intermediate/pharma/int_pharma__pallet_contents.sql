{{ config(materialized='table') }}

-- Which batches were on a pallet, from when to when, through pallets on pallets.
with recursive

containment as (

    select * from {{ ref('int_pharma__containment') }}

),

contents as (

    select
        sscc,
        child_kind,
        child_id,
        unit_count,
        packed_at,
        unpacked_at,
        1 as depth
    from containment

    union all

    select
        contents.sscc,
        containment.child_kind,
        containment.child_id,
        containment.unit_count,
        greatest(contents.packed_at, containment.packed_at),
        least(contents.unpacked_at, containment.unpacked_at),
        contents.depth + 1
    from contents
    inner join containment
        on
            contents.child_kind = 'sscc'
            and contents.child_id = containment.sscc
            and contents.packed_at <= containment.unpacked_at
            and containment.packed_at <= contents.unpacked_at
    -- Packs in boxes in cases on pallets in containers are five; a circle must end somewhere.
    where contents.depth < 8

)

select
    sscc,
    child_id as batch_id,
    packed_at,
    unpacked_at,
    cast(sum(unit_count) as bigint) as unit_count
from contents
where child_kind = 'batch'
group by sscc, child_id, packed_at, unpacked_at
