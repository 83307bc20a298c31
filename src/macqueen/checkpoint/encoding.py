"""A checkpoint file as bytes: `encoded` writes one, `decoded` judges and reads one. docs/checkpoint-format.md."""

from __future__ import annotations

import functools
import hashlib
import json
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from macqueen.errors import CheckpointError
from macqueen.state import State

FORMAT = "macqueen"
FORMAT_VERSION = "1"

Tensors: TypeAlias = dict[str, NDArray[Any]]
STATE_TENSORS = ("clusters", "global_step", "cluster_counts", "clusters_updated", "update_in_steps")
_DTYPES = {"float32": "F32", "float64": "F64", "int64": "I64"}  # NumPy's and safetensors' names


class RefusedError(CheckpointError):
    """A file that is no damaged checkpoint and yet cannot be used: to skip it would be to lose work."""


@dataclass(frozen=True, eq=False)
class Content:
    """A checkpoint that was read and found sound."""

    state: State
    settings: dict[str, Any]
    tensors: Tensors  # read-only


def encoded(state: State, settings: dict[str, Any], constants: Tensors) -> tuple[bytes, list[NDArray[Any]]]:
    """Return the header and the tensors that follow it: equal states give equal bytes.

    The header is made here because the safetensors library orders its metadata at random.
    """
    tensors = tensors_of(state, settings, constants)
    k, d = state.centers.shape
    metadata = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "macqueen_version": _version(),
        "state": _json(
            {
                "seed": int(state.seed),
                "loss": None if state.loss is None else float(state.loss).hex(),
                "pending_loss": float(state.pending_loss).hex(),
                "steps_since_sync": int(state.steps_since_sync),
                "stalled": int(state.stalled),
                "position": state.position,
            }
        ),
        "settings": _json({**settings, "k": k, "d": d, "dtype": state.centers.dtype.name}),
    }
    metadata["checksum"] = _checksum(metadata, tensors)
    header: dict[str, Any] = {"__metadata__": metadata}
    names = sorted(tensors, key=lambda name: (-tensors[name].itemsize, name))  # keeps each aligned to its size
    end = 0
    for name in names:
        start, end = end, end + tensors[name].nbytes
        header[name] = {
            "dtype": _DTYPES[tensors[name].dtype.name],
            "shape": list(tensors[name].shape),
            "data_offsets": [start, end],
        }
    text = json.dumps(header, separators=(",", ":")).encode("ascii")
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text, [tensors[name] for name in names]


def decoded(data: bytes, path: str) -> Content:
    """Return what the bytes of a file say, or raise CheckpointError with what is wrong with them."""
    metadata, tensors = _parsed(data, path)
    if metadata.get("format") != FORMAT:
        raise CheckpointError(f"{path} is not a macqueen checkpoint: it was written by something else, or is damaged")
    version = metadata.get("format_version")
    of_version = f"it is of format version {version!r}; this library reads version {FORMAT_VERSION!r}"
    unsigned = {key: value for key, value in metadata.items() if key != "checksum"}
    if metadata.get("checksum") != _checksum(unsigned, tensors):
        more = "" if version == FORMAT_VERSION else f", or {of_version}"
        raise CheckpointError(f"{path} is damaged: its checksum does not match{more}")
    if version != FORMAT_VERSION:
        raise RefusedError(f"cannot read {path}: {of_version}. Use a newer macqueen, or another model_dir")
    for tensor in tensors.values():
        tensor.flags.writeable = False
    try:
        settings = json.loads(metadata["settings"])
        return Content(_state(json.loads(metadata["state"]), tensors), settings, tensors)
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} is not a checkpoint this library wrote: {error}") from error


def tensors_of(state: State, settings: dict[str, Any], constants: Tensors) -> Tensors:
    """Return the tensors of a state by their TensorFlow names, and those beside it."""
    tensors: Tensors = {**constants, "clusters": state.centers, "global_step": np.array(state.step, np.int64)}
    if state.counts is not None:
        tensors["cluster_counts"] = state.counts
    if state.pending is not None:
        left = int(settings.get("steps_per_iteration", 1)) - state.steps_since_sync
        tensors["clusters_updated"] = state.pending
        tensors["update_in_steps"] = np.array(left, np.int64)
    return {name: np.asarray(tensor, tensor.dtype.newbyteorder("<"), order="C") for name, tensor in tensors.items()}


def _state(facts: dict[str, Any], tensors: Tensors) -> State:
    """Return the state that `facts` (of the metadata) and the tensors make up."""
    centers, pending, counts = (tensors.get(name) for name in ("clusters", "clusters_updated", "cluster_counts"))
    if centers is None or centers.ndim != 2 or centers.dtype.kind != "f":
        raise ValueError("clusters is not a floating-point tensor (k, d)")
    if pending is not None and (pending.shape != centers.shape or pending.dtype != centers.dtype):
        raise ValueError("clusters_updated does not match clusters")
    if counts is not None and (counts.shape != centers.shape[:1] or counts.dtype != np.int64):
        raise ValueError("cluster_counts does not match clusters")
    return State(
        centers=centers,
        step=int(tensors["global_step"]),
        seed=facts["seed"],
        counts=counts,
        pending=pending,
        steps_since_sync=facts["steps_since_sync"],
        loss=None if facts["loss"] is None else float.fromhex(facts["loss"]),
        pending_loss=float.fromhex(facts["pending_loss"]),
        stalled=facts["stalled"],
        position=facts["position"],
    )


def _parsed(data: bytes, path: str) -> tuple[dict[str, str], Tensors]:
    """Return metadata and tensors of a safetensors file."""
    from safetensors import SafetensorError  # noqa: PLC0415 -- `import macqueen` stays fast
    from safetensors.numpy import load  # noqa: PLC0415

    try:
        tensors = load(data)
        header = data[8 : 8 + int.from_bytes(data[:8], "little")]
        metadata = json.loads(header).get("__metadata__", {})
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} is damaged, cut short, or not a safetensors file: {error}") from error
    if not header.rstrip(b" ").endswith(b"}"):  # the one place that checksum and parser do not look at
        raise CheckpointError(f"{path} is damaged: something stands behind its header")
    return metadata, tensors


def _checksum(metadata: dict[str, str], tensors: Tensors) -> str:
    """Return the SHA-256 of all metadata but the checksum, and of names, dtypes, shapes and bytes of the tensors."""
    described = [
        [name, _DTYPES.get(tensor.dtype.name, "?"), list(tensor.shape)] for name, tensor in sorted(tensors.items())
    ]
    digest = hashlib.sha256(_json([metadata, described]).encode("ascii"))
    for _, tensor in sorted(tensors.items()):
        digest.update(tensor.reshape(-1).data)
    return digest.hexdigest()


def _json(value: object) -> str:
    """Return the one way in which a value is written."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


@functools.cache
def _version() -> str:
    from importlib import metadata  # noqa: PLC0415 -- `import macqueen` stays fast

    try:
        return metadata.version("macqueen")
    except metadata.PackageNotFoundError:
        return "unknown"
