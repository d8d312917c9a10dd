with

mean_consumption as (

    select
        *,
        cast(round(mpce * {{ var('line_share_percent') }}) as bigint) as line_paise
    from {{ ref('hces_mpce') }}
    where survey_round = '{{ var("line_survey_round") }}'

)

select
    state_code,
    residence,
    line_paise,
    case when state_code is null then 'all_india' else 'state' end as line_basis,
    status as line_status
from mean_consumption
