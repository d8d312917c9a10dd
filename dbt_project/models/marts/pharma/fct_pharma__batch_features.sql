{%- set findings = {
  'order': 'life.order', 'after_end': 'life.after_end', 'expiry': 'expiry.supplied',
  'destination': 'destination.other_market', 'key': 'key.check_digit',
} -%}
{%- set finding_groups = {'serial': ['serial'], 'receipt': ['shipment', 'receipt'], 'temperature': ['temperature']} %}

with

batches as (

    select * from {{ ref('int_pharma__batches') }}

),

cutoffs as (

    select * from {{ ref('int_pharma__batch_cutoffs') }}

),

hits as (

    select
        rule_hits.batch_id,
        count(case when rule_hits.is_hard then 1 end) as hard_hit_count,
        -- Two rules on one event are one finding.
        {%- for name, check_id in findings.items() %}
        count(distinct case when rule_hits.check_id = '{{ check_id }}' then rule_hits.event_key end)
            as {{ name }}_finding_count,
        {%- endfor %}
        {%- for name, groups in finding_groups.items() %}
        count(distinct case
            when rule_hits.check_group in ('{{ groups | join("', '") }}') then rule_hits.event_key
        end) as {{ name }}_finding_count,
        {%- endfor %}
        count(distinct case when rule_hits.check_group = 'place' then rule_hits.gln end)
            as unregistered_place_count
    from {{ ref('int_pharma__rule_hits') }} as rule_hits
    inner join cutoffs
        on rule_hits.batch_id = cutoffs.batch_id and rule_hits.known_on < cutoffs.as_of_on
    group by rule_hits.batch_id

),

shipments as (

    select
        shipments.*,
        {{ utc_date('shipments.received_at') }} < cutoffs.as_of_on as is_known_received
    from {{ ref('int_pharma__shipments') }} as shipments
    inner join cutoffs
        on shipments.batch_id = cutoffs.batch_id and shipments.shipped_on < cutoffs.as_of_on

),

ways as (

    select
        shipments.batch_id,
        count(*) as shipment_count,
        count(case when shipments.is_known_received then 1 end) as received_count,
        max(case
            when shipments.is_known_received and shipments.received_at >= shipments.shipped_at
                then {{ seconds_between('shipments.shipped_at', 'shipments.received_at') }}
        end) as longest_transit_seconds,
        min({{ days_between('shipments.shipped_on', 'batches.expires_on') }})
            as days_to_expiry_at_shipping
    from shipments
    inner join batches on shipments.batch_id = batches.batch_id
    group by shipments.batch_id

),

temperatures as (

    select
        temperatures.batch_id,
        max(temperatures.mean_kinetic_celsius) as mean_kinetic_celsius,
        sum(temperatures.excursion_seconds) as excursion_seconds,
        sum(temperatures.excursion_millidegree_seconds) as excursion_millidegree_seconds
    from {{ ref('int_pharma__temperatures') }} as temperatures
    inner join {{ ref('int_pharma__event_batches') }} as event_batches
        on
            temperatures.event_key = event_batches.event_key
            and temperatures.batch_id = event_batches.batch_id
    inner join cutoffs
        on
            temperatures.batch_id = cutoffs.batch_id
            and event_batches.event_on < cutoffs.as_of_on
    group by temperatures.batch_id

),

histories as (

    select * from {{ ref('int_pharma__firm_history') }}

),

versions as (

    select max(rule_version) as rule_version from {{ ref('int_pharma__rules') }}

)

select
    batches.batch_id,
    batches.gtin,
    batches.lot,
    batches.manufacturer_gln,
    distributors.gln as distributor_gln,
    batches.jurisdiction,
    batches.product_class,
    cutoffs.as_of_on,
    cast(case when batches.is_cold_chain then 1 else 0 end as bigint) as f_is_cold_chain,
    batches.unit_count as f_unit_count,
    coalesce(ways.shipment_count, 0) as f_shipment_count,
    {{ ratio('ways.shipment_count - ways.received_count', 'ways.shipment_count') }}
        as f_unreceived_share,
    {{ ratio('ways.longest_transit_seconds', '3600', 2) }} as f_longest_transit_hours,
    cast(ways.days_to_expiry_at_shipping as bigint) as f_days_to_expiry_at_shipping,
    cast(case when temperatures.batch_id is not null then 1 else 0 end as bigint)
        as f_has_temperature_record,
    coalesce({{ ratio('temperatures.excursion_millidegree_seconds', '3600000', 3) }}, 0)
        as f_excursion_degree_hours,
    coalesce({{ ratio('temperatures.excursion_seconds', '3600', 2) }}, 0) as f_excursion_hours,
    temperatures.mean_kinetic_celsius as f_mean_kinetic_celsius,
    coalesce(hits.hard_hit_count, 0) as f_hard_hit_count,
    coalesce(hits.order_finding_count, 0) as f_order_finding_count,
    coalesce(hits.after_end_finding_count, 0) as f_after_end_finding_count,
    coalesce(hits.serial_finding_count, 0) as f_serial_finding_count,
    coalesce(hits.unregistered_place_count, 0) as f_unregistered_place_count,
    coalesce(hits.key_finding_count, 0) as f_key_finding_count,
    coalesce(hits.expiry_finding_count, 0) as f_expiry_finding_count,
    coalesce(hits.destination_finding_count, 0) as f_destination_finding_count,
    coalesce(hits.receipt_finding_count, 0) as f_receipt_finding_count,
    coalesce(hits.temperature_finding_count, 0) as f_temperature_finding_count,
    coalesce(manufacturers.batch_count, 0) as f_manufacturer_earlier_batch_count,
    manufacturers.hit_share as f_manufacturer_earlier_hit_share,
    manufacturers.failed_share as f_manufacturer_earlier_failed_share,
    coalesce(distributors.batch_count, 0) as f_distributor_earlier_batch_count,
    distributors.hit_share as f_distributor_earlier_hit_share,
    distributors.failed_share as f_distributor_earlier_failed_share,
    versions.rule_version
from batches
inner join cutoffs on batches.batch_id = cutoffs.batch_id
cross join versions
left join hits on batches.batch_id = hits.batch_id
left join ways on batches.batch_id = ways.batch_id
left join temperatures on batches.batch_id = temperatures.batch_id
left join histories as manufacturers
    on batches.batch_id = manufacturers.batch_id and manufacturers.partner = 'manufacturer'
left join histories as distributors
    on batches.batch_id = distributors.batch_id and distributors.partner = 'distributor'
