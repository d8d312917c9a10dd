{{ config(materialized='table') }}

with

records as (

    select
        *,
        row_number() over (
            partition by record_key
            order by block_number desc, tx_number desc, write_number desc
        ) as recency
    from {{ ref('stg_wages__ledger_records') }}
    -- Wage records have composite keys of the type "wage"; an unreadable value has only its key.
    where doc_type = 'wage' or (doc_type is null and record_key like chr(0) || 'wage' || chr(0) || '%')
        or is_delete

),

latest as (

    select
        *,
        coalesce(
            -- The key names the record: two records cannot share an id.
            record_key = chr(0) || 'wage' || chr(0) || record_id || chr(0)
            and worker_id_hash is not null
            and employer_id_hash is not null
            and amount_paise is not null
            and (amount_paise > 0 or reverses_record_id is not null)
            and currency = 'INR'
            and period_from <= period_to
            and (days_worked > 0 or reverses_record_id is not null)
            and paid_at is not null
            and rail in ('UPI', 'AEPS', 'NEFT', 'CASH_DECLARED')
            and sector_nic is not null
            and skill in ('unskilled', 'semi_skilled', 'skilled', 'highly_skilled')
            and state_code is not null
            and district_code is not null,
            false
        ) as is_well_formed
    from records
    where recency = 1 and not is_delete

)

select
    case when is_well_formed then record_id else replace(record_key, chr(0), '/') end as record_id,
    is_well_formed,
    block_number,
    tx_number,
    write_number,
    worker_id_hash,
    employer_id_hash,
    amount_paise,
    period_from,
    period_to,
    days_worked,
    paid_at,
    rail,
    payment_ref_hash,
    job_type_nco,
    sector_nic,
    skill,
    state_code,
    district_code,
    policy_version,
    document_hash,
    reverses_record_id,
    cast(date_trunc('month', period_from) as date) as month
from latest
