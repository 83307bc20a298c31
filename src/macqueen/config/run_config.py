"""`RunConfig`: where a model is kept, how often, and who else is there."""

from __future__ import annotations

import dataclasses
import inspect
import logging
import os
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from macqueen.config.checks import folder, integer, number, one_of, shown, tf_seed
from macqueen.config.tf_config import ALONE, ClusterSpec, Role, role_of_environment
from macqueen.errors import ArgumentError

_LOG = logging.getLogger("macqueen")
PROTOCOLS = ("grpc", "grpc+verbs")
CHECKPOINT_FORMATS = ("safetensors", "tensorflow")


class _Unset:
    """The default of an argument whose None means something."""

    def __repr__(self) -> str:
        return "unset"


_UNSET: Any = _Unset()


def _not_negative(name: str, value: Any) -> float:
    return number(name, value, zero=True)


def _positive(name: str, value: Any) -> float:
    return number(name, value, zero=False)


def _count(name: str, value: Any) -> int:
    return integer(name, value, least=0)


def _at_least_one(name: str, value: Any) -> int:
    return integer(name, value, least=1)


def _session_config(name: str, value: Any) -> Any:
    if type(value).__name__ != "ConfigProto":
        raise ArgumentError(f"{name} must be an instance of ConfigProto, got {shown(value)}; leave it out")
    return value


def _device_fn(name: str, value: Any) -> Any:
    try:
        parameters = list(inspect.signature(value).parameters)
    except (TypeError, ValueError):
        parameters = []
    if parameters != ["op"]:
        raise ArgumentError(f"{name} must be callable with exactly one argument 'op', got {shown(value)}; leave it out")
    return value


def _protocol(name: str, value: Any) -> Any:
    if value not in PROTOCOLS:
        raise ArgumentError(f"{name} must be one of {', '.join(map(repr, PROTOCOLS))} or None, got {shown(value)}")
    return value


def _checkpoint_format(name: str, value: Any) -> Any:
    one_of(name, value, CHECKPOINT_FORMATS, f"Unsupported {name}")
    return value


def _delay(name: str, value: Any) -> int:
    if not isinstance(value, int):
        raise ArgumentError(f"{name} must be an integer or None, got {shown(value)}")
    return value


def _anything(name: str, value: Any) -> Any:
    return value


class _Rule(NamedTuple):
    check: Callable[[str, Any], Any]  # of any value but None
    works: bool = True  # False: means something inside TensorFlow only


# The one table: what each field must be, and whether it has a meaning here.
RULES = {
    "model_dir": _Rule(folder),
    "tf_random_seed": _Rule(tf_seed),
    "save_summary_steps": _Rule(_count),
    "save_checkpoints_steps": _Rule(_count),
    "save_checkpoints_secs": _Rule(_not_negative),
    "session_config": _Rule(_session_config, works=False),
    "keep_checkpoint_max": _Rule(_count),
    "keep_checkpoint_every_n_hours": _Rule(_positive),
    "log_step_count_steps": _Rule(_at_least_one),
    "train_distribute": _Rule(_anything, works=False),
    "device_fn": _Rule(_device_fn, works=False),
    "protocol": _Rule(_protocol, works=False),
    "eval_distribute": _Rule(_anything, works=False),
    "experimental_distribute": _Rule(_anything, works=False),
    "experimental_max_worker_delay_secs": _Rule(_delay, works=False),
    "session_creation_timeout_secs": _Rule(_positive, works=False),
    "checkpoint_save_graph_def": _Rule(_anything, works=False),
    "num_threads": _Rule(_at_least_one),
    "memory_limit": _Rule(_at_least_one),
    "checkpoint_format": _Rule(_checkpoint_format),
}
IDLE = {name for name, rule in RULES.items() if not rule.works}


