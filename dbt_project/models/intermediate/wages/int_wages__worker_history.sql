{%- set sections = {
  'agriculture': ['01', '02', '03'],
  'manufacturing': ['10', '11', '12', '13', '14', '15', '16', '17', '18', '19', '20', '21', '22',
                    '23', '24', '25', '26', '27', '28', '29', '30', '31', '32', '33'],
  'construction': ['41', '42', '43'],
  'households': ['97', '98'],
} %}

with

payments as (

    select * from {{ ref('int_wages__known_payments') }}

)

select
    worker_id_hash,
    month,
    -- 0 for the cutoff's month, 11 for the first of the window.
    date_diff('month', month, date '{{ var("feature_cutoff_on") }}') as months_ago,
    sum(amount_paise) as wage_paise,
    sum(days_worked) as days_worked,
    count(*) as payment_count,
    count(case when amount_paise % (5000 * days_worked) = 0 then 1 end) as round_payment_count,
    count(case when is_posted_late then 1 end) as late_payment_count,
    sum(case when rail = 'CASH_DECLARED' then amount_paise else 0 end) as cash_paise,
    sum(case when skill = 'unskilled' then amount_paise else 0 end) as unskilled_paise
    {%- for section, divisions in sections.items() %},
    sum(case when sector_nic in ('{{ divisions | join("', '") }}') then amount_paise else 0 end)
        as {{ section }}_paise
    {%- endfor %}
from payments
group by worker_id_hash, month
