"""What several test files need."""

from __future__ import annotations

import importlib.util
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data; tests that need it are skipped where it is absent."""
    root = Path(os.environ.get("FUELBREAK_SHARED", Path(__file__).parents[2] / "shared")) / "data"
    if not root.is_dir():
        pytest.skip(f"no real data at {root}: set FUELBREAK_SHARED to the folder that holds data/")
    return root


@pytest.fixture(scope="module")
def ray_cluster() -> Iterator[None]:
    """A local ray cluster of three cores, whatever the machine has."""
    if importlib.util.find_spec("ray") is None:
        pytest.skip("ray is not installed: pip install 'fuelbreak[ray]'")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray

    ray.init(num_cpus=3, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    yield
    ray.shutdown()
