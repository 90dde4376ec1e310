import sys
from pathlib import Path

# Worker processes inherit the path, so that they find the tests' agents and work.
sys.path.insert(0, str(Path(__file__).parent / "modules"))
