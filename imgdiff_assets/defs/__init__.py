"""All that knows Dagster: assets, checks, schedule, sensors, and the resources that the launchpad shows.

Each is thin and calls `engine` for tables and `release` for releases. `imgdiff_assets.definitions` puts them together.
"""
