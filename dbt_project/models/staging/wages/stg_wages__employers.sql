with

registrations as (

    select
        *,
        row_number() over (
            partition by employer_id_hash
            order by registered_on desc, district_code, sector_nic
        ) as recency
    from {{ source('wages', 'raw_wages__employer_registry') }}

)

select
    employer_id_hash,
    sector_nic,
    state_code,
    district_code,
    registered_on,
    status,
    size_class
from registrations
where recency = 1
