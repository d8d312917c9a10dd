with

hits as (

    select * from {{ ref('int_pharma__rule_hits') }}

),

batches as (

    select * from {{ ref('int_pharma__batches') }}

),

event_shipments as (

    select * from {{ ref('int_pharma__event_shipments') }}

)

select
    hits.batch_id,
    hits.rule_id,
    hits.event_key,
    -- A machine flags, it never denies: what follows is for a person to say.
    'flagged' as action,
    hits.severity,
    batches.gtin,
    batches.lot,
    batches.product_class,
    batches.jurisdiction,
    batches.manufacturer_gln,
    event_shipments.shipment_id,
    hits.event_on,
    hits.known_on,
    hits.gln as place_gln,
    hits.check_id,
    hits.detail,
    hits.citation,
    hits.rule_status,
    hits.rule_version
from hits
inner join batches on hits.batch_id = batches.batch_id
left join event_shipments
    on hits.event_key = event_shipments.event_key and hits.batch_id = event_shipments.batch_id
