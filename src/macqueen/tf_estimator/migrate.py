"""Changes a program of `tf.estimator` to one of `macqueen.tf_estimator`: imports and names, nothing else.

What a name stands for is found by its import (``tf``, ``tensorflow.compat.v1``, ``from tensorflow import estimator as
est``), or by one assignment of it (``tf1 = tf.compat.v1``). Text that is not changed keeps every space and comment.
"""

from __future__ import annotations

import difflib
import itertools
import re
from dataclasses import dataclass
from types import ModuleType
from typing import Any, NamedTuple

import libcst as cst
from libcst.helpers import get_full_name_for_node
from libcst.metadata import MetadataWrapper, PositionProvider, QualifiedNameProvider, QualifiedNameSource

from macqueen import tf_estimator
from macqueen.tf_estimator.hook_graph import REFUSED

# Each old name and what stands for it below `macqueen.tf_estimator`.
COUNTERPARTS = {
    "tensorflow.estimator": "",
    "tensorflow.compat.v1.estimator": "",
    "tensorflow.compat.v2.estimator": "",
    "tensorflow_estimator.estimator": "",
    "tensorflow.contrib.factorization.KMeansClustering": "experimental.KMeans",
}
# Where further names are of the old estimators as well.
OLD = (*COUNTERPARTS, "tensorflow.contrib.factorization", "tensorflow.contrib.learn", "tensorflow_estimator")
MIRROR = "macqueen.tf_estimator"


@dataclass(frozen=True)
class Migration:
    """What becomes of a program.

    Parameters
    ----------
    before, after
        Its text.
    left
        Line numbers, names of the old API that have no counterpart, and what to do about each; they are left alone.
    """

    before: str
    after: str
    left: tuple[tuple[int, str, str], ...]

    def diff(self, name: str) -> str:
        """Return the unified diff."""
        lines = difflib.unified_diff(
            self.before.splitlines(keepends=True), self.after.splitlines(keepends=True), name, name
        )
        return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def migrate(text: str) -> Migration:
    """Return what becomes of the text of a program.

    Raises
    ------
    libcst.ParserSyntaxError
        It is no Python.
    """
    wrapper = MetadataWrapper(cst.parse_module(text), unsafe_skip_copy=True)
    rewriter = _Rewriter(_free_name(text))
    module = wrapper.visit(rewriter)
    if rewriter.needs_import:
        module = _with_import(module, rewriter.mirror)
    return Migration(text, module.code, tuple(sorted(rewriter.left)))


class _Match(NamedTuple):
    """An old name: what stands for its beginning, below the mirror, and the components that follow."""

    path: str
    rest: tuple[str, ...]

    @property
    def whole(self) -> str:
        """What stands for all of it, below the mirror."""
        return ".".join(filter(None, (self.path, *self.rest)))


