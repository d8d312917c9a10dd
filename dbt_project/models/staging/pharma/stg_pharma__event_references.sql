{{ config(materialized='table') }}

{%- set item_lists = {
  'epc': 'epcList', 'child': 'childEPCs', 'input': 'inputEPCList', 'output': 'outputEPCList',
} -%}
{%- set quantity_lists = {
  'epc': 'quantityList', 'child': 'childQuantityList', 'input': 'inputQuantityList',
  'output': 'outputQuantityList',
} -%}
{%- set party_lists = {'source': 'sourceList', 'destination': 'destinationList'} -%}

with

events as (

    select event_key, document from {{ ref('stg_pharma__events') }}

),

items as (
    {% for role, list in item_lists.items() %}
    select event_key, '{{ role }}' as role, {{ exploded('document."' ~ list ~ '"') }}
    from events
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}

),

quantities as (
    {% for role, list in quantity_lists.items() %}
    select event_key, '{{ role }}' as role, {{ exploded('document."' ~ list ~ '"') }}
    from events
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}

),
{% for role, list in party_lists.items() %}
{{ role }}s as (

    select event_key, {{ exploded('document."' ~ list ~ '"') }}
    from events

),
{% endfor %}
all_references as (

    select event_key, role, position, item as uri, null as quantity, null as uom, null as party_type
    from items
    union all
    select event_key, role, position, item."epcClass", item.quantity, item.uom, null
    from quantities
    union all
    select event_key, 'parent', 1, document."parentID", null, null, null
    from events
    union all
    select event_key, 'read_point', 1, document."readPoint".id, null, null, null
    from events
    union all
    select event_key, 'biz_location', 1, document."bizLocation".id, null, null, null
    from events
    {%- for role in party_lists %}
    union all
    select event_key, '{{ role }}', position, item.{{ role }}, null, null, item.type
    from {{ role }}s
    {%- endfor %}

)

select
    event_key,
    role,
    cast(position as integer) as position,
    uri,
    -- Amounts by weight or volume are not packs.
    case when uom is null then cast(round(quantity) as bigint) end as unit_count,
    party_type
from all_references
where uri is not null
