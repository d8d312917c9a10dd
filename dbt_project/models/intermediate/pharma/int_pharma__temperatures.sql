{{ config(materialized='table') }}

-- What the loggers of an event say about a batch, against the range of its label.
{%- set label_ranges = {'2-8C': [2, 8], 'CRT': [15, 30]} %}

with

event_batches as (

    select * from {{ ref('int_pharma__event_batches') }}

),

batches as (

    select * from {{ ref('int_pharma__batches') }}

),

readings as (

    select
        *,
        coalesce(
            lead(read_at) over (partition by event_key, element_number order by read_at, report_number),
            -- The last reading stands for as long as the one before it.
            read_at + (
                read_at
                - lag(read_at) over (partition by event_key, element_number order by read_at, report_number)
            ),
            read_at
        ) as stands_until
    from {{ ref('stg_pharma__event_readings') }}

),

assessed as (

    select
        event_batches.event_key,
        event_batches.batch_id,
        batches.storage_condition,
        readings.celsius,
        readings.lowest_celsius,
        readings.highest_celsius,
        {{ seconds_between('readings.read_at', 'readings.stands_until') }} as seconds,
        -- Thousandths of a degree, as whole numbers: their sums do not depend on the order.
        cast(round(1000 * case batches.storage_condition
            {%- for condition, bounds in label_ranges.items() %}
            when '{{ condition }}' then greatest(
                readings.highest_celsius - {{ bounds[1] }}, {{ bounds[0] }} - readings.lowest_celsius, 0
            )
            {%- endfor %}
        end) as bigint) as excess_millidegrees
    from event_batches
    inner join batches on event_batches.batch_id = batches.batch_id
    inner join readings on event_batches.event_key = readings.event_key

)

select
    event_key,
    batch_id,
    storage_condition,
    count(*) as reading_count,
    round(min(lowest_celsius), 3) as min_celsius,
    round(max(highest_celsius), 3) as max_celsius,
    {{ mean_kinetic_celsius('celsius') }} as mean_kinetic_celsius,
    count(case when excess_millidegrees > 0 then 1 end) as excursion_reading_count,
    cast(coalesce(sum(case when excess_millidegrees > 0 then seconds end), 0) as bigint)
        as excursion_seconds,
    cast(coalesce(sum(excess_millidegrees * seconds), 0) as bigint)
        as excursion_millidegree_seconds
from assessed
group by event_key, batch_id, storage_condition
