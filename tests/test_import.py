"""What `import fuelbreak` and the commands that do not learn pull in: nothing heavy, and no torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HEAVY = ("torch", "rasterio", "matplotlib", "pyogrio", "ray", "psutil")

# A finder that stands first and says of torch that it is not installed.
BLOCK_TORCH = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torch":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
"""
RUN = "\nfrom fuelbreak.cli import main\nsys.exit(main(sys.argv[1:]))\n"


def python(code: str, *arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=300, cwd=cwd
    )


def test_import_pulls_in_nothing_heavy():
    ran = python(f"import sys, fuelbreak; print([name for name in {HEAVY} if name in sys.modules])")
    assert ran.stdout == "[]\n", ran.stderr


def test_what_is_named_is_there():
    ran = python(
        "import fuelbreak; [getattr(fuelbreak, name) for name in fuelbreak.__all__]; print(len(dir(fuelbreak)))"
    )
    assert ran.returncode == 0, ran.stderr


def test_help_works_without_torch():
    ran = python(BLOCK_TORCH + RUN, "--help")
    assert ran.returncode == 0, ran.stderr
    for command in ("demo", "plan", "simulate", "evaluate", "train", "bench"):
        assert command in ran.stdout


def test_the_demo_runs_without_torch(tmp_path):
    ran = python(BLOCK_TORCH + RUN, "demo", "--out", "maps", "--json", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert (tmp_path / "maps" / "map.png").is_file()
    assert (tmp_path / "maps" / "plan.gpkg").is_file()


def test_training_without_torch_says_what_to_install_and_leaves_nothing(tmp_path):
    ran = python(BLOCK_TORCH + RUN, "train", "--episodes", "1", "--out", "runs", cwd=tmp_path)
    assert ran.returncode == 2
    assert ran.stderr.startswith("error:"), ran.stderr
    assert ran.stderr.count("\n") == 1, ran.stderr
    assert "torch" in ran.stderr
    assert "fuelbreak[learn]" in ran.stderr
    assert list(tmp_path.iterdir()) == []
