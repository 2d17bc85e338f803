"""`python -m tickgate`, as `tickgate dev` starts its roles."""

import sys

from tickgate.cli import main

sys.exit(main())
