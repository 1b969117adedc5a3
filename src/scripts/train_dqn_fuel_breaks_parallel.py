"""Front door to `fuelbreak train`."""

import sys

from fuelbreak.cli import main

sys.exit(main(["train", *sys.argv[1:]]))
