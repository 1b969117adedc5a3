"""Many fires on large landscapes: how long, how much memory, and whether windows give the same fires.

    python benchmarks/large_landscapes.py [--size 10000] [--fires 1000]    a synthetic landscape of size x size cells
    python benchmarks/large_landscapes.py LANDSCAPE.tif --fires 10000      a landscape file, all of it

8-hour fires, burn probability out, on every core; `--stencil` neighbors, 32 if left out. On the synthetic landscape,
which is too large to be kept whole, the largest fires are burned again on landscapes cropped around them and compared,
cell by cell.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time

import numpy as np
from scipy import ndimage

from fuelbreak.landscape import Landscape, crop
from fuelbreak.scenarios import Fires, fire_season
from fuelbreak.spread import Fields, spread

TILE = 1000


def peak_gib() -> float:
    """Most memory this process has held so far."""
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used / 2 ** (30 if sys.platform == "darwin" else 20)


def synthetic(size: int) -> Landscape:
    """Smooth fuels, slopes and aspects, repeated every 1000 cells: what is far away does not matter to a fire."""
    rng = np.random.default_rng(0)

    def noise(cells: float) -> np.ndarray:
        smooth = ndimage.gaussian_filter(rng.standard_normal((TILE, TILE)).astype(np.float32), cells, mode="wrap")
        return np.asarray(smooth / smooth.std())

    def tiled(layer: np.ndarray) -> np.ndarray:
        repeats = -(-size // TILE)
        return np.tile(layer, (repeats, repeats))[:size, :size]

    fuels = np.array([1, 2, 4, 5, 8, 9, 10, 99], np.int16)
    fuel = fuels[np.clip(((noise(8) + 2) * 2).astype(int), 0, 7)]
    slope = np.abs(noise(20)) * 12
    aspect = np.degrees(np.arctan2(noise(20), noise(20))) % 360
    return Landscape.from_arrays(
        tiled(fuel), slope_deg=tiled(slope), aspect_deg=tiled(aspect.astype(np.float32)), label="synthetic"
    )


def main() -> int:
    """Burn, and say what it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("landscape", nargs="?")
    parser.add_argument("--size", type=int, default=10_000)
    parser.add_argument("--fires", type=int, default=1000)
    parser.add_argument("--stencil", type=int, default=32)
    options = parser.parse_args()
    bank = fire_season() if options.landscape else fire_season()[::4]
    land = synthetic(options.size) if options.landscape is None else Landscape.open(options.landscape)
    print(f"{land.shape[0]} x {land.shape[1]} cells, {len(bank)} weathers; peak {peak_gib():.2f} GiB", flush=True)
    fires = Fires.draw(land, options.fires, 0, purpose="heldout", weather=bank, duration_min=480.0)
    fields = Fields(land, fires.weather, stencil=options.stencil)
    wall, cpu = time.perf_counter(), time.process_time()
    result = spread(land, fires, fields=fields)
    probability = result.burn_probability()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    kind = "whole" if fields.fits_whole else "in windows"
    burned = result.burned_cells
    print(
        f"{len(fires)} fires of 8 h burned {kind} with {options.stencil} neighbors: {wall:.1f} s, {cpu:.1f} s of CPU; "
        f"mean {burned.mean():,.0f} cells, largest {burned.max():,}; "
        f"highest burn probability {probability.max():.3f}; peak {peak_gib():.2f} GiB",
        flush=True,
    )
    if fields.fits_whole:
        return 0
    differ = 0
    largest = np.argsort(burned)[-10:]
    for i in largest.tolist():
        cells = np.argwhere(np.isfinite(result.arrival_min(i)))
        row, col = np.maximum(cells.min(axis=0) - 20, 0).tolist()
        last_row, last_col = np.minimum(cells.max(axis=0) + 20, np.array(land.shape) - 1).tolist()
        window = (row, col, last_row - row + 1, last_col - col + 1)
        part = crop(land, window)
        one = Fires([fires.ignitions[i] - (row, col)], fires.weather, 480.0, fires.weather_index[i : i + 1])
        mine = result.arrival_min(i)[row : last_row + 1, col : last_col + 1]
        theirs = spread(part, one, stencil=options.stencil).arrival_min(0)
        differ += int((mine.view(np.uint32) != theirs.view(np.uint32)).sum())
    print(f"{len(largest)} largest fires burned again on cropped landscapes: {differ} cells differ")
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())
