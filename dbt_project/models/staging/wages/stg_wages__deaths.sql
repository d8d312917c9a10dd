select
    worker_id_hash,
    min(died_on) as died_on
from {{ source('wages', 'raw_wages__death_register') }}
group by worker_id_hash
