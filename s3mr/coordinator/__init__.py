"""Coordinate a job: submit it, tick it to its end, record the reports of its workers. All state is in the table."""
