-- Every exception that belongs to a shipment is counted in that shipment, and only there.
with

counted as (

    select shipment_id, batch_id, rule_hit_count as hit_count
    from {{ ref('fct_pharma__shipment_events') }}

),

listed as (

    select shipment_id, batch_id, count(*) as hit_count
    from {{ ref('fct_pharma__rule_exceptions') }}
    where shipment_id is not null
    group by shipment_id, batch_id

)

select
    counted.shipment_id,
    counted.batch_id,
    counted.hit_count,
    listed.hit_count as listed_count
from counted
full outer join listed
    on counted.shipment_id = listed.shipment_id and counted.batch_id = listed.batch_id
where coalesce(counted.hit_count, 0) <> coalesce(listed.hit_count, 0)
