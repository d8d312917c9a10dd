"""Readers of exports and feeds: bytes in, Arrow tables, rejections and a verification report out.

Nothing here knows Dagster, the home's folders or the warehouse.
"""
