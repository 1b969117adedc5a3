"""Front door to `fuelbreak bench parallel`."""

import sys

from fuelbreak.cli import main

if __name__ == "__main__":
    sys.exit(main(["bench", "parallel", *sys.argv[1:]]))
