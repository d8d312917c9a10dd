"""Open Data Contract Standard files, the source of truth for every table, and their readers."""
