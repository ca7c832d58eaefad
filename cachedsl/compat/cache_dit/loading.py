"""Configs from a YAML file or a dictionary, read strictly."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch.distributed

from cachedsl.compat.cache_dit import configs
from cachedsl.compat.cache_dit.configs import BasicCacheConfig, CalibratorConfig, DBCacheConfig, DBPruneConfig
from cachedsl.compat.cache_dit.notices import report
from cachedsl.compat.cache_dit.parallelism import ParallelismConfig
from cachedsl.compat.cache_dit.quantization import QuantizeConfig
from cachedsl.compat.cache_dit.types import CacheType
from cachedsl.convert.cache_dit import ALIASES, OPTIONS, policy_from_options
from cachedsl.convert.cache_dit.masks import steps_mask
from cachedsl.convert.cache_dit.runtime import SIZES
from cachedsl.convert.notes import BAD_OPTION, ConversionError, Note
from cachedsl.language.refusals import nearest
from cachedsl.rules.shape.reading import find
from cachedsl.text.document import read_document
from cachedsl.text.finding import PolicyError
from cachedsl.text.tree import Document

PARTS = ("cache_config", "parallelism_config", "attention_backend", "quantize_config")
CALIBRATORS: dict[str, type[CalibratorConfig]] = {
    "taylorseer": configs.TaylorSeerCalibratorConfig,
    "dmd": configs.DMDCalibratorConfig,
    "foca": configs.FoCaCalibratorConfig,
}


def load_configs(path_or_dict: str | os.PathLike[str] | dict[str, Any], return_dict: bool = True, **kwargs: Any) -> Any:
    """Return all configs of a file or dictionary, ready for `enable_cache(pipe, **load_configs("cache.yaml"))`.

    Args:
        path_or_dict: `cache_config`, `parallelism_config`, `attention_backend` and `quantize_config`, each of which may
            be left out; or the options of `cache_config` alone.
        return_dict: return a dictionary by the names of `enable_cache`'s arguments; else a tuple in their order.
        **kwargs: `reset=True` leaves what is not said empty.

    Raises:
        PolicyError: the file is no YAML that holds, or has an option that cannot be read; with its place.
        ConversionError: the same of a dictionary.
    """
    given = _given(path_or_dict)
    cache, calibrator = _cache(given, bool(kwargs.get("reset", False)))
    found = {
        "cache_config": cache,
        "calibrator_config": calibrator,
        "parallelism_config": _parallelism(given),
        "attention_backend": given.get("attention_backend"),
        "quantize_config": _quantize(given),
    }
    return found if return_dict else tuple(found.values())


def load_cache_config(
    path_or_dict: str | os.PathLike[str] | dict[str, Any], **kwargs: Any
) -> tuple[BasicCacheConfig | None, CalibratorConfig | None]:
    """Return the cache and calibrator configs; see `load_configs`."""
    return _cache(_given(path_or_dict), bool(kwargs.get("reset", False)))


def load_parallelism_config(path_or_dict: str | os.PathLike[str] | dict[str, Any], **kwargs: Any) -> Any:
    """Return the parallelism config, None where there is none; with `check_only=True` whether there is one."""
    given = _given(path_or_dict)
    return "parallelism_config" in given if kwargs.get("check_only") else _parallelism(given)


def load_attn_backend_config(path_or_dict: str | os.PathLike[str] | dict[str, Any], **kwargs: Any) -> str | None:
    """Return the attention backend, None where none is said."""
    backend: str | None = _given(path_or_dict).get("attention_backend")
    return backend


def load_quantize_config(path_or_dict: str | os.PathLike[str] | dict[str, Any], **kwargs: Any) -> QuantizeConfig | None:
    """Return the quantisation config, None where there is none."""
    return _quantize(_given(path_or_dict))


def load_options(path_or_dict: str | os.PathLike[str] | dict[str, Any], reset: bool = False) -> dict[str, Any]:
    """Return `cache_config` and, where there is one, `calibrator_config`; as older releases spell `load_configs`."""
    cache, calibrator = load_cache_config(path_or_dict, reset=reset)
    found: dict[str, Any] = {"cache_config": cache}
    return found if calibrator is None else {**found, "calibrator_config": calibrator}


def _given(path_or_dict: Any) -> dict[str, Any]:
    """Return the options of a file or a dictionary, checked, with flat ones under `cache_config`."""
    if isinstance(path_or_dict, Mapping):
        return _checked(dict(path_or_dict))
    if not isinstance(path_or_dict, str | os.PathLike):
        raise TypeError(f"expected the path of a YAML file or a dictionary, got {type(path_or_dict).__name__}")
    name = os.fspath(path_or_dict)
    if not os.path.isfile(name):
        raise FileNotFoundError(f"{name}: there is no such file")
    document = read_document(Path(name), name)
    if document.root is None or any(found.severity == "error" for found in document.findings):
        raise PolicyError(document.findings)
    try:
        return _checked(document.root.plain())
    except ConversionError as error:
        raise _placed(error, document) from None


def _placed(error: ConversionError, document: Document) -> PolicyError:
    root = document.root
    assert root is not None, "what was read has a root"
    errors = [note for note in error.notes if note.severity == "error"]
    return PolicyError([note.finding(find(root, note.path).span) for note in errors])


def _checked(given: dict[str, Any]) -> dict[str, Any]:
    notes: list[Note] = []
    options = dict(given.get("cache_config") or {})
    nested = "cache_config" in given
    for key, value in given.items():
        if key in PARTS or (key == "calibrator_config" and value is None):
            continue
        if key in OPTIONS or key in ALIASES or key == "taylorseer_kwargs":
            if nested:
                message = f"{key}: it stands beside `cache_config`, where cache-dit does not read it"
                notes.append(Note(BAD_OPTION, (key,), message, "put it into `cache_config`"))
            options[key] = value
        else:
            near = nearest(str(key), (*PARTS, *OPTIONS))
            hint = f"did you mean `{near}`?" if near else f"there are {', '.join(PARTS)}"
            notes.append(Note(BAD_OPTION, (key,), f"{key}: cache-dit has no such option", hint))
    converted = policy_from_options(options)
    notes += [note.under("cache_config") if nested else note for note in converted.errors]
    report(notes)
    found = {key: value for key, value in given.items() if key in PARTS}
    if options or (nested and given["cache_config"] is not None) or not found:
        found["cache_config"] = options
    return found


def _cache(given: dict[str, Any], reset: bool) -> tuple[BasicCacheConfig | None, CalibratorConfig | None]:
    options = given.get("cache_config")
    if options is None:
        return None, None
    said = {ALIASES.get(key, key): value for key, value in options.items() if value is not None}
    kind = CacheType.type(said.pop("cache_type", "DBCache"))
    mask = said.get("steps_computation_mask")
    if isinstance(mask, str):
        bits = mask if set(mask) <= {"0", "1"} else steps_mask(mask, said["num_inference_steps"])
        said["steps_computation_mask"] = [int(bit) for bit in bits]
    config: BasicCacheConfig = DBPruneConfig() if kind is CacheType.DBPrune else DBCacheConfig()
    names = {one.name for one in dataclasses.fields(config)}
    config = config.reset() if reset else config
    config.update(**{key: value for key, value in said.items() if key in names})
    if not reset or "cache_type" in options:
        config.cache_type = kind
    return config, _calibrator(said, reset)


def _calibrator(said: Mapping[str, Any], reset: bool) -> CalibratorConfig | None:
    name = next((name for name in CALIBRATORS if said.get(f"enable_{name}")), None)
    if name is None:
        return None
    config = CALIBRATORS[name]()
    names = {one.name for one in dataclasses.fields(config)}
    config = config.reset() if reset else config
    encoder = said.get(f"enable_encoder_{name}", name == "dmd")
    cache_type = said.get("taylorseer_cache_type" if name == "taylorseer" else "calibrator_cache_type", "residual")
    own = {key: value for key, value in said.items() if key in names and key != "calibrator_cache_type"}
    return config.update(
        enable_calibrator=True, enable_encoder_calibrator=encoder, calibrator_cache_type=cache_type, **own
    )


def _parallelism(given: dict[str, Any]) -> ParallelismConfig | None:
    options = given.get("parallelism_config")
    if options is None:
        return None
    said = dict(options)
    for size, alias in SIZES.items():
        for name in (alias, "tp" if alias == "tensor" else alias):
            if name in said:
                said.setdefault(size, said.pop(name))
    automatic = [name for name in SIZES if isinstance(said.get(name), str) and said[name].lower() == "auto"]
    if len(automatic) > 1:
        raise ValueError(f"parallelism_config: only one size can be `auto`, not {' and '.join(automatic)}")
    if automatic:
        distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
        others = [said.get(name) or 1 for name in SIZES if name not in automatic]
        said[automatic[0]] = (torch.distributed.get_world_size() if distributed else 1) // (others[0] * others[1])
    return ParallelismConfig(**said)


def _quantize(given: dict[str, Any]) -> QuantizeConfig | None:
    options = given.get("quantize_config")
    if options is None:
        return None
    return QuantizeConfig.from_kwargs(**{key: value for key, value in options.items() if value is not None})
