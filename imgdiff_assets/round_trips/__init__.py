"""What people say elsewhere, out and in again: verdicts as a table, tasks and annotations of Label Studio.

`taking` is the only way in: it records what is new, and keeps what cannot be taken with its reason. Samples come from
`reading` and `export`; `cli` is the only caller.
"""
