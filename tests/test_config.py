"""The configuration files, what is refused in them, and the two scripts that stand at the front door."""

from __future__ import annotations

import json
import re
import runpy
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from fuelbreak.errors import InputError
from fuelbreak.train import TrainConfig, load_config, make_config

ROOT = Path(__file__).parents[1]
# The parallelization analysis, "Configuration Options".
MISSION: dict[str, dict[str, Any]] = {
    "parallel_config.json": {
        "num_parallel_envs": 4,
        "parallel_method": "multiprocessing",
        "memory_simulations": 50,
        "fire_simulation_max_duration": 60,
    },
    "workstation_config.json": {
        "num_parallel_envs": 6,
        "parallel_method": "multiprocessing",
        "memory_simulations": 30,
        "fire_simulation_max_duration": 45,
    },
}
DEFAULTS = {key: field.default for key, field in TrainConfig.model_fields.items()}


@pytest.mark.parametrize("name", MISSION)
def test_the_file_names_every_key_and_differs_from_the_defaults_only_where_the_mission_does(name: str) -> None:
    settings = load_config(ROOT / name)
    make_config(settings, name)
    assert set(settings) == set(TrainConfig.model_fields)
    assert settings == DEFAULTS | MISSION[name], "run: python docs/write_configuration.py"


def test_the_citation_is_of_this_version() -> None:
    cited = dict(
        line.split(": ", 1) for line in (ROOT / "CITATION.cff").read_text("utf-8").splitlines() if ": " in line
    )
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert (cited["version"], cited["license"]) == (project["version"], project["license"])


@pytest.mark.parametrize("name", MISSION)
def test_the_missions_four_keys_are_enough(name: str, tmp_path: Path) -> None:
    four = tmp_path / name
    four.write_text(json.dumps(MISSION[name]), encoding="utf-8")
    resolved = make_config(load_config(four), str(four))
    assert resolved.model_dump() == DEFAULTS | MISSION[name]


def test_the_resolved_configuration_is_printed_with_every_default(tmp_path: Path) -> None:
    four = tmp_path / "four.json"
    four.write_text(json.dumps(MISSION["workstation_config.json"]), encoding="utf-8")
    shown = run("src/scripts/train_dqn_fuel_breaks_parallel.py", "--config", str(four), "--show-config")
    assert shown.returncode == 0, shown.stderr
    assert json.loads(shown.stdout) == DEFAULTS | MISSION["workstation_config.json"]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"num_parallel_env": 4}, "unknown key 'num_parallel_env'; did you mean 'num_parallel_envs'?"),
        ({"memory_simulation": 50}, "unknown key 'memory_simulation'; did you mean 'memory_simulations'?"),
        ({"zzzz": 1}, "unknown key 'zzzz'; valid keys: landscape, "),
        ({"num_parallel_envs": 0}, "num_parallel_envs = 0: "),
        (
            {"parallel_method": "magic"},
            "parallel_method = 'magic': .*'sequential', 'threading', 'multiprocessing' or 'ray'",
        ),
        ({"fire_simulation_max_duration": float("nan")}, "fire_simulation_max_duration = nan: "),
        ({"fire_simulation_max_duration": float("inf")}, "fire_simulation_max_duration = inf: .*finite"),
        ({"buffer_cells": 401}, "buffer_cells = 401: .*less than or equal to 400"),
        ({"budget": True}, "budget = True: "),
        ({"memory_simulations": 3000}, "memory_simulations = 3000: the bank holds fire_bank_size = 2000 fires"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line_that_names_it(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says) as refusal:
        make_config(settings, "run.json")
    message = str(refusal.value)
    assert message.startswith("run.json: ")
    assert "\n" not in message


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "not valid JSON"),
        ("[4]", "must be a JSON object"),
        (None, "cannot read the configuration"),
    ],
)
def test_a_file_that_holds_no_configuration_is_named(tmp_path: Path, text: str | None, says: str) -> None:
    path = tmp_path / "run.json"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=rf"{re.escape(str(path))}: .*{says}"):
        load_config(path)


def test_the_page_and_the_files_are_those_that_the_script_writes() -> None:
    texts = runpy.run_path(str(ROOT / "docs" / "write_configuration.py"))["texts"]()
    assert set(texts) == {*MISSION, "docs/configuration.md"}
    for name, text in texts.items():
        assert (ROOT / name).read_text(encoding="utf-8") == text, "run: python docs/write_configuration.py"


@pytest.mark.parametrize(
    ("script", "option"),
    [("src/scripts/train_dqn_fuel_breaks_parallel.py", "--config"), ("test_parallel_performance.py", "--cpu-test")],
)
def test_the_script_is_a_front_door(script: str, option: str) -> None:
    shown = run(script, "--help")
    assert shown.returncode == 0, shown.stderr
    assert option in re.sub(r"\x1b\[[0-9;]*m", "", shown.stdout)  # some CI hosts make the help colored


def test_a_refused_configuration_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text('{"memory_simulation": 50}', encoding="utf-8")
    refused = run("src/scripts/train_dqn_fuel_breaks_parallel.py", "--config", str(path), "--show-config")
    assert refused.returncode == 2
    assert refused.stdout == ""
    assert refused.stderr == f"error: {path}: unknown key 'memory_simulation'; did you mean 'memory_simulations'?\n"


def run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a script of the project from its root, as the mission does."""
    return subprocess.run(
        [sys.executable, script, *arguments], cwd=ROOT, capture_output=True, text=True, encoding="utf-8", timeout=120
    )
