{#- Figures that come out the same on every engine and at every number of threads. -#}

{#- A share or ratio of whole numbers, rounded; null when the divisor is 0. Sums of floats depend on
    their order, so sums stay whole numbers until this last step. -#}
{% macro ratio(dividend, divisor, digits=6) -%}
  round(cast({{ dividend }} as double) / nullif({{ divisor }}, 0), {{ digits }})
{%- endmacro %}

{#- Sample standard deviation of whole numbers from their count, sum and sum of squares; null below
    two values. -#}
{% macro standard_deviation(count, total, total_of_squares) -%}
  case when {{ count }} > 1 then round(sqrt(
    cast({{ count }} * {{ total_of_squares }} - {{ total }} * {{ total }} as double)
    / ({{ count }} * ({{ count }} - 1))
  ), 2) end
{%- endmacro %}

{#- A value moved to the nearest bound when it lies outside. -#}
{% macro clipped(value, bounds) -%}
  least(greatest({{ value }}, {{ bounds[0] }}), {{ bounds[1] }})
{%- endmacro %}

{#- The rule version of a group of rows: the latest that assessed any of them. -#}
{% macro not_assessed() -%}'notified-wage/not-assessed'{%- endmacro %}
