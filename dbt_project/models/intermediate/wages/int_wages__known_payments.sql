with

payments as (

    select * from {{ ref('int_wages__payments') }}

)

select *
from payments
where
    known_on <= date '{{ var("feature_cutoff_on") }}'
    and month <= date '{{ var("feature_cutoff_on") }}'
    -- The first of the twelve months that end with the cutoff's month.
    and month > date '{{ var("feature_cutoff_on") }}' - interval '12 months'
    and (
        exclusion_reason is null
        -- What was reversed after the cutoff still stood at the cutoff.
        or (
            exclusion_reason = 'payment.reversed'
            and reversed_on > date '{{ var("feature_cutoff_on") }}'
        )
    )
