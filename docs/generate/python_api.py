"""The reference of the Python API, from the source: signatures as they are written, and docstrings."""

import ast
import inspect
import re
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from types import ModuleType

import s3mr
from docs.generate.tables import escaped, table
from s3mr import reducers
from s3mr.model.cost import Cost, Requests
from s3mr.model.result import JobResult
from s3mr.model.statistics import Counters
from s3mr.options import EVERYWHERE, RunOptions, default_of

_SECTION = re.compile(r"^(Args|Raises|Returns):$")


def reference() -> str:
    """Return a section for each public name."""
    job, result = sys.modules[s3mr.Job.__module__], sys.modules[JobResult.__module__]
    parts = [
        _class(job, "Job", "s3mr.Job"),
        _options(),
        _aliases(job),
        _result(result),
        f"## s3mr.params\n\n{_prose(inspect.getdoc(s3mr.params) or '')}",
        _reducers(),
        _errors(),
    ]
    return "\n\n".join(parts)


def _class(module: ModuleType, name: str, shown: str) -> str:
    node = _definition(module, name)
    fields = [ast.unparse(one) for one in node.body if isinstance(one, ast.AnnAssign)]
    begin = _code(f"{shown}(\n{''.join(f'    {one},{chr(10)}' for one in fields)})")
    return "\n\n".join([f"## {shown}", begin, _prose(_doc(node)), *_methods(node, shown)])


def _options() -> str:
    """Return the options that `Job.run` and `Job.submit` take, as they are declared."""
    rows = []
    for one in fields(RunOptions):
        about = one.metadata.get("option")
        if about is None:
            continue
        default = f"`{default_of(one)!r}`" + (f": {about.default}" if about.default else "")
        only = "" if about.where == EVERYWHERE else f" Only for `{about.where[0]}`."
        rows.append((f"`{one.name}` `{_type(one.type)}`", escaped(about.help + only), escaped(default)))
    rows.append(("`stack` `str, None`", "Name of the CloudFormation stack to run on.", "`None`: this machine"))
    endpoint = "Keep job state in the S3 and DynamoDB services at this URL; run workers on this machine."
    rows.append(("`endpoint_url` `str, None`", f"{endpoint} Only for `run`.", "`None`"))
    begin = "`Job.run` and `Job.submit` take these as keyword arguments; `output` is also their second argument."
    return f"## Options\n\n{begin}\n\n{table(['option', 'what it does', 'default'], rows)}"


def _type(annotation: object) -> str:
    """Return a type as it may stand in a cell, where a bar would end the cell."""
    text = annotation.__name__ if isinstance(annotation, type) else str(annotation)
    return re.sub(r"\b(collections\.abc|typing|os)\.", "", text).replace(" | ", ", ").replace("NoneType", "None")


def _result(module: ModuleType) -> str:
    """Return what a job came to, with the values that it holds."""
    held = [
        _fields_only(sys.modules[one.__module__], one.__name__, one.__name__, level=3)
        for one in (Counters, Requests, Cost)
    ]
    whole = _fields_only(module, "JobResult", "JobResult")
    return "\n\n".join([whole, *_methods(_definition(module, "JobResult"), "JobResult"), *held])


def _methods(node: ast.ClassDef, shown: str) -> list[str]:
    methods = [
        method
        for method in node.body
        if isinstance(method, ast.FunctionDef) and not method.name.startswith("_") and not _is_classmethod(method)
    ]
    return [f"### {shown}.{one.name}\n\n{_signature(one, shown)}\n\n{_prose(_doc(one))}" for one in methods]


def _fields_only(module: ModuleType, name: str, shown: str, *, level: int = 2) -> str:
    """Return a class of which you read the fields: these are shown as they are written, comments included."""
    node = _definition(module, name)
    lines = Path(_file(module)).read_text(encoding="utf-8").splitlines()
    fields = [
        "\n".join(line[4:] for line in lines[one.lineno - 1 : one.end_lineno])
        for one in node.body
        if isinstance(one, ast.AnnAssign)
    ]
    return f"{'#' * level} {shown}\n\n{_prose(_doc(node))}\n\n{_code(chr(10).join(fields))}"


def _aliases(module: ModuleType) -> str:
    """Return the module's type aliases, which signatures name."""
    tree = ast.parse(Path(_file(module)).read_text(encoding="utf-8"))
    lines = [
        ast.unparse(node)
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id[0].isupper()
    ]
    return f"## Types in these signatures\n\n{_code(chr(10).join(lines))}"


