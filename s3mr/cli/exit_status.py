"""The exit statuses of ``s3mr``; 0 is success."""

from typing import Final

EXIT_FAILED: Final = 1  # a task failed
EXIT_REFUSED: Final = 2  # refused before anything started
EXIT_DETACHED: Final = 75  # the command lost contact; the job keeps running. EX_TEMPFAIL of sysexits.h
EXIT_INTERRUPTED: Final = 130  # Ctrl-C, as shells report it
