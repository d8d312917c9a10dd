with

public_works as (

    select
        state_code,
        'unskilled' as skill,
        cast(rate * 100 as bigint) as daily_rate_paise,
        valid_from,
        valid_to,
        'notified-wage/' || rule_id as rule_version,
        source as citation
    from {{ ref('mgnrega_wages') }}
    where
        status = 'VERIFIED'
        and scope = 'whole_state'
        and valid_from is not null

),

minimum_wages as (

    select
        state_code,
        replace(replace(skill, '-', '_'), ' ', '_') as skill,
        cast(round(inr_per_day * 100) as bigint) as daily_rate_paise,
        valid_from,
        valid_to,
        'notified-wage/minimum-wage-' || cast(valid_from as varchar) as rule_version,
        source as citation
    from {{ ref('minimum_wages') }}
    where
        status = 'VERIFIED'
        and state_code is not null
        and zone is null
        and inr_per_day is not null
        and valid_from is not null

)

select * from public_works
union all
select * from minimum_wages
-- Unskilled work is assessed against the public works rate alone: one rule for one wage.
where skill in ('semi_skilled', 'skilled', 'highly_skilled')
