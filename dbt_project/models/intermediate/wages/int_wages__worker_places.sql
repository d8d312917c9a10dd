with

payments as (

    select * from {{ ref('int_wages__known_payments') }}

),

district_totals as (

    select
        worker_id_hash,
        state_code,
        district_code,
        row_number() over (
            partition by worker_id_hash
            order by sum(amount_paise) desc, {{ tie_hash(['worker_id_hash', 'district_code']) }}
        ) as precedence
    from payments
    group by worker_id_hash, state_code, district_code

),

employer_totals as (

    select
        worker_id_hash,
        employer_id_hash,
        row_number() over (
            partition by worker_id_hash
            order by sum(amount_paise) desc, {{ tie_hash(['worker_id_hash', 'employer_id_hash']) }}
        ) as precedence
    from payments
    group by worker_id_hash, employer_id_hash

)

select
    district_totals.worker_id_hash,
    district_totals.state_code,
    district_totals.district_code,
    employer_totals.employer_id_hash as main_employer_id_hash
from district_totals
inner join employer_totals
    on
        district_totals.worker_id_hash = employer_totals.worker_id_hash
        and employer_totals.precedence = 1
where district_totals.precedence = 1
