"""The data plane: partitioning, framing, sorting, merging. Iterators in, iterators out; files are arguments."""
