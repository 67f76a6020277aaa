"""Constants of the simulated account and of this machine: account, region, architecture, Python version."""

import platform
import sys
from pathlib import Path
from typing import Final

ACCOUNT: Final = "123456789012"  # moto's default
REGION: Final = "eu-central-1"
PARTITION: Final = "aws"
ROOT: Final = Path(__file__).parents[3]
BUILD: Final = ROOT / "build" / "deployed"
ARCHITECTURE: Final = "arm64" if platform.machine() in ("arm64", "aarch64") else "x86_64"
RUNTIME: Final = f"python{sys.version_info.major}.{sys.version_info.minor}"
