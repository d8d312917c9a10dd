{{ config(materialized='table') }}

with

elements as (

    select
        event_key,
        event_at,
        {{ exploded('document."sensorElementList"') }}
    from {{ ref('stg_pharma__events') }}

),

reports as (

    select
        event_key,
        event_at,
        position as element_number,
        item."sensorMetadata" as metadata,
        {{ exploded('item."sensorReport"') }}
    from elements

),

readings as (

    select
        event_key,
        cast(element_number as integer) as element_number,
        cast(position as integer) as report_number,
        coalesce(
            {{ utc_timestamp('item.time') }},
            {{ utc_timestamp('metadata.time') }},
            {{ utc_timestamp('metadata."endTime"') }},
            event_at
        ) as read_at,
        {{ celsius('coalesce(item.value, item."meanValue", (item."minValue" + item."maxValue") / 2)', 'item.uom') }}
            as celsius,
        {{ celsius('coalesce(item."minValue", item.value, item."meanValue")', 'item.uom') }}
            as lowest_celsius,
        {{ celsius('coalesce(item."maxValue", item.value, item."meanValue")', 'item.uom') }}
            as highest_celsius
    from reports
    where {{ regex_group('item.type', '([A-Za-z]+)$', 1) }} = 'Temperature'

)

select * from readings
-- Below absolute zero or above what any lorry reaches a sensor is broken, not warm.
where celsius between -200 and 100
