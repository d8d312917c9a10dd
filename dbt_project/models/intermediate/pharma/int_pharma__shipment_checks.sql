-- Supply after expiry, receipts that are missing, destinations in another market, loose exports.
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

    select gln, max(market) as market
    from {{ ref('stg_pharma__locations') }}
    group by gln

),

movements as (

    select
        shipments.*,
        sources.market as from_market,
        destinations.market as to_market,
        batches.jurisdiction
    from shipments
    inner join batches on shipments.batch_id = batches.batch_id
    left join locations as sources on shipments.from_gln = sources.gln
    left join locations as destinations on shipments.to_gln = destinations.gln

)

select
    'expiry.supplied' as check_id,
    event_batches.batch_id,
    event_batches.event_key,
    event_batches.event_at,
    event_batches.place_gln as gln,
    event_batches.biz_step || ' after expiry on ' || batches.expires_on as detail
from event_batches
inner join batches on event_batches.batch_id = batches.batch_id
where
    event_batches.biz_step in ('shipping', 'dispensing', 'retail_selling')
    and event_batches.event_on > batches.expires_on

union all

select
    'destination.other_market',
    batch_id,
    shipment_id,
    shipped_at,
    to_gln,
    'for the market ' || jurisdiction || ', shipped to ' || to_market
from movements
where to_market <> jurisdiction and jurisdiction <> 'unknown'

union all

select
    'shipment.not_received',
    batch_id,
    shipment_id,
    shipped_at,
    to_gln,
    'shipped and not received'
from shipments
where receipt_event_key is null

union all

select
    'receipt.without_shipment',
    event_batches.batch_id,
    event_batches.event_key,
    event_batches.event_at,
    event_batches.place_gln,
    'received and not shipped'
from event_batches
left join shipments
    on
        event_batches.event_key = shipments.receipt_event_key
        and event_batches.batch_id = shipments.batch_id
where event_batches.biz_step = 'receiving' and shipments.shipment_id is null

union all

select
    'shipment.without_pallet',
    batch_id,
    shipment_id,
    shipped_at,
    from_gln,
    'left India without a pallet number'
from movements
where from_market = 'IN' and to_market <> 'IN' and sscc is null
