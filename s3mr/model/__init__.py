"""Define the values of s3mr: frozen, validated when created, independent of storage, clocks and processes."""
