"""The ports, filled: AWS's services through boto3, the machine's own, and honest fakes in memory."""
