"""Models over any table that has a ``ModelSpec``: train, explain, assess and document.

No Dagster and no storage paths belong here: callers hand in frames and folders.
"""
