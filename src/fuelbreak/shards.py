"""Shards: the parts of one run that a batch queue burns apart, in files that are put together afterward."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fuelbreak.errors import InputError
from fuelbreak.formats import atomic_path
from fuelbreak.landscape import LAYERS, Landscape
from fuelbreak.spread import Part, Tally, joined

FORMAT = "fuelbreak-shard-1"
REMEDY = "give the files that `--shard` wrote, such as shard-1-of-4.npz, or their folder"


class Shard(NamedTuple):
    """One part of a run: number from 1 up to `of`."""

    number: int
    of: int

    def bounds(self, fires: int) -> tuple[int, int]:
        """First fire of the part and the one after its last; parts differ by one fire at most."""
        if self.of > fires:
            raise InputError(f"--shard: {fires} fires cannot be cut in {self.of} parts; give at most {fires}")
        return fires * (self.number - 1) // self.of, fires * self.number // self.of


class Shards(NamedTuple):
    """All shards of a run, read again and put together."""

    told: dict[str, Any]  # what the run was: command, arguments, software, digests
    parts: list[Part]  # the whole of each thing that burned
    seconds: float  # spent in all shards together


def parse_shard(text: str) -> Shard:
    """Understand `i/n`."""
    match = re.fullmatch(r"\s*(\d{1,9})\s*/\s*(\d{1,9})\s*", text)
    shard = Shard(*map(int, match.groups())) if match else Shard(0, 0)
    if not 1 <= shard.number <= shard.of:
        raise InputError(f"--shard: {text!r} is not i/n with i from 1 to n; give for instance 2/8")
    return shard


def landscape_digest(landscape: Landscape) -> str:
    """What tells this landscape from another: every layer of every cell, and fuel models of the user's own."""
    told = landscape.shape, landscape.cell_size_m, landscape.transform, landscape.custom_fuels
    content = hashlib.sha256(repr(told).encode())
    for name in LAYERS:
        content.update(np.ascontiguousarray(getattr(landscape, name)).tobytes())
    if landscape.value_by_flame is not None:
        content.update(np.ascontiguousarray(landscape.value_by_flame).tobytes())
    return content.hexdigest()[:16]


def write_shard(folder: Path, shard: Shard, told: Mapping[str, Any], parts: Sequence[Part], seconds: float) -> Path:
    """Write what one shard burned; an interruption leaves no half of a file.

    Parameters
    ----------
    told : what the run is, the same in all of its shards
    parts : of each thing that burned: of a simulation one, of an evaluation the untreated landscape's and each plan's
    """
    arrays: dict[str, Any] = {}
    for i, part in enumerate(parts):
        arrays |= {f"{i}.{name}": value for name, value in part.tally._asdict().items()}
        arrays |= {f"{i}.margin": part.margin, f"{i}.counts": part.counts, f"{i}.too_long": np.array(part.too_long)}
        if part.by_flame is not None:
            arrays[f"{i}.by_flame"] = part.by_flame
    own = {"number": shard.number, "first": parts[0].first, "parts": len(parts), "seconds": seconds}
    header = {"format": FORMAT, "of": shard.of, "told": dict(told), "own": own}
    path = folder / f"shard-{shard.number}-of-{shard.of}.npz"
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, header=np.array(json.dumps(header)), **arrays)
    return path


def read_shards(places: Iterable[Path]) -> Shards:
    """Read every shard of one run from files and folders.

    Raises
    ------
    InputError : a file that is no shard, shards of different runs, shards that are missing or there twice
    """
    paths = []
    for place in places:
        found = sorted(place.glob("shard-*-of-*.npz")) if place.is_dir() else [place]
        if not found:
            raise InputError(f"{place}: there are no shards in this folder; {REMEDY}")
        paths += found
    headers = {path: _header(path) for path in dict.fromkeys(path.resolve() for path in paths)}
    first_path, first = next(iter(headers.items()))
    numbers: dict[int, Path] = {}
    for path, header in headers.items():
        for key, value in {"of": header["of"], **header["told"]}.items():
            wanted = {"of": first["of"], **first["told"]}.get(key)
            if value != wanted:
                raise InputError(
                    f"{path.name}: it is of another run than {first_path.name}: {key} is {_short(value)}, there "
                    f"{_short(wanted)}; give shards of one run"
                )
        number = header["own"]["number"]
        if number in numbers:
            raise InputError(f"{path}: shard {number} is also {numbers[number]}; leave one out")
        numbers[number] = path
    missing = [str(i) for i in range(1, first["of"] + 1) if i not in numbers]
    if missing:
        named = ", ".join(missing[:8]) + (f" and {len(missing) - 8} more" if len(missing) > 8 else "")
        raise InputError(
            f"{first_path.parent}: of {first['of']} shards {named} {'is' if len(missing) == 1 else 'are'} missing; "
            "burn them with --shard, or give their folder too"
        )
    whole: list[Part] = []
    for number in sorted(numbers):  # one after the other: maps of all of them at once might not fit
        parts = _parts(numbers[number], headers[numbers[number]])
        whole = [joined([a, b]) for a, b in zip(whole, parts, strict=True)] if whole else parts
    return Shards(first["told"], whole, sum(header["own"]["seconds"] for header in headers.values()))


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """A shard's file; whatever is wrong in it is refused in one line."""
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            yield file
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or 'it is no shard'}); {REMEDY}") from None
    except Exception:  # zip, zlib, lzma, numpy and json each have errors of their own for damage
        raise InputError(f"{path}: this is not a whole shard of this version; {REMEDY}") from None


def _header(path: Path) -> dict[str, Any]:
    with _opened(path) as file:
        header: dict[str, Any] = json.loads(str(file["header"]))
        if header["format"] != FORMAT or not {"number", "first", "parts", "seconds"} <= header["own"].keys():
            raise ValueError
        return {"of": int(header["of"]), "told": dict(header["told"]), "own": header["own"]}


def _parts(path: Path, header: dict[str, Any]) -> list[Part]:
    with _opened(path) as file:
        parts = []
        for i in range(header["own"]["parts"]):
            tally = Tally._make(file[f"{i}.{name}"] for name in Tally._fields)
            margin, over_of = file[f"{i}.margin"], file[f"{i}.too_long"].tolist()
            if len({len(told) for told in (*tally, margin)}) != 1 or len(over_of) != 2:
                raise ValueError
            by_flame = file.get(f"{i}.by_flame")
            first = header["own"]["first"]
            parts.append(Part(first, tally, margin, file[f"{i}.counts"], by_flame, tuple(over_of)))
        return parts


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
