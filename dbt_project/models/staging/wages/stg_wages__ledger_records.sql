{{ config(materialized='table') }}

{%- set fields = [
  'docType', 'recordId', 'workerIdHash', 'employerIdHash', 'amountPaise', 'currency', 'periodFrom',
  'periodTo', 'daysWorked', 'paidAt', 'rail', 'paymentRefHash', 'jobType', 'sector', 'skill',
  'stateCode', 'districtCode', 'policyVersion', 'documentHash', 'reverses'
] %}

with

committed_writes as (

    select *
    from {{ source('fabric', 'raw_fabric__writes') }}
    where
        channel = '{{ var("wage_channel") }}'
        and namespace = '{{ var("wage_namespace") }}'
        and collection is null
        and is_committed

),

parsed as (

    select
        key,
        block_number,
        tx_number,
        write_number,
        tx_id,
        is_delete,
        {{ json_document('value', fields) }} as document
    from committed_writes

)

select
    key as record_key,
    block_number,
    tx_number,
    write_number,
    tx_id,
    is_delete,
    document.docType as doc_type,
    document.recordId as record_id,
    document.workerIdHash as worker_id_hash,
    document.employerIdHash as employer_id_hash,
    {{ whole_number('document.amountPaise') }} as amount_paise,
    document.currency as currency,
    {{ iso_date('document.periodFrom') }} as period_from,
    {{ iso_date('document.periodTo') }} as period_to,
    {{ whole_number('document.daysWorked', 'integer') }} as days_worked,
    {{ utc_timestamp('document.paidAt') }} as paid_at,
    document.rail as rail,
    document.paymentRefHash as payment_ref_hash,
    document.jobType as job_type_nco,
    document.sector as sector_nic,
    document.skill as skill,
    {{ whole_number('document.stateCode', 'integer') }} as state_code,
    {{ whole_number('document.districtCode', 'integer') }} as district_code,
    document.policyVersion as policy_version,
    document.documentHash as document_hash,
    document.reverses as reverses_record_id
from parsed
{{ without_erased('document.workerIdHash') }}
