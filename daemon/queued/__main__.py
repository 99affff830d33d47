"""`python -m queued start …` and `python -m queued status …`."""

import sys

from queued.cli.main import module

if __name__ == "__main__":
    sys.exit(module())
