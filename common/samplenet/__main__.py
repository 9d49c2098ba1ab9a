"""python -m samplenet: the console command."""

import sys

from samplenet.cli import main

sys.exit(main())
