-- Every worker-month is bounded to exactly one row: none is lost, none is doubled. A second row
-- would double a worker's influence on a release.
select
    coalesce(facts.worker_id_hash, bounded.worker_id_hash) as worker_id_hash,
    coalesce(facts.month, bounded.month) as month
from {{ ref('fct_wages__worker_month') }} as facts
full outer join {{ ref('rel_wages__worker_month_bounded') }} as bounded
    on
        facts.worker_id_hash = bounded.worker_id_hash
        and facts.month = bounded.month
where facts.worker_id_hash is null or bounded.worker_id_hash is null
