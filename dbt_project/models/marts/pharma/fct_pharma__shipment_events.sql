with

shipments as (

    select * from {{ ref('int_pharma__shipments') }}

),

batches as (

    select * from {{ ref('int_pharma__batches') }}

),

event_shipments as (

    select * from {{ ref('int_pharma__event_shipments') }}

),

locations as (

    select gln, max(country) as country
    from {{ ref('stg_pharma__locations') }}
    group by gln

),

hits as (

    select
        event_shipments.shipment_id,
        event_shipments.batch_id,
        count(*) as rule_hit_count,
        count(case when rule_hits.is_hard then 1 end) as hard_hit_count
    from {{ ref('int_pharma__rule_hits') }} as rule_hits
    inner join event_shipments
        on
            rule_hits.event_key = event_shipments.event_key
            and rule_hits.batch_id = event_shipments.batch_id
    group by event_shipments.shipment_id, event_shipments.batch_id

),

temperatures as (

    select
        event_shipments.shipment_id,
        event_shipments.batch_id,
        min(temperatures.min_celsius) as min_temperature_celsius,
        max(temperatures.max_celsius) as max_temperature_celsius,
        sum(temperatures.excursion_seconds) as excursion_seconds
    from {{ ref('int_pharma__temperatures') }} as temperatures
    inner join event_shipments
        on
            temperatures.event_key = event_shipments.event_key
            and temperatures.batch_id = event_shipments.batch_id
    group by event_shipments.shipment_id, event_shipments.batch_id

),

versions as (

    select max(rule_version) as rule_version from {{ ref('int_pharma__rules') }}

)

select
    shipments.shipment_id,
    shipments.batch_id,
    batches.gtin,
    batches.lot,
    batches.product_class,
    batches.jurisdiction,
    batches.manufacturer_gln,
    shipments.from_gln,
    sources.country as from_country,
    shipments.to_gln,
    destinations.country as to_country,
    shipments.sscc,
    shipments.shipped_at,
    shipments.shipped_on,
    shipments.received_at,
    case
        when shipments.received_at >= shipments.shipped_at
            then {{ ratio(seconds_between('shipments.shipped_at', 'shipments.received_at'), '3600', 2) }}
    end as transit_hours,
    shipments.unit_count,
    shipments.received_at is not null as is_received,
    batches.is_cold_chain,
    temperatures.min_temperature_celsius,
    temperatures.max_temperature_celsius,
    {{ ratio('temperatures.excursion_seconds', '3600', 2) }} as excursion_hours,
    coalesce(hits.rule_hit_count, 0) as rule_hit_count,
    coalesce(hits.hard_hit_count, 0) as hard_hit_count,
    coalesce(hits.hard_hit_count, 0) = 0 as is_compliant,
    versions.rule_version
from shipments
inner join batches on shipments.batch_id = batches.batch_id
cross join versions
left join locations as sources on shipments.from_gln = sources.gln
left join locations as destinations on shipments.to_gln = destinations.gln
left join hits
    on shipments.shipment_id = hits.shipment_id and shipments.batch_id = hits.batch_id
left join temperatures
    on
        shipments.shipment_id = temperatures.shipment_id
        and shipments.batch_id = temperatures.batch_id
