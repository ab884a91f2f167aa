"""`python -m pocketcnn` is the command `pocketcnn`."""

import sys

from pocketcnn.cli import main

sys.exit(main())
