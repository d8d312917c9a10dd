{% test unique_combination(model, columns) %}
  {#- Fails with each combination of the columns that more than one row has. -#}
  select {{ columns | join(', ') }}, count(*) as row_count
  from {{ model }}
  group by {{ columns | join(', ') }}
  having count(*) > 1
{% endtest %}

{% test holds(model, condition) %}
  {#- Fails with each row for which the condition is false; unknown is not a failure. -#}
  select * from {{ model }} where not ({{ condition }})
{% endtest %}

{% test periods_do_not_overlap(model, keys) %}
  {#- Fails with each pair of rows of one key whose validity periods share a day. -#}
  select earlier.*
  from {{ model }} as earlier
  inner join {{ model }} as later
    on {% for key in keys %}earlier.{{ key }} = later.{{ key }} and {% endfor %}
    earlier.valid_from < later.valid_from
    and coalesce(earlier.valid_to, date '9999-12-31') >= later.valid_from
{% endtest %}
