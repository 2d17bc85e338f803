"""Print the run-time dependencies that a pyproject.toml names, one a line; for the image."""

import sys
import tomllib
from pathlib import Path

if __name__ == "__main__":
    project = tomllib.loads(Path(sys.argv[1]).read_text())["project"]
    sys.stdout.write("\n".join(project["dependencies"]) + "\n")
