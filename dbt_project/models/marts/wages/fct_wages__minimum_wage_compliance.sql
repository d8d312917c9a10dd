with

worker_months as (

    select * from {{ ref('fct_wages__worker_month') }}

),

citations as (

    select
        rule_version,
        state_code,
        max(citation) as citation
    from {{ ref('int_wages__notified_rates') }}
    group by rule_version, state_code

),

districts as (

    select
        state_code,
        district_code,
        month,
        count(*) as worker_month_count,
        count(case when is_assessed then 1 end) as assessed_count,
        count(case when not is_assessed then 1 end) as not_assessed_count,
        count(case when is_below_notified_rate then 1 end) as below_count,
        sum(coalesce(shortfall_paise, 0)) as shortfall_paise,
        min(notified_daily_rate_paise) as lowest_notified_daily_rate_paise,
        max(notified_daily_rate_paise) as highest_notified_daily_rate_paise,
        max(case when is_assessed then rule_version end) as rule_version
    from worker_months
    group by state_code, district_code, month

)

select
    districts.state_code,
    districts.district_code,
    districts.month,
    districts.worker_month_count,
    districts.assessed_count,
    districts.not_assessed_count,
    districts.below_count,
    {{ ratio('districts.below_count', 'districts.assessed_count') }} as below_share,
    cast(districts.shortfall_paise as bigint) as shortfall_paise,
    districts.lowest_notified_daily_rate_paise,
    districts.highest_notified_daily_rate_paise,
    coalesce(districts.rule_version, {{ not_assessed() }}) as rule_version,
    citations.citation as rule_citation
from districts
left join citations
    on
        districts.rule_version = citations.rule_version
        and districts.state_code = citations.state_code
