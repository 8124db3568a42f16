"""The `imgdiff` command, a file per command; `run_graph` runs the graph in this process, through Dagster.

The top floor: it may import everything, and nothing imports it but the entry point. What commands print stands in the
`*_text` modules beside the data.
"""
