-- Keys with a wrong check digit, products that are in no master, places that are not registered.
with

event_batches as (

    select * from {{ ref('int_pharma__event_batches') }}

),

batches as (

    select * from {{ ref('int_pharma__batches') }}

),

places as (

    select * from {{ ref('stg_pharma__event_places') }}

),

locations as (

    select * from {{ ref('stg_pharma__locations') }}

),

wrong_keys as (

    select event_key, coalesce(sscc, gtin) as key, cast(null as varchar) as gln
    from {{ ref('stg_pharma__event_items') }}
    where not is_check_digit_ok
    union all
    select event_key, gln, gln
    from places
    where not is_check_digit_ok

),

-- A mistyped GLN is another finding than an unregistered one.
places_of_events as (

    select distinct
        event_batches.event_key,
        event_batches.batch_id,
        event_batches.event_at,
        event_batches.event_on,
        places.gln
    from event_batches
    inner join places on event_batches.event_key = places.event_key
    where places.is_check_digit_ok

),

registrations as (

    select
        places_of_events.event_key,
        places_of_events.batch_id,
        places_of_events.event_at,
        places_of_events.gln,
        count(locations.gln) as registration_count,
        count(case
            when
                locations.is_dated
                and places_of_events.event_on >= coalesce(locations.valid_from, date '0001-01-01')
                and places_of_events.event_on <= coalesce(locations.valid_to, date '9999-12-31')
                then 1
        end) as active_count,
        max(locations.valid_to) as last_valid_to
    from places_of_events
    left join locations on places_of_events.gln = locations.gln
    group by
        places_of_events.event_key, places_of_events.batch_id, places_of_events.event_at,
        places_of_events.gln

),

first_events as (

    select
        *,
        row_number() over (partition by batch_id order by event_at, event_key) as event_number
    from event_batches

)

select
    'key.check_digit' as check_id,
    event_batches.batch_id,
    event_batches.event_key,
    event_batches.event_at,
    wrong_keys.gln,
    'wrong check digit: ' || wrong_keys.key as detail
from event_batches
inner join wrong_keys on event_batches.event_key = wrong_keys.event_key

union all

select
    'product.not_in_master',
    first_events.batch_id,
    first_events.event_key,
    first_events.event_at,
    first_events.place_gln,
    'GTIN not in the product master: ' || batches.gtin
from first_events
inner join batches on first_events.batch_id = batches.batch_id
where first_events.event_number = 1 and not batches.is_product_known

union all

select
    'place.not_active',
    batch_id,
    event_key,
    event_at,
    gln,
    case
        when registration_count = 0 then 'GLN not in the registry: ' || gln
        when last_valid_to is not null
            then 'GLN not active on the day: ' || gln || ', registered to ' || last_valid_to
        else 'GLN not active on the day: ' || gln
    end
from registrations
where active_count = 0
