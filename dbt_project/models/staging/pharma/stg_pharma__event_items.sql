with

item_references as (

    select * from {{ ref('stg_pharma__event_references') }}
    where role in ('epc', 'child', 'input', 'output', 'parent')

),

identifiers as (

    select * from {{ ref('stg_pharma__identifiers') }}

)

select
    item_references.event_key,
    item_references.role,
    item_references.position,
    item_references.uri,
    case when identifiers.kind = 'gtin' then identifiers.key end as gtin,
    identifiers.serial,
    identifiers.lot,
    case when identifiers.kind = 'sscc' then identifiers.key end as sscc,
    identifiers.is_check_digit_ok,
    item_references.unit_count
from item_references
left join identifiers on item_references.uri = identifiers.uri