class _Rewriter(cst.CSTTransformer):
    """Replaces what has a counterpart, and writes down what has none."""

    METADATA_DEPENDENCIES = (QualifiedNameProvider, PositionProvider)

    def __init__(self, mirror: str) -> None:
        super().__init__()
        self.mirror = mirror  # the name of the mirror in this program
        self.needs_import = False
        self.left: set[tuple[int, str, str]] = set()
        self._replaced: dict[cst.CSTNode, str] = {}
        self._seen: set[cst.CSTNode] = set()  # the inner nodes of a dotted name that was looked at
        self._assigned: dict[str, str | None] = {}  # what a variable stands for; None if that is not one thing

    # --- dotted names -------------------------------------------------------------------------------------

    def visit_Assign(self, node: cst.Assign) -> None:  # noqa: N802 -- the name is libcst's
        """Remember ``tf1 = tf.compat.v1``."""
        names = self._names(node.value)
        for target in node.targets:
            for bound in self.get_metadata(QualifiedNameProvider, target.target, set()):  # of this scope
                again = bound.name in self._assigned
                self._assigned[bound.name] = names[0] if len(names) == 1 and not again else None

    def visit_Attribute(self, node: cst.Attribute) -> None:  # noqa: N802
        """Decide about a whole dotted name; its beginnings are then not looked at again."""
        if node in self._seen:
            return
        chain: list[cst.BaseExpression] = [node]
        while isinstance(chain[-1], cst.Attribute):
            chain.append(chain[-1].value)
        self._seen.update(chain)
        for name in self._names(node):
            match = _match(name)
            if isinstance(match, str):
                self._leave(node, name, match)
            elif match is not None and len(match.rest) < len(chain) - 1:  # else its import is changed
                self._replaced[chain[len(match.rest)]] = ".".join(filter(None, (self.mirror, match.path)))
                self.needs_import = True

    def leave_Attribute(  # noqa: N802
        self, original_node: cst.Attribute, updated_node: cst.Attribute
    ) -> cst.BaseExpression:
        """Replace it."""
        new = self._replaced.get(original_node)
        return updated_node if new is None else cst.parse_expression(new)

    def _names(self, node: cst.BaseExpression) -> list[str]:
        """Return the full names that a dotted name may stand for, by what its first part stands for."""
        whole = get_full_name_for_node(node) if isinstance(node, cst.Attribute | cst.Name) else None
        while isinstance(node, cst.Attribute):
            node = node.value
        if whole is None or not isinstance(node, cst.Name):
            return []
        heads: list[str | None] = []
        for name in self.get_metadata(QualifiedNameProvider, node, set()):
            if name.source is QualifiedNameSource.IMPORT:
                heads.append(name.name)
            elif name.source is QualifiedNameSource.LOCAL:
                heads.append(self._assigned.get(name.name))
        return [f"{head}{whole[len(node.value) :]}" for head in heads if head is not None]

    def _leave(self, node: cst.CSTNode, name: str, remedy: str) -> None:
        self.left.add((self.get_metadata(PositionProvider, node).start.line, name, remedy))

    # --- imports ------------------------------------------------------------------------------------------

    def visit_Import(self, node: cst.Import) -> bool:  # noqa: N802
        """Look at imports as a whole."""
        return False

    def visit_ImportFrom(self, node: cst.ImportFrom) -> bool:  # noqa: N802
        """Look at imports as a whole."""
        return False

    def leave_Import(self, original_node: cst.Import, updated_node: cst.Import) -> cst.Import:  # noqa: N802
        """Change ``import tensorflow.estimator as est``; without a name, the module around it stays imported."""
        names = []
        for alias in updated_node.names:
            name = alias.evaluated_name
            match = _match(name)
            if isinstance(match, str):
                self._leave(original_node, name, match)
            elif match is not None:
                new = name.partition(".estimator")[0] if alias.asname is None else f"{MIRROR}.{match.whole}".rstrip(".")
                alias = alias.with_changes(name=_dotted(new))  # noqa: PLW2901 -- most stay as they are
            names.append(alias)
        return updated_node.with_changes(names=names)

    def leave_ImportFrom(  # noqa: N802
        self, original_node: cst.ImportFrom, updated_node: cst.ImportFrom
    ) -> cst.ImportFrom | cst.FlattenSentinel[cst.BaseSmallStatement]:
        """Change ``from tensorflow.estimator import RunConfig as C``: each name by itself."""
        if original_node.relative or original_node.module is None:
            return updated_node
        module = get_full_name_for_node(original_node.module) or ""
        if isinstance(original_node.names, cst.ImportStar):
            if _match(module) is not None:
                self._leave(original_node, f"{module}.*", "import the names that are used")
            return updated_node
        aliases: dict[str, list[cst.ImportAlias]] = {}  # by the module they come from now
        for alias in original_node.names:
            name = f"{module}.{alias.evaluated_name}"
            match = _match(name)
            if not isinstance(match, _Match):
                if match is not None:
                    self._leave(original_node, name, match)
                aliases.setdefault(module, []).append(alias)
                continue
            parent, _, last = f"{MIRROR}.{match.whole}".rstrip(".").rpartition(".")
            bound = alias.evaluated_alias or alias.evaluated_name
            asname = None if bound == last else alias.asname or cst.AsName(cst.Name(bound))
            aliases.setdefault(parent, []).append(alias.with_changes(name=cst.Name(last), asname=asname))
        statements = [updated_node.with_changes(module=_dotted(name), names=found) for name, found in aliases.items()]
        return cst.FlattenSentinel([_closed(statement) for statement in statements])

    def leave_SimpleStatementLine(  # noqa: N802
        self, original_node: cst.SimpleStatementLine, updated_node: cst.SimpleStatementLine
    ) -> cst.SimpleStatementLine | cst.FlattenSentinel[cst.BaseStatement]:
        """Give an import that became several a line for each; the comments stay at the first."""
        if len(updated_node.body) == len(original_node.body) or len(original_node.body) != 1:
            return updated_node
        first, *others = updated_node.body
        lines = [updated_node.with_changes(body=[first]), *(cst.SimpleStatementLine([other]) for other in others)]
        return cst.FlattenSentinel(lines)


