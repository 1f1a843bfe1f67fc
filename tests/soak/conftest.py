"""The clients and the process are those of tests/crash."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
