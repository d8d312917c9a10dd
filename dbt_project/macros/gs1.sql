{#- GS1 keys in SQL: check digits, and EPC URNs and Digital Links turned into keys. The same rules as
    orchestration/feeds/gs1.py, which is the oracle of their test.

    A passed check digit says that a key was not mistyped. It says nothing about whether its company
    prefix is licensed or its location registered: those are joins with the registry. -#}

{#- The check digit (0-9) of a text of `length` ASCII digits: weights 3, 1, 3, ... from the right. -#}
{% macro gs1_check_digit(digits, length) -%}
  (10 - (
    {%- for position in range(1, length + 1) %}
    {{ 3 if (length - position) % 2 == 0 else 1 }}
      * (ascii(substring({{ digits }}, {{ position }}, 1)) - 48){{ " +" if not loop.last }}
    {%- endfor %}
  ) % 10) % 10
{%- endmacro %}

{#- Whether a key of `length` digits ends with its check digit. -#}
{% macro gs1_is_check_digit_ok(key, length) -%}
  {{ gs1_check_digit(key, length - 1) }} = ascii(substring({{ key }}, {{ length }}, 1)) - 48
{%- endmacro %}

{#- The lengths of the keys, check digit included. -#}
{% macro gs1_key_lengths() %}{{ return({'gtin': 14, 'sscc': 18, 'gln': 13, 'pgln': 13}) }}{% endmacro %}

{#- Application identifiers and the short names that Digital Links may use for them. -#}
{% macro gs1_link_names() %}
  {{ return({'gtin': '01|gtin', 'sscc': '00|sscc', 'gln': '414|gln', 'pgln': '417|partyGln|party',
             'serial': '21|ser', 'lot': '10|lot'}) }}
{% endmacro %}

{#- Digital Link of one kind, its key as group 1. GTINs of 8, 12 and 13 digits stand in a link
    without their zeros now and then. -#}
{% macro gs1_link_pattern(kind) -%}
  {%- set digits = {'gtin': '[0-9]{14}|[0-9]{13}|[0-9]{12}|[0-9]{8}', 'sscc': '[0-9]{18}'} -%}
  ^https?://[^/?#]+/(?:[^?#]*?/)??(?:{{ gs1_link_names()[kind] }})/({{ digits.get(kind, '[0-9]{13}') }})
{%- endmacro %}

{#- What kind of key an identifier names: gtin, sscc, gln (a place), pgln (a party); null for others. -#}
{% macro gs1_kind(uri) -%}
  case
    when {{ uri }} like 'urn:epc:id:sgtin:%' or {{ uri }} like 'urn:epc:class:lgtin:%' then 'gtin'
    when {{ uri }} like 'urn:epc:idpat:sgtin:%' then 'gtin'
    when {{ uri }} like 'urn:epc:id:sscc:%' then 'sscc'
    when {{ uri }} like 'urn:epc:id:sgln:%' then 'gln'
    when {{ uri }} like 'urn:epc:id:pgln:%' then 'pgln'
    {%- for kind in gs1_key_lengths() %}
    when {{ regex_group(uri, gs1_link_pattern(kind) ~ '(?:[/?#]|$)', 1) }} <> '' then '{{ kind }}'
    {%- endfor %}
  end
{%- endmacro %}

{#- The digits of an identifier of a known kind: those of an EPC URN lack the check digit, those of a
    Digital Link have it. Empty when it does not follow its kind's form. -#}
{% macro gs1_digits(uri, kind) -%}
  case
    when {{ kind }} = 'gtin' and {{ uri }} like 'urn:%' then
      {{ regex_group(uri, '^urn:epc:[a-z]+:[ls]gtin:[0-9]{6,12}[.]([0-9])[0-9]*[.].', 1) }}
      || {{ regex_group(uri, '^urn:epc:[a-z]+:[ls]gtin:([0-9]{6,12})[.][0-9]+[.].', 1) }}
      || {{ regex_group(uri, '^urn:epc:[a-z]+:[ls]gtin:[0-9]{6,12}[.][0-9]([0-9]*)[.].', 1) }}
    when {{ kind }} = 'sscc' and {{ uri }} like 'urn:%' then
      {{ regex_group(uri, '^urn:epc:id:sscc:[0-9]{6,12}[.]([0-9])[0-9]*$', 1) }}
      || {{ regex_group(uri, '^urn:epc:id:sscc:([0-9]{6,12})[.][0-9]+$', 1) }}
      || {{ regex_group(uri, '^urn:epc:id:sscc:[0-9]{6,12}[.][0-9]([0-9]*)$', 1) }}
    when {{ kind }} = 'gln' and {{ uri }} like 'urn:%' then
      {{ regex_group(uri, '^urn:epc:id:sgln:([0-9]{6,12})[.][0-9]*[.].', 1) }}
      || {{ regex_group(uri, '^urn:epc:id:sgln:[0-9]{6,12}[.]([0-9]*)[.].', 1) }}
    when {{ kind }} = 'pgln' and {{ uri }} like 'urn:%' then
      {{ regex_group(uri, '^urn:epc:id:pgln:([0-9]{6,12})[.][0-9]*$', 1) }}
      || {{ regex_group(uri, '^urn:epc:id:pgln:[0-9]{6,12}[.]([0-9]*)$', 1) }}
    {%- for kind_name in gs1_key_lengths() %}
    when {{ kind }} = '{{ kind_name }}' then
      {{ regex_group(uri, gs1_link_pattern(kind_name) ~ '(?:[/?#]|$)', 1) }}
    {%- endfor %}
  end
{%- endmacro %}

{#- The key with its check digit: computed for an EPC URN, as it stands in a Digital Link. Null when
    the digits are not as many as the kind needs. -#}
{% macro gs1_key(uri, kind, digits) -%}
  case
    {%- for kind_name, length in gs1_key_lengths().items() %}
    when {{ kind }} = '{{ kind_name }}' and {{ uri }} like 'urn:%'
      and length({{ digits }}) = {{ length - 1 }}
      then {{ digits }} || cast({{ gs1_check_digit(digits, length - 1) }} as varchar)
    {%- endfor %}
    when {{ uri }} like 'urn:%' or {{ digits }} = '' then null
    when {{ kind }} = 'gtin' then lpad({{ digits }}, 14, '0')
    else {{ digits }}
  end
{%- endmacro %}

{#- Whether a key's last digit is its check digit; null for what is no key. -#}
{% macro gs1_is_key_ok(kind, key) -%}
  case
    when {{ key }} is null then null
    {%- for kind_name, length in gs1_key_lengths().items() %}
    when {{ kind }} = '{{ kind_name }}' then {{ gs1_is_check_digit_ok(key, length) }}
    {%- endfor %}
  end
{%- endmacro %}

{#- Serial number or lot of a GTIN (`what` is serial or lot), percent-decoded; null without one. -#}
{% macro gs1_qualifier(uri, what) -%}
  {%- set names = gs1_link_names()[what] -%}
  {%- set scheme = {'serial': 'id:sgtin', 'lot': 'class:lgtin'}[what] -%}
  {{ percent_decoded("nullif(case when " ~ uri ~ " like 'urn:%' then "
      ~ regex_group(uri, '^urn:epc:' ~ scheme ~ ':[0-9]+[.][0-9]+[.](.+)$', 1)
      ~ " else coalesce(nullif("
      ~ regex_group(uri, gs1_link_pattern('gtin') ~ '(?:/[^/?#]+/[^/?#]+)*?/(?:' ~ names ~ ')/([^/?#]+)', 2)
      ~ ", ''), " ~ regex_group(uri, '[?&](?:' ~ names ~ ')=([^&#]+)', 1)
      ~ ") end, '')") }}
{%- endmacro %}

{#- The text of one group of a pattern's first match; empty where there is none. -#}
{% macro regex_group(text, pattern, group) %}
  {{ return(adapter.dispatch('regex_group', 'tracient')(text, pattern, group)) }}
{% endmacro %}

{% macro default__regex_group(text, pattern, group) %}{{ no_implementation('regex_group') }}{% endmacro %}

{% macro duckdb__regex_group(text, pattern, group) -%}
  regexp_extract({{ text }}, '{{ pattern }}', {{ group }})
{%- endmacro %}

{% macro percent_decoded(text) %}
  {{ return(adapter.dispatch('percent_decoded', 'tracient')(text)) }}
{% endmacro %}

{% macro default__percent_decoded(text) %}{{ no_implementation('percent_decoded') }}{% endmacro %}

{% macro duckdb__percent_decoded(text) -%}
  url_decode({{ text }})
{%- endmacro %}