def _match(name: str) -> _Match | str | None:
    """Return what stands for a full name, what to do where nothing does, or None if it is none of the old API."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        begin = ".".join(parts[:length])
        if begin in COUNTERPARTS:
            match = _Match(COUNTERPARTS[begin], tuple(parts[length:]))
            return REFUSED.get(parts[-1], "see docs/migrating.md") if _thing(match.whole) is None else match
        if begin in OLD:
            return "see docs/migrating.md"
    return None


def _thing(path: str) -> Any:
    """Return what the mirror has at a path, or None; below a class everything counts as there."""
    thing: Any = tf_estimator
    for part in filter(None, path.split(".")):
        if not isinstance(thing, ModuleType):
            return thing
        if part not in thing.__all__:
            return None
        thing = getattr(thing, part)
    return thing


def _dotted(name: str) -> Any:
    return cst.parse_expression(name)


def _closed(statement: cst.ImportFrom) -> cst.ImportFrom:
    """Take the comma after the last name away where no parenthesis allows it."""
    if statement.lpar is not None or isinstance(statement.names, cst.ImportStar):
        return statement
    *names, last = statement.names
    return statement.with_changes(names=[*names, last.with_changes(comma=cst.MaybeSentinel.DEFAULT)])


def _import_of(mirror: str) -> str:
    return "from macqueen import tf_estimator" + ("" if mirror == "tf_estimator" else f" as {mirror}")


def _free_name(text: str) -> str:
    """Return a name for the mirror that means nothing else in a program."""
    names = itertools.chain(["tf_estimator"], (f"tf_estimator_{number}" for number in itertools.count(2)))
    for name in names:
        known = rf"^{_import_of(name)}$"
        if re.search(known, text, re.MULTILINE) or not re.search(rf"\b{name}\b", text):
            return name
    raise AssertionError("there are infinitely many names")


def _with_import(module: cst.Module, mirror: str) -> cst.Module:
    """Import the mirror after TensorFlow, or else after the imports that a program begins with."""
    text = _import_of(mirror)
    lines = [module.code_for_node(statement.with_changes(leading_lines=())).strip() for statement in module.body]
    if text in lines:
        return module
    tensorflow = [number for number, line in enumerate(lines) if re.match(r"(import|from) tensorflow\b", line)]
    leading = itertools.takewhile(lambda line: re.match(r"(import|from) |[rR]?[\"']", line), lines)
    place = tensorflow[0] + 1 if tensorflow else len(list(leading))
    new = cst.parse_statement(text, config=module.config_for_parsing)
    return module.with_changes(body=[*module.body[:place], new, *module.body[place:]])
