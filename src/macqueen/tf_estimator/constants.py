"""Tensors of a graph whose batches are known without a session, which costs a call more than a small step."""

from __future__ import annotations

from typing import Any, NamedTuple

from macqueen.tf_estimator.tensors import tensorflow

COUNTERS = ("CountUpTo", "ResourceCountUpTo")
BESIDE = ("Identity", "ReadVariableOp", "VarIsInitializedOp", "AssignVariableOp", "Assign")  # of any variable


class ConstantBatches(NamedTuple):
    """The same batch again and again: the value of `tensor`, a constant."""

    tensor: Any
    times: int | None  # None: without end


def constant_batches(tensor: Any) -> ConstantBatches | None:
    """Return what a tensor of a graph is in each run; None where only a session knows.

    Known are constants, alone or in ``tf.compat.v1.train.limit_epochs``: an identity of a constant that a counter,
    which begins at 0, lets pass a number of times.
    """
    if not isinstance(tensor, tensorflow().Tensor):
        return None
    source, before = tensor.op, list(tensor.op.control_inputs)
    if source.type == "Identity":
        source = source.inputs[0].op
        before += source.control_inputs
    if source.type != "Const":
        return None
    limits = {operation: _limit(operation) for operation in before}
    if None in limits.values():
        return None
    times = min((limit for limit in limits.values() if limit is not None), default=None)
    return ConstantBatches(source.outputs[0], times)


def _limit(counter: Any) -> int | None:
    """Return how often an operation lets a run pass; None if it is no counter that begins at 0 and is its own."""
    if counter.type not in COUNTERS or counter.control_inputs:
        return None
    variable = counter.inputs[0].op
    users = [user for output in variable.outputs for user in output.consumers() if user is not counter]
    assigned = [user for user in users if "Assign" in user.type]
    if len(assigned) != 1 or any(user.type not in BESIDE for user in users):
        return None
    if tensorflow().get_static_value(assigned[0].inputs[1]) != 0:
        return None
    return int(counter.get_attr("limit"))
