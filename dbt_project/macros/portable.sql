{#- Functions that engines spell differently. Models call these; an engine without an implementation
    is refused at compile time instead of failing in the middle of a build. -#}

{% macro no_implementation(name) %}
  {{ exceptions.raise_compiler_error(
      "macro " ~ name ~ " has no implementation for " ~ target.type ~
      ": add " ~ target.type ~ "__" ~ name ~ " to dbt_project/macros/portable.sql") }}
{% endmacro %}

{#- A JSON document's fields as a struct of text columns: parsed once, unreadable bytes give null.
    Text, because a lenient cast would turn 1.5 paise into 2. -#}
{% macro json_document(bytes, fields) %}
  {{ return(adapter.dispatch('json_document', 'tracient')(bytes, fields)) }}
{% endmacro %}

{% macro default__json_document(bytes, fields) %}{{ no_implementation('json_document') }}{% endmacro %}

{% macro duckdb__json_document(bytes, fields) -%}
  try(from_json(try(decode({{ bytes }})), '{ {%- for field in fields -%}
    "{{ field }}":"VARCHAR"{{ "," if not loop.last }}
  {%- endfor -%} }'))
{%- endmacro %}

{#- Text to a type, null where the text is not exactly of that form. -#}
{% macro whole_number(text, type='bigint') %}
  {{ return(adapter.dispatch('whole_number', 'tracient')(text, type)) }}
{% endmacro %}

{% macro default__whole_number(text, type) %}{{ no_implementation('whole_number') }}{% endmacro %}

{% macro duckdb__whole_number(text, type) -%}
  case when regexp_full_match({{ text }}, '-?[0-9]{1,18}') then try_cast({{ text }} as {{ type }}) end
{%- endmacro %}

{% macro iso_date(text) %}
  {{ return(adapter.dispatch('iso_date', 'tracient')(text)) }}
{% endmacro %}

{% macro default__iso_date(text) %}{{ no_implementation('iso_date') }}{% endmacro %}

{% macro duckdb__iso_date(text) -%}
  case
    when regexp_full_match({{ text }}, '[0-9]{4}-[0-9]{2}-[0-9]{2}') then try_cast({{ text }} as date)
  end
{%- endmacro %}

{% macro utc_timestamp(text) %}
  {{ return(adapter.dispatch('utc_timestamp', 'tracient')(text)) }}
{% endmacro %}

{% macro default__utc_timestamp(text) %}{{ no_implementation('utc_timestamp') }}{% endmacro %}

{% macro duckdb__utc_timestamp(text) -%}
  try_cast({{ text }} as timestamp with time zone)
{%- endmacro %}

{#- The date in UTC of a point in time. -#}
{% macro utc_date(timestamp) %}
  {{ return(adapter.dispatch('utc_date', 'tracient')(timestamp)) }}
{% endmacro %}

{% macro default__utc_date(timestamp) %}{{ no_implementation('utc_date') }}{% endmacro %}

{% macro duckdb__utc_date(timestamp) -%}
  cast({{ timestamp }} at time zone 'UTC' as date)
{%- endmacro %}

{#- A hash that decides ties. Worker and employer hashes are keyed already, so a hash over them is
    too: nobody without the key can choose who wins. -#}
{% macro tie_hash(columns) %}
  {{ return(adapter.dispatch('tie_hash', 'tracient')(columns)) }}
{% endmacro %}

{% macro default__tie_hash(columns) %}{{ no_implementation('tie_hash') }}{% endmacro %}

{% macro duckdb__tie_hash(columns) -%}
  md5(concat_ws(':', {{ columns | join(', ') }}))
{%- endmacro %}

{#- Whole division of whole numbers, towards zero. -#}
{% macro whole_division(dividend, divisor) %}
  {{ return(adapter.dispatch('whole_division', 'tracient')(dividend, divisor)) }}
{% endmacro %}

{% macro default__whole_division(dividend, divisor) %}{{ no_implementation('whole_division') }}{% endmacro %}

{% macro duckdb__whole_division(dividend, divisor) -%}
  cast({{ dividend }} // {{ divisor }} as bigint)
{%- endmacro %}

{#- Leaves out the records of people who were erased: a ledger cannot forget, a build can. Nothing
    where nobody was. The variable is set for each build (orchestration/erased.py). -#}
{% macro without_erased(person) %}
  {%- if env_var('TRACIENT_ERASED_PEOPLE', '') -%}
    {{ return(adapter.dispatch('without_erased', 'tracient')(person)) }}
  {%- endif -%}
{% endmacro %}

{% macro default__without_erased(person) %}{{ no_implementation('without_erased') }}{% endmacro %}

{% macro duckdb__without_erased(person) -%}
  where
    {{ person }} is null
    or {{ person }} not in (
      select person from read_parquet('{{ env_var("TRACIENT_ERASED_PEOPLE", "") }}')
    )
{%- endmacro %}
