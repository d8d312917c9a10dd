with

products as (

    select
        *,
        row_number() over (partition by gtin order by jurisdiction, manufacturer_gln) as precedence
    from {{ source('pharma', 'raw_pharma__product_master') }}

)

select
    gtin,
    product_name,
    generic_name,
    product_class,
    manufacturer_gln,
    jurisdiction,
    storage_condition,
    hsn,
    is_schedule_h2
from products
where precedence = 1