def _reducers() -> str:
    """Return the ready-made reducers: constants have their docstring below them."""
    tree = ast.parse(Path(_file(reducers)).read_text(encoding="utf-8"))
    docs = {
        target.id: below.value.value
        for node, below in zip(tree.body, tree.body[1:], strict=False)
        if isinstance(node, ast.AnnAssign) and isinstance(target := node.target, ast.Name)
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) and isinstance(below.value.value, str)
    }
    parts = [f"## s3mr.reducers\n\n{_prose(inspect.getdoc(reducers) or '')}"]
    for name in reducers.__all__:
        value = getattr(reducers, name)
        title = f"{name}(n)" if inspect.isfunction(value) else name
        doc = docs.get(name) or inspect.getdoc(value) or ""
        parts.append(f"### s3mr.reducers.{title}\n\n{_prose(inspect.cleandoc(doc))}")
    return "\n\n".join(parts)


def _errors() -> str:
    errors = [getattr(s3mr, name) for name in s3mr.__all__ if name.endswith("Error")]
    errors.sort(key=lambda error: error.__mro__[-2::-1].index(error))
    parts = [
        "## Errors\n\nEvery error that s3mr raises on purpose is an `s3mr.S3mrError`. Its text is written for you."
    ]
    for error in errors:
        base = "" if error is s3mr.S3mrError else f" Its base is `s3mr.{error.__base__.__name__}`."
        parts.append(f"### s3mr.{error.__name__}\n\n{_prose(inspect.getdoc(error) or '')}{base}")
    return "\n\n".join(parts)


def _definition(module: ModuleType, name: str) -> ast.ClassDef:
    tree = ast.parse(Path(_file(module)).read_text(encoding="utf-8"))
    return next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name)


def _file(module: ModuleType) -> str:
    file = inspect.getsourcefile(module)
    if file is None:
        raise FileNotFoundError(f"{module.__name__} has no source")
    return file


def _doc(node: ast.ClassDef | ast.FunctionDef) -> str:
    return ast.get_docstring(node) or ""


def _is_classmethod(method: ast.FunctionDef) -> bool:
    return any(isinstance(one, ast.Name) and one.id == "classmethod" for one in method.decorator_list)


def _signature(method: ast.FunctionDef, shown: str) -> str:
    """Return the signature without ``self``, an argument a line if there are several."""
    given = method.args
    given.args = given.args[1:]
    if any("_with_options" in ast.unparse(one) for one in method.decorator_list):  # they stand for one argument
        given.args = [*given.args[:-1], ast.arg("output", ast.parse("Place | None", mode="eval").body)]
        given.defaults = [ast.Constant(None)]
        given.kwarg = ast.arg("options")
    text = re.sub(r"Unpack\[(\w+)\]", r"\1", ast.unparse(given))
    arguments = [re.sub(r"(: .*)=", r"\1 = ", one.strip()) for one in _split(text)]
    returns = ast.unparse(method.returns).strip("'\"") if method.returns else "None"
    begin = f"{shown}.{method.name}"
    if not arguments or arguments == [""]:
        return _code(f"{begin}() -> {returns}")
    return _code(f"{begin}(\n{''.join(f'    {one},{chr(10)}' for one in arguments)}) -> {returns}")


def _split(arguments: str) -> Iterator[str]:
    """Split at the commas that stand in no bracket."""
    depth, begin = 0, 0
    for at, character in enumerate(arguments):
        depth += (character in "([{") - (character in ")]}")
        if character == "," and not depth:
            yield arguments[begin:at]
            begin = at + 1
    yield arguments[begin:]


def _code(text: str) -> str:
    return f"```text\n{text}\n```"


def _prose(doc: str) -> str:
    """Return a docstring as Markdown: its sections become lists."""
    paragraphs: list[str] = []
    for paragraph in doc.replace("``", "`").split("\n\n"):
        head, *lines = paragraph.splitlines()
        paragraphs.append(_listed(head, lines) if _SECTION.match(head) else paragraph)
    return "\n\n".join(paragraphs)


def _listed(head: str, lines: list[str]) -> str:
    entries = [line.strip() for line in "\n".join(lines).replace("\n        ", " ").splitlines()]
    items = [re.sub(r"^(\w+): ", r"`\1`: ", entry) for entry in entries]
    return f"{head}\n\n" + "\n".join(f"- {item}" for item in items)
