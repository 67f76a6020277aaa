"""W1 with a reducer of s3mr's own, whose values are folded as they come."""

from benchmarks.jobs.word_count import words
from s3mr import Job, reducers

job = Job(map=words, reduce=reducers.total)
