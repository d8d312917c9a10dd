{#- The features of the wages models, named once: the training table carries exactly these. None is
    a protected attribute; data_contracts says so too, and a test compares them. -#}
{% macro feature_columns() %}
  {{ return([
    'f_months_with_wage', 'f_missing_months', 'f_missing_months_last_quarter',
    'f_monthly_wage_paise', 'f_paid_month_wage_paise', 'f_paid_month_wage_sd_paise',
    'f_lowest_month_wage_paise', 'f_highest_month_wage_paise', 'f_days_worked',
    'f_daily_wage_paise', 'f_cash_share', 'f_employer_count', 'f_late_payment_share',
    'f_round_wage_share', 'f_last_quarter_trend', 'f_unskilled_share', 'f_agriculture_share',
    'f_manufacturing_share', 'f_construction_share', 'f_households_share',
  ]) }}
{% endmacro %}
