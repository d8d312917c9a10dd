with

shipment_batches as (

    select
        *,
        cast(date_trunc('month', shipped_on) as date) as month
    from {{ ref('fct_pharma__shipment_events') }}

),

-- A shipment of several batches of one class is one shipment, compliant when all of them are.
shipments as (

    select
        product_class,
        jurisdiction,
        month,
        shipment_id,
        min(case when is_compliant then 1 else 0 end) as compliant,
        min(case when is_received then 1 else 0 end) as received,
        sum(rule_hit_count) as rule_hit_count,
        sum(unit_count) as unit_count
    from shipment_batches
    group by product_class, jurisdiction, month, shipment_id

),

batches as (

    select
        product_class,
        jurisdiction,
        month,
        count(distinct batch_id) as batch_count,
        count(distinct manufacturer_gln) as firm_count,
        max(rule_version) as rule_version
    from shipment_batches
    group by product_class, jurisdiction, month

),

totals as (

    select
        product_class,
        jurisdiction,
        month,
        count(*) as shipment_count,
        sum(compliant) as compliant_count,
        sum(received) as received_count,
        sum(rule_hit_count) as rule_hit_count,
        sum(unit_count) as unit_count
    from shipments
    group by product_class, jurisdiction, month

)

select
    totals.product_class,
    totals.jurisdiction,
    totals.month,
    totals.shipment_count,
    cast(totals.compliant_count as bigint) as compliant_count,
    cast(totals.received_count as bigint) as received_count,
    batches.batch_count,
    batches.firm_count,
    cast(coalesce(totals.unit_count, 0) as bigint) as unit_count,
    cast(totals.rule_hit_count as bigint) as rule_hit_count,
    batches.rule_version
from totals
inner join batches
    on
        totals.product_class = batches.product_class
        and totals.jurisdiction = batches.jurisdiction
        and totals.month = batches.month
