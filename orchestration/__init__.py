"""The engine: readers, Dagster assets, the release layer and the ``tracient`` command."""
