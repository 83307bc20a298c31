"""MODELS LEAVE: a trained model as files that other programs read without macqueen.

`saved_model` writes TensorFlow's SavedModel, `onnx` an ONNX graph. Both compute in float64 and in difference form, a
bounded block of rows at a time, so that labels are right wherever the rows lie.
"""

from macqueen.exports.snapshot import Snapshot

__all__ = ["Snapshot"]
