{{ config(materialized='table') }}

-- What was known of a batch's manufacturer and first distributor on the day before its first event:
-- earlier batches only, so that no batch is in its own history.
with

batches as (

    select * from {{ ref('int_pharma__batches') }}

),

cutoffs as (

    select * from {{ ref('int_pharma__batch_cutoffs') }}

),

first_shipments as (

    select
        batch_id,
        to_gln,
        row_number() over (partition by batch_id order by shipped_at, shipment_id) as number
    from {{ ref('int_pharma__shipments') }}

),

partners as (

    select cutoffs.*, 'manufacturer' as partner, batches.manufacturer_gln as gln
    from cutoffs
    inner join batches on cutoffs.batch_id = batches.batch_id
    union all
    select cutoffs.*, 'distributor', first_shipments.to_gln
    from cutoffs
    inner join first_shipments
        on cutoffs.batch_id = first_shipments.batch_id and first_shipments.number = 1

),

first_hits as (

    select batch_id, min(known_on) as known_on
    from {{ ref('int_pharma__rule_hits') }}
    where is_hard
    group by batch_id

),

days as (

    select partner, gln, started_on as day, 1 as batches, 0 as hits, 0 as inspections, 0 as failures
    from partners
    union all
    select partners.partner, partners.gln, first_hits.known_on, 0, 1, 0, 0
    from partners
    inner join first_hits on partners.batch_id = first_hits.batch_id
    union all
    select partner, gln, inspected_on, 0, 0, 1, case when is_failed then 1 else 0 end
    from partners
    where inspected_on is not null

),

totals as (

    select
        partner,
        gln,
        day,
        sum(batches) as batches,
        sum(hits) as hits,
        sum(inspections) as inspections,
        sum(failures) as failures
    from days
    group by partner, gln, day

),

histories as (

    select
        partner,
        gln,
        day,
        sum(batches) over before_the_day as batches,
        sum(hits) over before_the_day as hits,
        sum(inspections) over before_the_day as inspections,
        sum(failures) over before_the_day as failures
    from totals
    window before_the_day as (
        partition by partner, gln order by day rows between unbounded preceding and 1 preceding
    )

)

select
    partners.batch_id,
    partners.partner,
    partners.gln,
    cast(coalesce(histories.batches, 0) as bigint) as batch_count,
    {{ ratio('histories.hits', 'histories.batches') }} as hit_share,
    {{ ratio('histories.failures', 'histories.inspections') }} as failed_share
from partners
inner join histories
    on
        partners.partner = histories.partner
        and partners.gln = histories.gln
        and partners.started_on = histories.day
