{{ config(materialized='table') }}

with

uris as (

    select distinct uri from {{ ref('stg_pharma__event_references') }}

),

kinds as (

    select uri, {{ gs1_kind('uri') }} as kind
    from uris

),

digits as (

    select uri, kind, {{ gs1_digits('uri', 'kind') }} as digits
    from kinds

),

keys as (

    select uri, kind, {{ gs1_key('uri', 'kind', 'digits') }} as key
    from digits

)

select
    uri,
    kind,
    key,
    {{ gs1_is_key_ok('kind', 'key') }} as is_check_digit_ok,
    case when kind = 'gtin' then {{ gs1_qualifier('uri', 'serial') }} end as serial,
    case when kind = 'gtin' then {{ gs1_qualifier('uri', 'lot') }} end as lot
from keys
