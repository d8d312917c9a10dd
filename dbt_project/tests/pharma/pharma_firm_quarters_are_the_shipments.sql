-- The quarters of firms and the months of markets must count the same shipments.
with

quarters as (

    select product_class, jurisdiction, sum(shipment_count) as shipment_count
    from {{ ref('rel_pharma__firm_quarter') }}
    group by product_class, jurisdiction

),

-- A shipment of two firms' batches is one shipment of the market and one of each firm.
shipments as (

    select
        product_class,
        jurisdiction,
        count(distinct shipment_id || manufacturer_gln) as shipment_count
    from {{ ref('fct_pharma__shipment_events') }}
    where manufacturer_gln is not null
    group by product_class, jurisdiction

)

select
    shipments.product_class,
    shipments.jurisdiction,
    shipments.shipment_count,
    quarters.shipment_count as quarter_count
from shipments
full outer join quarters
    on
        shipments.product_class = quarters.product_class
        and shipments.jurisdiction = quarters.jurisdiction
where shipments.shipment_count is distinct from quarters.shipment_count
