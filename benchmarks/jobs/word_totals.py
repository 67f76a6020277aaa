"""W1 with `s3mr.reducers.total`, which adds values up while map yields them."""

from benchmarks.jobs.word_count import words
from s3mr import Job, reducers

job = Job(map=words, reduce=reducers.total)
