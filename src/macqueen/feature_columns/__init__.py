"""Dict of columns to rows, without TensorFlow: its names and meaning, and statistics to scale columns by."""

from macqueen.feature_columns.columns import (
    bucketized_column,
    categorical_column_with_hash_bucket,
    categorical_column_with_identity,
    categorical_column_with_vocabulary_file,
    categorical_column_with_vocabulary_list,
    crossed_column,
    embedding_column,
    indicator_column,
    numeric_column,
    shared_embeddings,
    weighted_categorical_column,
)
from macqueen.feature_columns.description import describe, from_description
from macqueen.feature_columns.layer import InputLayer, checked
from macqueen.feature_columns.statistics import (
    CategoryStatistics,
    NumericStatistics,
    Standardize,
    fit_numeric,
    fit_vocabulary,
)

shared_embedding_columns = shared_embeddings  # its name in TensorFlow 1

__all__ = [
    "CategoryStatistics",
    "InputLayer",
    "NumericStatistics",
    "Standardize",
    "bucketized_column",
    "categorical_column_with_hash_bucket",
    "categorical_column_with_identity",
    "categorical_column_with_vocabulary_file",
    "categorical_column_with_vocabulary_list",
    "checked",
    "crossed_column",
    "describe",
    "embedding_column",
    "fit_numeric",
    "fit_vocabulary",
    "from_description",
    "indicator_column",
    "numeric_column",
    "shared_embedding_columns",
    "shared_embeddings",
    "weighted_categorical_column",
]
