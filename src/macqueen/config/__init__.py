"""What is asked for (`KMeansParams`) and where and how often it is kept (`RunConfig`): frozen, checked once."""

from macqueen.config.params import DISTANCE_METRICS, EMPTY_CLUSTERS, INITIALIZATIONS, MOST_FLOAT64, KMeansParams
from macqueen.config.run_config import RunConfig, settle_config

__all__ = [
    "DISTANCE_METRICS",
    "EMPTY_CLUSTERS",
    "INITIALIZATIONS",
    "MOST_FLOAT64",
    "KMeansParams",
    "RunConfig",
    "settle_config",
]
