-- Rates of the goods and services tax on medicines invoiced within India.
with

invoices as (

    select * from {{ ref('stg_pharma__ledger_documents') }}
    where document_type = 'INVOICE' and hsn like '30%'

),

batches as (

    select * from {{ ref('int_pharma__batches') }}

),

indian_locations as (

    select distinct gln
    from {{ ref('stg_pharma__locations') }}
    where market = 'IN'

),

domestic as (

    select invoices.*
    from invoices
    inner join batches on invoices.batch_id = batches.batch_id
    inner join indian_locations as sellers on invoices.seller_gln = sellers.gln
    inner join indian_locations as buyers on invoices.buyer_gln = buyers.gln

)

select
    'invoice.rate_before_gst_change' as check_id,
    batch_id,
    tx_id as event_key,
    invoiced_on as event_on,
    seller_gln as gln,
    'rate ' || gst_permille || ' per mille, expected 120 or 50' as detail
from domestic
where gst_permille not in (120, 50)

union all

select
    'invoice.rate_after_gst_change',
    batch_id,
    tx_id,
    invoiced_on,
    seller_gln,
    'rate ' || gst_permille || ' per mille, expected 50 or nil'
from domestic
where gst_permille not in (50, 0)
