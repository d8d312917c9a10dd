-- Where each event happened and between whom, one row for each event.
with

places as (

    select
        *,
        -- An owner before a holder before a place: who answers for the goods.
        row_number() over (
            partition by event_key, role
            order by coalesce(party_precedence, 4), position
        ) as precedence
    from {{ ref('stg_pharma__event_places') }}

)

select
    event_key,
    coalesce(
        max(case when role = 'read_point' then gln end),
        max(case when role = 'biz_location' then gln end)
    ) as place_gln,
    max(case when role = 'source' then gln end) as source_gln,
    max(case when role = 'destination' then gln end) as destination_gln
from places
where precedence = 1
group by event_key
