"""The data plane: partitioning, framing, sorting, merging. It takes and returns iterators; files are arguments."""
