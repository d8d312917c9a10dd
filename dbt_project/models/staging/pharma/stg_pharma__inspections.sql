with

inspections as (

    select
        *,
        row_number() over (partition by gtin, lot order by inspected_on, inspection_id)
            as inspection_number
    from {{ source('pharma', 'raw_pharma__inspections') }}

)

select
    inspection_id,
    gtin || '/' || lot as batch_id,
    gtin,
    lot,
    inspected_on,
    jurisdiction,
    inspector_type,
    outcome = 'fail' as is_failed,
    finding,
    cast(inspection_number as integer) as inspection_number
from inspections