@dataclass(frozen=True, repr=False)
class RunConfig:
    """Where a model is kept, how often, with how many threads it is made, and who else is there.

    Arguments, defaults and rules are those of ``tf.estimator.RunConfig``; `num_threads`, `memory_limit` and
    `checkpoint_format` are new.
    The environment variable ``TF_CONFIG`` is read once, when the object is made.

    Parameters
    ----------
    model_dir : str or os.PathLike, optional
        The folder of the checkpoints; None takes that of ``TF_CONFIG``.
    tf_random_seed : int, optional
        The seed of models that are given none.
    save_summary_steps : int, optional
        Steps between two entries of the event file; 0 or None: no event files.
    save_checkpoints_steps : int, optional
        Steps between two checkpoints; 0 or None: not by steps. Excludes `save_checkpoints_secs`.
    save_checkpoints_secs : float, optional
        Seconds between two checkpoints; 0 or None: not by time. 600 if neither of the two is given.
    keep_checkpoint_max : int, optional
        Recent checkpoints to keep; 0 or None: all.
    keep_checkpoint_every_n_hours : float, optional
        Of the older ones, one in so many hours is kept for good; None: none of them.
    log_step_count_steps : int, optional
        Steps between two lines of the log; None: no lines.
    session_config, train_distribute, device_fn, protocol, eval_distribute, experimental_distribute
        Mean something inside TensorFlow only: checked, and named in a warning when set.
    experimental_max_worker_delay_secs, session_creation_timeout_secs, checkpoint_save_graph_def
        As above.
    num_threads : int, optional
        Threads; None: the environment variable MACQUEEN_NUM_THREADS, else the cores this process may use.
    memory_limit : int, optional
        Bytes that may be taken beside the rows to make steps faster; None: no limit. The results do not depend on it.
    checkpoint_format : {'safetensors', 'tensorflow'}, optional
        "tensorflow" also writes what ``tf.train.load_variable`` and the old class read, beside ours; None: safetensors.

    Raises
    ------
    ArgumentError
        An argument or ``TF_CONFIG`` breaks its rule.
    ArgumentTypeError
        An argument has the wrong type.
    """

    model_dir: str | None = None
    tf_random_seed: int | None = None
    save_summary_steps: int | None = 100
    save_checkpoints_steps: int | None = field(default=_UNSET)
    save_checkpoints_secs: float | None = field(default=_UNSET)
    session_config: Any = None
    keep_checkpoint_max: int | None = 5
    keep_checkpoint_every_n_hours: float | None = 10000
    log_step_count_steps: int | None = 100
    train_distribute: Any = None
    device_fn: Callable[..., Any] | None = None
    protocol: str | None = None
    eval_distribute: Any = None
    experimental_distribute: Any = None
    experimental_max_worker_delay_secs: int | None = None
    session_creation_timeout_secs: float | None = 7200
    checkpoint_save_graph_def: bool = True
    _: dataclasses.KW_ONLY
    num_threads: int | None = None
    memory_limit: int | None = None
    checkpoint_format: str | None = "safetensors"
    _role: Role = field(init=False)

    def __post_init__(self) -> None:
        changed = self._changed()
        self._settle(changed)
        role = role_of_environment()
        if role.model_dir and self.model_dir and role.model_dir != self.model_dir:
            raise ArgumentError(
                f"model_dir is {self.model_dir!r}, but TF_CONFIG names {role.model_dir!r}; give one, or both the same"
            )
        vars(self).update(_role=role, model_dir=self.model_dir or role.model_dir)
        self._warn(changed)

    def _settle(self, names: Iterable[str]) -> None:
        """Check fields by name, and let giving one of steps and seconds between checkpoints clear the other."""
        steps, secs = self.save_checkpoints_steps, self.save_checkpoints_secs
        if steps is _UNSET:
            secs = 600 if secs is _UNSET else secs
            steps = None
        elif secs is _UNSET:
            secs = None
        if steps is not None and secs is not None:
            raise ArgumentError(
                "only one of save_checkpoints_steps and save_checkpoints_secs can be given, "
                f"got {steps!r} and {secs!r}; leave one out"
            )
        values = vars(self)
        values.update(save_checkpoints_steps=steps, save_checkpoints_secs=secs)
        for name in names:
            if values[name] is not None:
                values[name] = RULES[name].check(name, values[name])

    def _warn(self, changed: Collection[str]) -> None:
        """Name those of the changed fields that have no meaning here, in one warning."""
        if not IDLE.isdisjoint(changed):
            idle = [name for name in RULES if name in IDLE and name in changed]
            _LOG.warning("RunConfig: without effect outside TensorFlow: %s", ", ".join(idle))

    def _set_by_user(self) -> dict[str, Any]:
        """Return the fields that differ from their defaults."""
        changed = {name: getattr(self, name) for name in self._changed()}
        if (self.save_checkpoints_steps, self.save_checkpoints_secs) == (None, 600):
            del changed["save_checkpoints_steps"], changed["save_checkpoints_secs"]
        else:
            changed.pop("save_checkpoints_steps" if self.save_checkpoints_secs is not None else "save_checkpoints_secs")
        return changed

    def _changed(self) -> list[str]:
        """Return the names of the fields that differ from their defaults."""
        values = vars(self)  # a copy is made for each model, and looking at each field takes longer than a step
        return [name for name, default in _DEFAULTS.items() if values[name] is not default and values[name] != default]

    def __repr__(self) -> str:
        return f"RunConfig({', '.join(f'{name}={value!r}' for name, value in self._set_by_user().items())})"

    def replace(self, **changes: Any) -> RunConfig:
        """Return a copy with some fields changed; ``TF_CONFIG`` is not read again.

        Parameters
        ----------
        **changes
            Fields of the constructor. Steps between checkpoints clear the seconds between them, and the
            other way round.

        Returns
        -------
        RunConfig
            The changed copy; this one stays as it is.

        Raises
        ------
        ArgumentError
            There is no such field, or a value breaks its rule.
        ArgumentTypeError
            A value has the wrong type.
        """
        unknown = sorted(name for name in changes if name not in RULES)
        if unknown:
            raise ArgumentError(f"Replacing {', '.join(unknown)} is not supported; known: {', '.join(RULES)}")
        values = dict(vars(self))
        pair = ("save_checkpoints_steps", "save_checkpoints_secs")
        for one, other in (pair, pair[::-1]):
            if changes.get(one) is not None and other not in changes:
                values[other] = None
        made = object.__new__(RunConfig)
        vars(made).update(values, **changes)
        made._settle(changes)
        again = [name for name in changes if name in IDLE and changes[name] != values[name]]
        if again:
            made._warn([name for name in made._changed() if name in again])
        return made

    # --- who else is there, from TF_CONFIG --------------------------------------------------------------

    @property
    def cluster_spec(self) -> ClusterSpec:
        """The addresses of the cluster; empty without one, and for an evaluator."""
        return self._role.cluster_spec

    @property
    def task_type(self) -> str:
        """What this process is: 'worker' without a cluster."""
        return self._role.task_type

    @property
    def task_id(self) -> int:
        """Its number among those of its type."""
        return self._role.task_id

    @property
    def is_chief(self) -> bool:
        """Whether this process is the one that writes."""
        return self._role.is_chief

    @property
    def master(self) -> str:
        """Address of this process, '' where it is alone."""
        return self._role.master

    @property
    def evaluation_master(self) -> str:
        """Address for evaluation."""
        return self._role.evaluation_master

    @property
    def num_ps_replicas(self) -> int:
        """Parameter servers in the cluster."""
        return self._role.num_ps_replicas

    @property
    def num_worker_replicas(self) -> int:
        """Workers in the cluster, the chief among them."""
        return self._role.num_worker_replicas

    @property
    def global_id_in_cluster(self) -> int | None:
        """Number of this process among all; None for an evaluator."""
        return self._role.global_id_in_cluster

    @property
    def service(self) -> dict[str, Any] | None:
        """What ``TF_CONFIG`` says under that name."""
        return self._role.service

    def refuse_cluster(self) -> None:
        """Refuse to train where ``TF_CONFIG`` asks for more than this process.

        Raises
        ------
        ArgumentError
            This process is an evaluator or a parameter server, or the cluster has more than one node.
        """
        if self._role is ALONE:
            return
        if self.task_type in ("evaluator", "ps"):
            raise ArgumentError(
                f"train cannot run where TF_CONFIG makes this process task {self.task_type!r}: run it as the chief or "
                "a worker, or unset TF_CONFIG"
            )
        nodes = sum(len(addresses) for _, addresses in self.cluster_spec.jobs)
        if nodes > 1:
            raise ArgumentError(
                f"TF_CONFIG names a cluster of {nodes} nodes, but train runs in this process alone. Unset TF_CONFIG to "
                "train here"
            )


_DEFAULTS = {item.name: item.default for item in dataclasses.fields(RunConfig) if item.name in RULES}


def settle_config(config: RunConfig | None, model_dir: str | os.PathLike[str] | None) -> RunConfig:
    """Return the configuration with its model directory: the one given twice, once, or none."""
    if config is None:
        config = RunConfig()
    if not isinstance(config, RunConfig):
        raise ArgumentError(f"config must be an instance of `RunConfig`, got {config!r}; build one")
    if model_dir is None or model_dir == "":
        return config
    path = folder("model_dir", model_dir)
    if config.model_dir and path != config.model_dir:
        raise ArgumentError(
            f"model_dir is {path!r}, but config.model_dir is {config.model_dir!r}; give one, or both the same"
        )
    return config.replace(model_dir=path)
