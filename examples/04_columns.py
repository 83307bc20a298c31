"""A table with text and gaps, clustered through feature columns, watched and stopped by hooks; fully typed.

`mypy --strict` passes on it: `make check` sees to that.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

import macqueen
import macqueen.tf_estimator as estimator
from macqueen import feature_columns as fc
from macqueen.hooks import Progress
from macqueen.state import State, StepStats

CITIES = np.array(["Rome", "Oslo", "Lima"])


def visits(batches: int) -> Iterator[dict[str, NDArray[Any]]]:
    """Yield batches of a table: two groups of people, told apart by age and city; some ages are missing."""
    random = np.random.default_rng(0)
    for _ in range(batches):
        group = random.integers(2, size=500)
        age = np.where(group == 0, random.normal(30, 5, 500), random.normal(60, 5, 500))
        age[random.random(500) < 0.02] = np.nan
        yield {"age": age, "city": CITIES[(group + (random.random(500) < 0.1)) % 3]}


class LastLoss(estimator.SessionRunHook):
    """A hook of the old API: remembers the loss."""

    def __init__(self) -> None:
        self.loss: float | None = None

    def before_run(self, run_context: estimator.SessionRunContext) -> estimator.SessionRunArgs:
        """Ask for the loss of the next step."""
        return estimator.SessionRunArgs("loss")

    def after_run(self, run_context: estimator.SessionRunContext, run_values: estimator.SessionRunValues) -> None:
        """Take it."""
        self.loss = run_values.results


def stop_early(state: State, stats: StepStats, now: float) -> str | None:
    """Stop when a row is less than 0.45 away from its center, squared and on average."""
    return "close enough" if stats.cost < 0.45 * stats.rows else None


def main() -> None:
    """Measure the columns, train, and look at the model."""
    age = fc.fit_numeric(visits(10))["age"]
    city = fc.fit_vocabulary(visits(10), "city")
    columns = [age.column(default_value=age.mean), fc.indicator_column(city.column())]
    print(f"age: mean {age.mean:.1f}, deviation {age.scale:.1f}, {age.missing} missing; city: {city.vocabulary}")

    with tempfile.TemporaryDirectory() as model_dir:
        config = macqueen.RunConfig(model_dir, save_summary_steps=5)
        model = macqueen.KMeans(2, config=config, seed=1, feature_columns=columns)
        last = LastLoss()
        model.train(lambda: visits(50), hooks=[Progress(), stop_early, last])
        metrics: dict[str, Any] = model.evaluate(lambda: visits(5), name="again")
        labels: NDArray[np.int64] = model.labels(lambda: visits(1))
        steps: NDArray[np.int64] = model.history()["step"]

    print(f"{len(steps)} steps, last loss {last.loss:.1f}, average loss {metrics['average_loss']:.3f}")
    print("rows of a batch in each cluster:", np.bincount(labels).tolist())


if __name__ == "__main__":
    main()
