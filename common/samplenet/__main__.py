"""python -m samplenet: the console command."""

import sys

from samplenet.console.cli import main

sys.exit(main())
