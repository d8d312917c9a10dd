with

audits as (

    select
        *,
        row_number() over (partition by worker_id_hash order by audited_on desc, audit_id) as recency
    from {{ source('wages', 'raw_wages__income_audit') }}

)

select
    audit_id,
    worker_id_hash,
    household_id_hash,
    household_size,
    verified_monthly_income_paise,
    household_monthly_consumption_paise,
    audited_on,
    cast(design_weight as double) as design_weight
from audits
where recency = 1
