with

registrations as (

    select
        *,
        row_number() over (partition by gln, valid_from order by checked_at desc, source) as recency
    from {{ source('pharma', 'raw_pharma__gln_registry') }}

)

select
    gln,
    legal_name,
    country,
    {{ market_of('country') }} as market,
    gln_type,
    company_prefix,
    status,
    valid_from,
    valid_to,
    checked_at,
    source,
    -- A registration that is no longer active and says not since when counts for no day.
    status = 'active' or valid_to is not null as is_dated
from registrations
where recency = 1
