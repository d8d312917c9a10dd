with

place_references as (

    select * from {{ ref('stg_pharma__event_references') }}
    where role in ('read_point', 'biz_location', 'source', 'destination')

),

identifiers as (

    select * from {{ ref('stg_pharma__identifiers') }}
    where kind in ('gln', 'pgln')

)

select
    place_references.event_key,
    place_references.role,
    place_references.position,
    identifiers.key as gln,
    identifiers.is_check_digit_ok,
    case
        when place_references.party_type like '%owning_party' then 1
        when place_references.party_type like '%possessing_party' then 2
        when place_references.party_type like '%location' then 3
    end as party_precedence
from place_references
inner join identifiers on place_references.uri = identifiers.uri
where identifiers.key is not null
