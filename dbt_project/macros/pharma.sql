{#- What the medicines models share: EPCIS and ledger documents, temperatures, markets, rules. -#}

{#- An EPCIS event as a struct: parsed once. A field of another form is null, never an error. -#}
{% macro epcis_document(text) %}
  {{ return(adapter.dispatch('epcis_document', 'tracient')(text)) }}
{% endmacro %}

{% macro default__epcis_document(text) %}{{ no_implementation('epcis_document') }}{% endmacro %}

{% macro duckdb__epcis_document(text) -%}
  {%- set quantities = '[{"epcClass":"VARCHAR","quantity":"DOUBLE","uom":"VARCHAR"}]' -%}
  try(from_json({{ text }}, '{
    "epcList":["VARCHAR"], "childEPCs":["VARCHAR"],
    "inputEPCList":["VARCHAR"], "outputEPCList":["VARCHAR"],
    "quantityList":{{ quantities }}, "childQuantityList":{{ quantities }},
    "inputQuantityList":{{ quantities }}, "outputQuantityList":{{ quantities }},
    "readPoint":{"id":"VARCHAR"}, "bizLocation":{"id":"VARCHAR"}, "parentID":"VARCHAR",
    "sourceList":[{"type":"VARCHAR","source":"VARCHAR"}],
    "destinationList":[{"type":"VARCHAR","destination":"VARCHAR"}],
    "bizTransactionList":[{"type":"VARCHAR","bizTransaction":"VARCHAR"}],
    "ilmd":{
      "cbvmda:lotNumber":"VARCHAR", "cbvmda:itemExpirationDate":"VARCHAR",
      "urn:epcglobal:cbv:mda#lotNumber":"VARCHAR",
      "urn:epcglobal:cbv:mda#itemExpirationDate":"VARCHAR"
    },
    "sensorElementList":[{
      "sensorMetadata":{"time":"VARCHAR","startTime":"VARCHAR","endTime":"VARCHAR"},
      "sensorReport":[{
        "type":"VARCHAR", "value":"DOUBLE", "meanValue":"DOUBLE", "minValue":"DOUBLE",
        "maxValue":"DOUBLE", "uom":"VARCHAR", "time":"VARCHAR"
      }]
    }],
    "errorDeclaration":{"declarationTime":"VARCHAR","reason":"VARCHAR"}
  }'))
{%- endmacro %}

{#- The named fields of a JSON text as a struct of texts; unreadable text gives null. -#}
{% macro json_text_document(text, fields) %}
  {{ return(adapter.dispatch('json_text_document', 'tracient')(text, fields)) }}
{% endmacro %}

{% macro default__json_text_document(text, fields) %}{{ no_implementation('json_text_document') }}{% endmacro %}

{% macro duckdb__json_text_document(text, fields) -%}
  try(from_json({{ text }}, '{ {%- for field in fields -%}
    "{{ field }}":"VARCHAR"{{ "," if not loop.last }}
  {%- endfor -%} }'))
{%- endmacro %}

{#- The rows of a list column, with their position from 1. Nothing for an empty list. -#}
{% macro exploded(list) %}
  {{ return(adapter.dispatch('exploded', 'tracient')(list)) }}
{% endmacro %}

{% macro default__exploded(list) %}{{ no_implementation('exploded') }}{% endmacro %}

{% macro duckdb__exploded(list) -%}
  unnest({{ list }}) as item, generate_subscripts({{ list }}, 1) as position
{%- endmacro %}

{#- A text that identifies a set of rows: the values in their own order, digested. -#}
{% macro digest_of_rows(value) %}
  {{ return(adapter.dispatch('digest_of_rows', 'tracient')(value)) }}
{% endmacro %}

{% macro default__digest_of_rows(value) %}{{ no_implementation('digest_of_rows') }}{% endmacro %}

{% macro duckdb__digest_of_rows(value) -%}
  md5(string_agg({{ value }}, chr(10) order by {{ value }}))
{%- endmacro %}

{#- Degrees Celsius of a value in a UN/CEFACT unit; null for other units. -#}
{% macro celsius(value, unit) -%}
  case {{ unit }}
    when 'CEL' then {{ value }}
    when 'FAH' then ({{ value }} - 32) / 1.8
    when 'KEL' then {{ value }} - 273.15
  end
{%- endmacro %}

{#- Mean kinetic temperature of a group of readings, degrees Celsius, activation energy over gas
    constant 10,000 K (specs/epcis_export section 5). The terms are added as whole numbers, relative
    to 0 degrees Celsius, so that their order does not matter. -#}
{% macro mean_kinetic_celsius(celsius) -%}
  round(
    10000 / (
      10000 / 273.15
      - ln(
        sum(cast(round(exp(10000 / 273.15 - 10000 / ({{ celsius }} + 273.15)) * 1e12) as bigint))
        / (count({{ celsius }}) * 1e12)
      )
    ) - 273.15, 4
  )
{%- endmacro %}

{#- The market that a country belongs to: IN, US, SG or EU (its 27 member states), else other. -#}
{% macro market_of(country) -%}
  case
    when {{ country }} in ('IN', 'US', 'SG') then {{ country }}
    when {{ country }} in (
      'AT', 'BE', 'BG', 'CY', 'CZ', 'DE', 'DK', 'EE', 'ES', 'FI', 'FR', 'GR', 'HR', 'HU', 'IE', 'IT',
      'LT', 'LU', 'LV', 'MT', 'NL', 'PL', 'PT', 'RO', 'SE', 'SI', 'SK'
    ) then 'EU'
    when {{ country }} is not null then 'other'
  end
{%- endmacro %}

{#- Whether a word stands in a text of words separated by spaces. -#}
{% macro has_word(words, word) -%}
  ' ' || {{ words }} || ' ' like '% ' || {{ word }} || ' %'
{%- endmacro %}

{#- The end of a period that has not ended. -#}
{% macro open_end() -%}timestamp with time zone '9999-12-31 00:00:00+00'{%- endmacro %}

{#- Whole seconds from one point in time to another. -#}
{% macro seconds_between(first, last) %}
  {{ return(adapter.dispatch('seconds_between', 'tracient')(first, last)) }}
{% endmacro %}

{% macro default__seconds_between(first, last) %}{{ no_implementation('seconds_between') }}{% endmacro %}

{% macro duckdb__seconds_between(first, last) -%}
  cast(round(epoch({{ last }}) - epoch({{ first }})) as bigint)
{%- endmacro %}

{#- The features of the batch-risk model, named once: the training table carries exactly these. -#}
{% macro batch_feature_columns() %}
  {{ return([
    'f_is_cold_chain', 'f_unit_count', 'f_shipment_count', 'f_unreceived_share',
    'f_longest_transit_hours', 'f_days_to_expiry_at_shipping', 'f_has_temperature_record',
    'f_excursion_degree_hours', 'f_excursion_hours', 'f_mean_kinetic_celsius', 'f_hard_hit_count',
    'f_order_finding_count', 'f_after_end_finding_count', 'f_serial_finding_count',
    'f_unregistered_place_count', 'f_key_finding_count', 'f_expiry_finding_count',
    'f_destination_finding_count', 'f_receipt_finding_count', 'f_temperature_finding_count',
    'f_manufacturer_earlier_batch_count', 'f_manufacturer_earlier_hit_share',
    'f_manufacturer_earlier_failed_share', 'f_distributor_earlier_batch_count',
    'f_distributor_earlier_hit_share', 'f_distributor_earlier_failed_share',
  ]) }}
{% endmacro %}

{#- Days from one date to another; negative when the second is earlier. -#}
{% macro days_between(first, last) %}
  {{ return(adapter.dispatch('days_between', 'tracient')(first, last)) }}
{% endmacro %}

{% macro default__days_between(first, last) %}{{ no_implementation('days_between') }}{% endmacro %}

{% macro duckdb__days_between(first, last) -%}
  date_diff('day', {{ first }}, {{ last }})
{%- endmacro %}
