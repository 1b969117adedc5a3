"""Write docs/configuration.md and the two configuration files from TrainConfig, so that they never tell another story.

Run it after changing a key or a default: python docs/write_configuration.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fuelbreak.train import TrainConfig, make_config

ROOT = Path(__file__).resolve().parents[1]

# Where the files differ from the defaults: the values of the parallelization analysis.
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
HEAD = """# Configuration of a training run

`fuelbreak train --config FILE.json` reads a JSON object. Every key may be left out and then takes its default; an
unknown key or an impossible value is refused with the key, the reason and the nearest valid name. `fuelbreak train
--config FILE.json --show-config` prints the resolved configuration and stops; the run folder keeps it in `config.json`
with the versions that ran it. Flags of the command (`--landscape`, `--budget`, `--episodes`, ...) win over the file.

`parallel_config.json` (about 4 cores) and `workstation_config.json` (8 cores and more) name every key. They differ from
the defaults below only in `num_parallel_envs`, `parallel_method`, `memory_simulations` and
`fire_simulation_max_duration`.

This page is written by `python docs/write_configuration.py` from `Problem` in `src/fuelbreak/problem.py`, whose
keys come first, and `TrainConfig` in `src/fuelbreak/train.py`.

| key | default | may be | meaning |
|---|---|---|---|
"""


def allowed(schema: dict[str, Any]) -> str:
    """Say in words what a key's JSON schema allows."""
    choices = [one for one in schema.get("anyOf", [schema]) if one.get("type") != "null"]
    words = []
    for choice in choices:
        if "enum" in choice:
            words.append(", ".join(f"`{name}`" for name in choice["enum"]))
            continue
        kind = {"string": "text", "boolean": "true or false", "integer": "whole number", "number": "number"}.get(
            choice["type"]
        )
        if choice["type"] == "object":
            words.append("texts by name")
            continue
        if kind is None:
            several = choice.get("minItems")
            words.append("list of texts" if several is None else f"{several} whole numbers")
            continue
        low = f" from {choice['minimum']:g}" if "minimum" in choice else ""
        low = f" above {choice['exclusiveMinimum']:g}" if "exclusiveMinimum" in choice else low
        high = f" to {choice['maximum']:g}" if "maximum" in choice else ""
        high = f" below {choice['exclusiveMaximum']}" if "exclusiveMaximum" in choice else high
        words.append(kind + low + high)
    if "number" in words and "whole number" in words:
        words.remove("whole number")
    if len(choices) < len(schema.get("anyOf", [schema])):
        words.append("null")
    return " or ".join(words)


def texts() -> dict[str, str]:
    """What each file should hold, by its path from the project's root."""
    properties = TrainConfig.model_json_schema()["properties"]
    rows = [
        f"| `{key}` | `{json.dumps(field.default)}` | {allowed(properties[key])} | {field.description or ''} |\n"
        for key, field in TrainConfig.model_fields.items()
    ]
    files = {name: make_config(values).model_dump_json(indent=2) + "\n" for name, values in MISSION.items()}
    return files | {"docs/configuration.md": HEAD + "".join(rows)}


if __name__ == "__main__":
    for name, text in texts().items():
        (ROOT / name).write_text(text, encoding="utf-8", newline="\n")
