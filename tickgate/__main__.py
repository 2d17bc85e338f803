"""`python -m tickgate`, as it starts its roles and workers."""

import sys

from tickgate.cli import main

sys.exit(main())
