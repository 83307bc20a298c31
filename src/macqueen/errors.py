"""What can go wrong, as one tree.

Every class is also the built-in that callers of the old estimator expect::

    MacqueenError
    ├── ArgumentError            ValueError   an argument breaks its rule
    │   └── SettingsMismatchError             a model directory belongs to a model of other settings
    ├── ArgumentTypeError        TypeError    an argument has the wrong type
    ├── DataError                ValueError   rows that cannot be clustered: shape, dtype, NaN, infinity
    │   ├── EmptyInputError                   an input without rows
    │   └── InputEndedError                   an input that ended before all centers were chosen
    ├── InputReadError           ValueError   an input that can be read once was needed again, or failed
    ├── EmptyClusterError        ValueError   a cluster lost its last row and the policy is "error"
    ├── NanLossError             RuntimeError the loss is no number
    ├── NotTrainedError          ValueError   there are no centers yet
    ├── CheckpointError          OSError, ValueError   a checkpoint is missing, damaged or cannot be written
    ├── SummaryError             OSError      an event file cannot be written
    ├── ExportError              OSError      an exported model cannot be written, or does not say what the model says
    └── MissingExtraError        ImportError  an optional package is not installed

Not converging is a result, not an error.
"""


class MacqueenError(Exception):
    """Base of all errors raised on purpose."""


class ArgumentError(MacqueenError, ValueError):
    """An argument breaks its rule."""


class SettingsMismatchError(ArgumentError):
    """The model directory holds a model of other settings."""


class ArgumentTypeError(MacqueenError, TypeError):
    """An argument has the wrong type."""


class DataError(MacqueenError, ValueError):
    """The rows cannot be clustered."""


class EmptyInputError(DataError):
    """The input has no rows."""


class InputEndedError(DataError):
    """The input ended before all centers were chosen."""


class InputReadError(MacqueenError, ValueError):
    """The input can be read only once and was needed again, or failed while it was read."""


class EmptyClusterError(MacqueenError, ValueError):
    """A cluster lost its last row."""


class NanLossError(MacqueenError, RuntimeError):
    """The loss is no number."""


class NotTrainedError(MacqueenError, ValueError):
    """There are no centers yet."""


class CheckpointError(MacqueenError, OSError, ValueError):
    """A checkpoint is missing, damaged or cannot be written."""


class SummaryError(MacqueenError, OSError):
    """An event file cannot be written."""


class ExportError(MacqueenError, OSError):
    """An exported model cannot be written, or does not say what the model says."""


class MissingExtraError(MacqueenError, ImportError):
    """An optional package is not installed."""
