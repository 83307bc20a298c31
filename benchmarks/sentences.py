"""Text embeddings: WordLlama's token table, and sentences of installed packages as means of its tokens."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

PACKAGES = ("numpy", "scipy", "sklearn", "skimage", "networkx")
PROSE = re.compile(r'"""(.*?)"""|((?:^[ \t]*#[^\n]*\n)+)', re.DOTALL | re.MULTILINE)  # docstrings, blocks of comments
END = re.compile(r"\n\s*\n|(?<=[.!?:])\s+")
SHORTEST, LETTERS = 20, 0.7  # characters, and the share of them that are letters: leaves out code and drawings


def folder(package: str) -> Path:
    """Where a package lies; it is not imported."""
    found = find_spec(package)
    if found is None or found.origin is None:
        raise ModuleNotFoundError(f"{package} is not installed; make bench installs it")
    return Path(found.origin).parent


def prose(package: str) -> Iterator[str]:
    """Docstrings and comments of a package, file by file."""
    for path in sorted(folder(package).rglob("*.py")):
        for match in PROSE.finditer(path.read_text(encoding="utf-8", errors="ignore")):
            comment = match[2]
            yield match[1] if comment is None else re.sub(r"^[ \t]*#+ ?", "", comment, flags=re.MULTILINE)


def sentences(count: int) -> list[str]:
    """`count` distinct sentences, in random order."""
    found: dict[str, None] = {}
    for package in PACKAGES:
        for text in prose(package):
            for piece in END.split(text):
                sentence = " ".join(piece.split())
                if len(sentence) >= SHORTEST and sum(map(str.isalpha, sentence)) > LETTERS * len(sentence):
                    found[sentence] = None
    if len(found) < count:
        raise ValueError(f"{', '.join(PACKAGES)} hold {len(found)} sentences, {count} are needed")
    everything = list(found)
    return [everything[i] for i in np.random.default_rng(6).permutation(len(everything))[:count]]


def tokens() -> NDArray[np.float32]:
    """Return the vector of each token, (32 000, 256)."""
    from safetensors.numpy import load_file

    (table,) = load_file(folder("wordllama") / "weights" / "l2_supercat_256.safetensors").values()
    return table.astype(np.float32)


def embeddings(count: int) -> NDArray[np.float32]:
    """Return the mean of the vectors of each sentence's tokens, (count, 256)."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder("wordllama") / "tokenizers" / "l2_supercat_tokenizer_config.json"))
    tokenizer.no_padding()
    table = tokens()
    result = np.empty((count, table.shape[1]), np.float32)
    for i, encoded in enumerate(tokenizer.encode_batch_fast(sentences(count), add_special_tokens=False)):
        result[i] = table[encoded.ids].mean(axis=0)
    return result
