-- An inspected batch whose features count a hit that was known only on its inspection's day or later.
with

known_hits as (

    select
        exceptions.batch_id,
        count(case when exceptions.severity in ('block', 'major') then 1 end) as hit_count
    from {{ ref('fct_pharma__rule_exceptions') }} as exceptions
    inner join {{ ref('fct_pharma__batch_training') }} as training
        on
            exceptions.batch_id = training.batch_id
            and exceptions.known_on < training.inspected_on
    group by exceptions.batch_id

)

select
    training.batch_id,
    training.f_hard_hit_count,
    known_hits.hit_count
from {{ ref('fct_pharma__batch_training') }} as training
left join known_hits on training.batch_id = known_hits.batch_id
where training.f_hard_hit_count <> coalesce(known_hits.hit_count, 0)
