"""The coordinator: submit a job, tick it to its end, record what workers report. All state is in the table."""
