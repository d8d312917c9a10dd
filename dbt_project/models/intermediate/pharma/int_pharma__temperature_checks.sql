-- Excursions from the label's range. The mean kinetic temperature is that of the recorded way.
{%- set most_allowed = {'celsius': 40, 'hours': 24, 'mean_kinetic_celsius': 25} %}

with

temperatures as (

    select * from {{ ref('int_pharma__temperatures') }}

),

event_batches as (

    select * from {{ ref('int_pharma__event_batches') }}

),

described as (

    select
        temperatures.*,
        event_batches.event_at,
        event_batches.place_gln,
        'readings from ' || round(min_celsius, 1) || ' to ' || round(max_celsius, 1)
            || ' degrees Celsius, ' || {{ whole_division('excursion_seconds', 3600) }}
            || ' hours outside, mean kinetic temperature ' || round(mean_kinetic_celsius, 1) as detail
    from temperatures
    inner join event_batches
        on
            temperatures.event_key = event_batches.event_key
            and temperatures.batch_id = event_batches.batch_id
    where temperatures.excursion_reading_count > 0

)

select
    'temperature.cold' as check_id,
    batch_id,
    event_key,
    event_at,
    place_gln as gln,
    detail
from described
where storage_condition = '2-8C'

union all

select
    'temperature.room',
    batch_id,
    event_key,
    event_at,
    place_gln,
    detail
from described
where
    storage_condition = 'CRT'
    and (
        min_celsius < 15
        or max_celsius > {{ most_allowed.celsius }}
        -- A warmer spell is allowed when it is short and the mean kinetic temperature stays low.
        or excursion_seconds >= {{ most_allowed.hours }} * 3600
        or mean_kinetic_celsius > {{ most_allowed.mean_kinetic_celsius }}
    )
