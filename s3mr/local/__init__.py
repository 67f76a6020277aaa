"""The embedded cloud: moto's S3 and DynamoDB in a process, and workers that are processes, for one command's life."""
