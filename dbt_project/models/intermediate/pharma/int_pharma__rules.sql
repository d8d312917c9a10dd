-- Rules that the models check, with one version for the set of them.
with

rules as (

    select * from {{ ref('pharma_rules') }}

),

versions as (

    select {{ digest_of_rows("concat_ws('|', rule_id, jurisdiction, severity, coalesce(cast(valid_from as varchar), ''), coalesce(cast(valid_to as varchar), ''), coalesce(checks, ''), coalesce(cast(wait_days as varchar), ''), coalesce(cast(within_hours as varchar), ''))") }}
        as digest
    from rules

)

select
    rules.rule_id,
    rules.jurisdiction as rule_jurisdiction,
    rules.severity,
    rules.severity in ('block', 'major') as is_hard,
    rules.citation,
    rules.status as rule_status,
    rules.source,
    coalesce(rules.valid_from, date '0001-01-01') as valid_from,
    coalesce(rules.valid_to, date '9999-12-31') as valid_to,
    rules.checks,
    coalesce(rules.wait_days, 0) as wait_days,
    rules.within_hours,
    'pharma-rules/' || substring(versions.digest, 1, 12) as rule_version
from rules
cross join versions
where rules.checks is not null
