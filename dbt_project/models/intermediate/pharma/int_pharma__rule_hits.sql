{{ config(materialized='table') }}

-- What the checks found, turned into hits of the rules in force there and then.
with

findings as (

    select
        check_id, batch_id, event_key, {{ utc_date('event_at') }} as event_on, gln, detail,
        cast(null as double) as hours_apart
    from {{ ref('int_pharma__key_checks') }}
    union all
    select check_id, batch_id, event_key, {{ utc_date('event_at') }}, gln, detail, hours_apart
    from {{ ref('int_pharma__life_checks') }}
    union all
    select check_id, batch_id, event_key, {{ utc_date('event_at') }}, gln, detail, null
    from {{ ref('int_pharma__shipment_checks') }}
    union all
    select check_id, batch_id, event_key, {{ utc_date('event_at') }}, gln, detail, null
    from {{ ref('int_pharma__temperature_checks') }}
    union all
    select check_id, batch_id, event_key, event_on, gln, detail, null
    from {{ ref('int_pharma__invoice_checks') }}

),

rules as (

    select * from {{ ref('int_pharma__rules') }}

),

batches as (

    select * from {{ ref('int_pharma__batches') }}

),

-- The last day of which there is any event: what is missing by then is missing.
knowledge as (

    select max(event_on) as known_to from {{ ref('stg_pharma__events') }}

),

hits as (

    select
        findings.batch_id,
        rules.rule_id,
        findings.event_key,
        findings.check_id,
        findings.event_on,
        cast(findings.event_on + rules.wait_days as date) as known_on,
        findings.gln,
        findings.detail,
        row_number() over (
            partition by findings.batch_id, rules.rule_id, findings.event_key
            order by findings.check_id, findings.gln, findings.detail
        ) as precedence
    from findings
    inner join batches on findings.batch_id = batches.batch_id
    cross join knowledge
    inner join rules
        on
            {{ has_word('rules.checks', 'findings.check_id') }}
            and (
                rules.rule_jurisdiction = 'all'
                or {{ has_word('rules.rule_jurisdiction', 'batches.jurisdiction') }}
                or {{ has_word('batches.rule_jurisdictions', 'rules.rule_jurisdiction') }}
            )
            and findings.event_on between rules.valid_from and rules.valid_to
            and (rules.within_hours is null or findings.hours_apart < rules.within_hours)
            and findings.event_on + rules.wait_days <= knowledge.known_to

)

select
    hits.batch_id,
    hits.rule_id,
    hits.event_key,
    hits.check_id,
    {{ regex_group('hits.check_id', '^([a-z]+)', 1) }} as check_group,
    hits.event_on,
    hits.known_on,
    hits.gln,
    hits.detail,
    rules.severity,
    rules.is_hard,
    rules.citation,
    rules.rule_status,
    rules.rule_version
from hits
inner join rules on hits.rule_id = rules.rule_id
where hits.precedence = 1
