"""A thin Dagster asset per stage, and the release. No asset imports another: they meet in the ledger."""
