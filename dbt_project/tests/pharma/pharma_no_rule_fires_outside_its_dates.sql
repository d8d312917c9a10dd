-- A hit of a rule that was not in force on the day of the event, or not in the batch's market.
select
    hits.batch_id,
    hits.rule_id,
    hits.event_on,
    rules.valid_from,
    rules.valid_to
from {{ ref('fct_pharma__rule_exceptions') }} as hits
inner join {{ ref('pharma_rules') }} as rules on hits.rule_id = rules.rule_id
where
    hits.event_on < rules.valid_from
    or hits.event_on > rules.valid_to
    or (
        rules.jurisdiction not in ('all', 'IN-export')
        and not {{ has_word('rules.jurisdiction', 'hits.jurisdiction') }}
    )
    or (rules.jurisdiction = 'IN-export' and hits.jurisdiction = 'IN')
