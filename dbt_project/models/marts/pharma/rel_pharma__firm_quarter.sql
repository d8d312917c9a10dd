with

shipment_batches as (

    select
        *,
        cast(extract(year from shipped_on) as varchar) || '-Q'
            || cast(extract(quarter from shipped_on) as varchar) as quarter
    from {{ ref('fct_pharma__shipment_events') }}
    where manufacturer_gln is not null

),

shipments as (

    select
        manufacturer_gln,
        product_class,
        jurisdiction,
        quarter,
        shipment_id,
        min(case when is_compliant then 1 else 0 end) as compliant,
        sum(unit_count) as unit_count
    from shipment_batches
    group by manufacturer_gln, product_class, jurisdiction, quarter, shipment_id

),

batches as (

    select
        manufacturer_gln,
        product_class,
        jurisdiction,
        quarter,
        count(distinct batch_id) as batch_count
    from shipment_batches
    group by manufacturer_gln, product_class, jurisdiction, quarter

),

totals as (

    select
        manufacturer_gln,
        product_class,
        jurisdiction,
        quarter,
        count(*) as shipment_count,
        sum(compliant) as compliant_shipment_count,
        sum(unit_count) as unit_count
    from shipments
    group by manufacturer_gln, product_class, jurisdiction, quarter

)

select
    totals.manufacturer_gln as firm_gln,
    totals.product_class,
    totals.jurisdiction,
    totals.quarter,
    totals.shipment_count,
    cast(totals.compliant_shipment_count as bigint) as compliant_shipment_count,
    batches.batch_count,
    cast(coalesce(totals.unit_count, 0) as bigint) as unit_count
from totals
inner join batches
    on
        totals.manufacturer_gln = batches.manufacturer_gln
        and totals.product_class = batches.product_class
        and totals.jurisdiction = batches.jurisdiction
        and totals.quarter = batches.quarter
