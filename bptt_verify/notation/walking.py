"""Walking over trees: subtrees and their paths, exchanging them, free index letters."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields
from dataclasses import replace as replaced
from functools import lru_cache
from typing import Any

from bptt_verify.notation.tree import Letter, OrderedProduct, Path, Sum, Tree


def replace(tree: Any, **changes: Any) -> Any:
    """``dataclasses.replace`` for a tree of any kind."""
    return replaced(tree, **changes)


def parts(tree: Tree) -> Iterator[tuple[tuple[str, int], Tree]]:
    """The direct subtrees, each with its place (field, position in the field)."""
    kind: type = type(tree)
    for name in _names(kind):
        inner = getattr(tree, name)
        if isinstance(inner, tuple):
            for k, part in enumerate(inner):
                yield (name, k), part
        elif inner is not None:
            yield (name, -1), inner


@lru_cache(maxsize=64)
def _names(kind: type) -> tuple[str, ...]:
    """The fields of a kind of tree that hold trees."""
    return tuple(f.name for f in fields(kind) if "Tree" in str(f.type) or str(f.type) == "Letter")


def walk(tree: Tree, path: Path = ()) -> Iterator[tuple[Path, Tree]]:
    """Every subtree with the path to it, outer ones first."""
    yield path, tree
    for place, inner in parts(tree):
        yield from walk(inner, (*path, place))


def subtree(tree: Tree, path: Path) -> Tree:
    """The subtree at a path."""
    for name, k in path:
        inner = getattr(tree, name)
        tree = inner if k < 0 else inner[k]
    return tree


def exchanged(tree: Tree, path: Path, new: Tree) -> Tree:
    """The tree with another subtree at a path."""
    if not path:
        return new
    (name, k), *rest = path
    inner = getattr(tree, name)
    changed = exchanged(inner if k < 0 else inner[k], tuple(rest), new)
    whole: Any = changed if k < 0 else (*inner[:k], changed, *inner[k + 1 :])
    return replace(tree, **{name: whole})  # type: ignore[no-any-return]


def mapped(tree: Tree, change: Callable[[Tree], Tree]) -> Tree:
    """The tree with ``change`` applied to every subtree, inner ones first."""
    new: dict[str, Any] = {}
    for f in fields(tree):
        inner = getattr(tree, f.name)
        if isinstance(inner, Tree):
            new[f.name] = mapped(inner, change)
        elif isinstance(inner, tuple):
            new[f.name] = tuple(mapped(part, change) for part in inner)
    return change(replace(tree, **new) if new else tree)


def free_letters(tree: Tree) -> set[str]:
    """The index letters that no sum or product sign binds."""
    match tree:
        case Letter(role="index"):
            return {tree.name}
        case Sum() | OrderedProduct():
            limits = (tree.low, tree.high) if isinstance(tree, Sum) else (tree.first, tree.last)
            outer = free_letters(limits[0]) | free_letters(limits[1])
            return outer | (free_letters(tree.body) - {tree.variable})
    return set().union(*(free_letters(inner) for _, inner in parts(tree)))


def substituted(tree: Tree, variable: str, value: Tree) -> Tree:
    """The tree with another tree for a free index letter."""
    if isinstance(tree, Letter) and tree.role == "index":
        return value if tree.name == variable else tree
    new: dict[str, Any] = {}
    for f in fields(tree):
        inner = getattr(tree, f.name)
        hidden = isinstance(tree, Sum | OrderedProduct) and tree.variable == variable and f.name == "body"
        if isinstance(inner, Tree) and not hidden:
            new[f.name] = substituted(inner, variable, value)
        elif isinstance(inner, tuple):
            new[f.name] = tuple(substituted(part, variable, value) for part in inner)
    return replace(tree, **new) if new else tree
