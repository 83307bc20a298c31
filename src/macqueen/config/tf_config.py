"""The environment variable ``TF_CONFIG``: which part this process has in a cluster."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Any

from macqueen.config.checks import shown
from macqueen.errors import ArgumentError, ArgumentTypeError

CHIEF, MASTER, WORKER, PS, EVALUATOR = "chief", "master", "worker", "ps", "evaluator"


@dataclass(frozen=True)
class ClusterSpec:
    """The addresses of a cluster; false when there is none."""

    jobs: tuple[tuple[str, tuple[str, ...]], ...] = ()  # (type, its addresses), by type

    def __bool__(self) -> bool:
        return bool(self.jobs)

    def as_dict(self) -> dict[str, list[str]]:
        """Return the addresses by type."""
        return {name: list(addresses) for name, addresses in self.jobs}


@dataclass(frozen=True)
class Role:
    """What ``TF_CONFIG`` says; the defaults hold where it says nothing."""

    cluster_spec: ClusterSpec = ClusterSpec()
    task_type: str = WORKER
    task_id: int = 0
    is_chief: bool = True
    master: str = ""
    evaluation_master: str = ""
    num_ps_replicas: int = 0
    num_worker_replicas: int = 1
    global_id_in_cluster: int | None = 0
    service_json: str | None = None
    model_dir: str | None = None

    @property
    def service(self) -> dict[str, Any] | None:
        """The value of that name, a copy."""
        return None if self.service_json is None else json.loads(self.service_json)


ALONE = Role()


def role_of_environment() -> Role:
    """Read ``TF_CONFIG``.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        It is no JSON object, or breaks a rule of clusters.
    """
    text = os.environ.get("TF_CONFIG")
    if not text:
        return ALONE
    try:
        config = json.loads(text)
    except json.JSONDecodeError as error:
        raise ArgumentError(f"TF_CONFIG must be JSON, got {shown(text)}: {error}. Mend or unset it") from error
    if not isinstance(config, dict):
        raise ArgumentError(f"TF_CONFIG must be a JSON object, got {shown(config)}. Mend or unset it")
    service = config.get("service")
    if service is not None and not isinstance(service, dict):
        raise ArgumentTypeError(f"TF_CONFIG: service must be an object, got {shown(service)}")
    model_dir = config.get("model_dir")
    if model_dir is not None and (not isinstance(model_dir, str) or not model_dir):
        raise ArgumentError(f"TF_CONFIG: model_dir must be a folder, got {shown(model_dir)}; leave it out")
    common = {
        "evaluation_master": config.get("eval_session_master", ""),
        "service_json": None if service is None else json.dumps(service),
        "model_dir": model_dir,
    }
    task = config.get("task", {})
    if not isinstance(task, dict):
        raise ArgumentError(f"TF_CONFIG: task must be an object, got {shown(task)}")
    cluster = _cluster(config.get("cluster", {}))
    if not cluster:
        _check_alone(task)
        return Role(master=config.get("session_master", ""), **common)
    return _role_in(cluster, task, config.get("session_master"), common)


def _cluster(found: Any) -> dict[str, list[str]]:
    if not isinstance(found, dict):
        raise ArgumentError(f"TF_CONFIG: cluster must be an object, got {shown(found)}")
    for name, addresses in found.items():
        if not isinstance(addresses, list) or not all(isinstance(address, str) for address in addresses):
            raise ArgumentError(f"TF_CONFIG: cluster.{name} must be a list of addresses, got {shown(addresses)}")
    if found:
        chief = MASTER if MASTER in found else CHIEF
        if chief == MASTER and (CHIEF in found or EVALUATOR in found):
            raise ArgumentError("TF_CONFIG: a cluster with a 'master' has no 'chief' and no 'evaluator'; name one kind")
        if len(found.get(chief, [])) != 1:
            raise ArgumentError(
                f"TF_CONFIG: a cluster needs exactly one {chief!r} node, got {len(found.get(chief, []))}"
            )
    return found


def _check_alone(task: dict[str, Any]) -> None:
    """Refuse a task that only makes sense in a cluster."""
    if task.get("type", WORKER) != WORKER or str(task.get("index", 0)) != "0":
        raise ArgumentError(f"TF_CONFIG: without a cluster the task must be worker 0, got {task}; name the cluster")


def _role_in(cluster: dict[str, list[str]], task: dict[str, Any], master: Any, common: dict[str, Any]) -> Role:
    kind, index = task.get("type"), _index(task.get("index"))
    if kind is None or index is None:
        raise ArgumentError(f"TF_CONFIG: with a cluster, task needs a type and an index, got {task}")
    if kind == EVALUATOR and MASTER in cluster:
        raise ArgumentError("TF_CONFIG: a cluster with a 'master' has no 'evaluator'; name a 'chief'")
    if kind == EVALUATOR:
        return Role(
            task_type=EVALUATOR,
            task_id=index,
            is_chief=False,
            master=master or "",
            num_worker_replicas=0,
            global_id_in_cluster=None,
            **common,
        )
    if kind not in cluster:
        raise ArgumentError(f"TF_CONFIG: task type {kind!r} is not in the cluster, which has {', '.join(cluster)}")
    if index >= len(cluster[kind]):
        raise ArgumentError(f"TF_CONFIG: task index {index} is out of range: {len(cluster[kind])} nodes of {kind!r}")
    nodes = sum(map(len, cluster.values()))
    if master is None:
        master = f"grpc://{cluster[kind][index]}" if nodes > 1 else ""
    chiefs = (CHIEF, MASTER)
    order = sorted(cluster, key=lambda name: (name not in chiefs, name == PS, name))
    before = sum(len(cluster[name]) for name in order[: order.index(kind)])
    return Role(
        cluster_spec=ClusterSpec(tuple((name, tuple(cluster[name])) for name in sorted(cluster))),
        task_type=kind,
        task_id=index,
        is_chief=kind in chiefs,
        master=master,
        num_ps_replicas=len(cluster.get(PS, [])),
        num_worker_replicas=sum(len(cluster.get(name, [])) for name in (CHIEF, MASTER, WORKER)),
        global_id_in_cluster=before + index,
        **common,
    )


def _index(value: Any) -> int | None:
    """Return the index of a task, which may come as text."""
    if value is None:
        return None
    try:
        index = int(value)
    except (TypeError, ValueError):
        raise ArgumentError(f"TF_CONFIG: task index must be an integer, got {shown(value)}") from None
    if index < 0:
        raise ArgumentError(f"TF_CONFIG: task index must not be negative, got {index}")
    return index
