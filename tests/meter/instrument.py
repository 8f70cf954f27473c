"""Loads a second copy of the gateway whose every step is counted.

The source is taken as it is; its syntax tree is changed so that calls, slices, additions, loops
and comparisons go through the functions of `work`.  The copy lives beside the real modules and does
not know them.
"""

from __future__ import annotations

import ast
import importlib
import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType, ModuleType
from typing import Any

from tests.meter.work import hooks

_PACKAGE = "smimegw"
# These read the frame that calls them.
_NOT_WRAPPED = {"super", "locals", "globals"}


class Metered:
    """The counted copy; ``metered["smimegw.mime.entity"].Entity``."""

    def __init__(self) -> None:
        self._modules: dict[str, ModuleType] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._modules:
            self._load(name)
        return self._modules[name]

    def _load(self, name: str) -> None:
        real = {key: sys.modules.pop(key) for key in list(sys.modules) if _is_ours(key)}
        sys.modules.update(self._modules)
        finder = _Finder()
        sys.meta_path.insert(0, finder)
        try:
            importlib.import_module(name)
        finally:
            sys.meta_path.remove(finder)
            self._modules = {
                key: sys.modules.pop(key) for key in list(sys.modules) if _is_ours(key)
            }
            sys.modules.update(real)


def _is_ours(name: str) -> bool:
    return name == _PACKAGE or name.startswith(_PACKAGE + ".")


class _Finder(MetaPathFinder):
    def find_spec(
        self, name: str, path: Any, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not _is_ours(name):
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Loader(name, spec.loader.path)
        return spec


class _Loader(SourceFileLoader):
    def get_code(self, fullname: str) -> CodeType:
        return counted_code(self.get_data(self.path).decode(), self.path)

    def exec_module(self, module: ModuleType) -> None:
        module.__dict__.update(hooks)
        super().exec_module(module)


def counted_code(source: str, path: str = "<counted>") -> CodeType:
    """Compile *source* with every step counted; it needs `hooks` among its globals."""
    tree = _Counting().visit(ast.parse(source, path))
    return compile(ast.fix_missing_locations(tree), path, "exec", dont_inherit=True)


class _Counting(ast.NodeTransformer):
    def visit_arg(self, node: ast.arg) -> ast.AST:
        return node  # annotations are not run

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        if node.value is not None:
            node.value = self.visit(node.value)
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return self._function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        return self._function(node)

    def _function(self, node: Any) -> ast.AST:
        node.body = [self.visit(statement) for statement in node.body]
        node.body = [
            item for part in node.body for item in (part if isinstance(part, list) else [part])
        ]
        node.args = self.visit(node.args)
        node.decorator_list = [self.visit(decorator) for decorator in node.decorator_list]
        return node

    def visit_Match(self, node: ast.Match) -> ast.AST:
        node.subject = self.visit(node.subject)
        for case in node.cases:  # patterns look like calls and are none
            case.guard = self.visit(case.guard) if case.guard else None
            case.body = [
                item for statement in case.body for item in _as_list(self.visit(statement))
            ]
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.func, ast.Name) and node.func.id in _NOT_WRAPPED:
            return node
        return _hook("_m_call", node.func, *node.args, keywords=node.keywords)

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.ctx, ast.Load) and isinstance(node.slice, ast.Slice):
            return _hook("_m_sized", node)
        return node

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        return (
            _hook("_m_sized", node) if isinstance(node.op, (ast.Add, ast.Mult, ast.Mod)) else node
        )

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        node.values = [self.visit(value) for value in node.values]
        return _hook("_m_sized", node)

    def visit_FormattedValue(self, node: ast.FormattedValue) -> ast.AST:
        node.value = self.visit(node.value)  # the format itself has to stay a constant
        return node

    def visit_List(self, node: ast.List) -> ast.AST:
        return self._display(node)

    def visit_Tuple(self, node: ast.Tuple) -> ast.AST:
        return self._display(node)

    def _display(self, node: Any) -> ast.AST:
        self.generic_visit(node)
        starred = any(isinstance(element, ast.Starred) for element in node.elts)
        return _hook("_m_sized", node) if starred and isinstance(node.ctx, ast.Load) else node

    def visit_AugAssign(self, node: ast.AugAssign) -> Any:
        node.value = self.visit(node.value)
        if not isinstance(node.op, ast.Add):
            return node
        node.value = _hook("_m_added", node.value)
        made = ast.parse(ast.unparse(node.target), mode="eval").body
        return [node, ast.copy_location(ast.Expr(_hook("_m_grown", made)), node)]

    def visit_For(self, node: ast.For) -> ast.AST:
        self.generic_visit(node)
        node.iter = _hook("_m_items", node.iter)
        return node

    def visit_While(self, node: ast.While) -> ast.AST:
        self.generic_visit(node)
        node.test = ast.BoolOp(ast.And(), [_hook("_m_tick"), node.test])
        return node

    def visit_comprehension(self, node: ast.comprehension) -> ast.AST:
        self.generic_visit(node)
        if not node.is_async:
            node.iter = _hook("_m_items", node.iter)
        return node

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        self.generic_visit(node)
        if len(node.ops) > 1:
            return node
        (operator,), (right,) = node.ops, node.comparators
        match operator:
            case ast.In():
                return _hook("_m_contains", node.left, right)
            case ast.NotIn():
                return ast.UnaryOp(ast.Not(), _hook("_m_contains", node.left, right))
            case ast.Eq():
                return _hook("_m_equal", node.left, right)
            case ast.NotEq():
                return ast.UnaryOp(ast.Not(), _hook("_m_equal", node.left, right))
        return node


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _hook(name: str, *arguments: ast.expr, keywords: list[ast.keyword] | None = None) -> ast.Call:
    return ast.Call(ast.Name(name, ast.Load()), list(arguments), keywords or [])
