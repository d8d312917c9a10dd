"""Words of the dashboards in English and Hindi: catalogues, numbers, dates, findings."""
