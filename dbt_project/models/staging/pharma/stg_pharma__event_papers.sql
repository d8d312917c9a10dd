with

papers as (

    select
        event_key,
        {{ exploded('document."bizTransactionList"') }}
    from {{ ref('stg_pharma__events') }}

)

select
    event_key,
    cast(position as integer) as position,
    {{ regex_group('item.type', '([a-z]+)$', 1) }} as paper_type,
    item."bizTransaction" as paper_id
from papers
where item."bizTransaction" is not null
