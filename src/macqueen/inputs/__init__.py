"""Rows come in: whatever holds rows becomes a data set or a stream of float batches.

`source.as_source` picks; every other file is one kind of input.
"""

from macqueen.inputs.input_fns import numpy_input_fn, pandas_input_fn
from macqueen.inputs.source import Dataset
from macqueen.inputs.streams import limit_epochs

__all__ = ["Dataset", "limit_epochs", "numpy_input_fn", "pandas_input_fn"]
