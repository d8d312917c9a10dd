with

features as (

    select * from {{ ref('fct_pharma__batch_features') }}

),

cutoffs as (

    select * from {{ ref('int_pharma__batch_cutoffs') }}
    where inspected_on is not null

)

select
    features.batch_id,
    features.gtin,
    features.lot,
    features.manufacturer_gln,
    features.jurisdiction,
    features.product_class,
    {%- for feature in batch_feature_columns() %}
    features.{{ feature }},
    {%- endfor %}
    cutoffs.is_failed,
    cutoffs.inspected_on,
    cast(features.f_hard_hit_count as double) as incumbent_score,
    features.rule_version
from features
inner join cutoffs on features.batch_id = cutoffs.batch_id
