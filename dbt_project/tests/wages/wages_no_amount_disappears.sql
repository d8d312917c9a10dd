-- Money is conserved: what counts in worker-months and what counts for employers is one sum, and
-- every record that counts for neither is in the exceptions with its reason.
with

counted as (

    select sum(wage_paise) as paise from {{ ref('fct_wages__worker_month') }}

),

paid as (

    select sum(wage_paise) as paise from {{ ref('fct_wages__employer_month') }}

),

excluded as (

    select count(*) as records from {{ ref('fct_wages__payment_exceptions') }}
    where action = 'excluded'

),

recorded as (

    select count(*) as records from {{ ref('int_wages__recorded_payments') }}

),

counted_payments as (

    select coalesce(sum(payment_count), 0) as records from {{ ref('fct_wages__worker_month') }}

)

select
    counted.paise as counted_paise,
    paid.paise as paid_paise,
    excluded.records as excluded_records,
    recorded.records as recorded_records
from counted, paid, excluded, recorded, counted_payments
where
    counted.paise is distinct from paid.paise
    or counted_payments.records + excluded.records <> recorded.records
