-- The day before which something must have been known to count for a batch: its first inspection,
-- for the others the day after the last event of all.
with

batches as (

    select * from {{ ref('int_pharma__batches') }}

),

inspections as (

    select * from {{ ref('stg_pharma__inspections') }}
    where inspection_number = 1

),

knowledge as (

    select max(event_on) as known_to from {{ ref('stg_pharma__events') }}

)

select
    batches.batch_id,
    {{ utc_date('batches.first_event_at') }} as started_on,
    coalesce(inspections.inspected_on, cast(knowledge.known_to + 1 as date)) as as_of_on,
    inspections.inspected_on,
    inspections.is_failed
from batches
cross join knowledge
left join inspections on batches.batch_id = inspections.batch_id
-- What no event was known of cannot be ranked.
where
    {{ utc_date('batches.first_event_at') }}
    < coalesce(inspections.inspected_on, cast(knowledge.known_to + 1 as date))
