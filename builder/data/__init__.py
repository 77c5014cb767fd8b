"""What is kept in the data root: the ledger of runs."""
