-- A rate without a date, or one that is not verified, never assesses anybody.
select facts.rule_version
from {{ ref('fct_wages__worker_month') }} as facts
left join {{ ref('int_wages__notified_rates') }} as rates
    on facts.rule_version = rates.rule_version
where
    facts.is_assessed
    and (rates.rule_version is null or rates.valid_from is null)
