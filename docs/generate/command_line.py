"""The reference of the command line, from what click knows of it."""

import inspect
import re

import click

from docs.generate.tables import escaped, table
from s3mr.cli.main import commands

_WORD = re.compile(r"^(s3://\S*?|FILE\.py(?::NAME)?|package\.module:NAME|[A-Z]{4,}|JOB|ID|_SUCCESS)([.,]?)$")
_DEFAULT = re.compile(r"\s*\[default: (.+)\]$")


def reference() -> str:
    """Return a section for each command: what it does, how it is typed, an example, its options."""
    context = click.Context(commands, info_name="s3mr")
    sections = [_section("s3mr", commands, context)]
    for name in commands.list_commands(context):
        command = commands.get_command(context, name)
        if command is not None:
            sections.append(_section(f"s3mr {name}", command, click.Context(command, info_name=name, parent=context)))
    return "\n\n".join(sections)


def _section(path: str, command: click.Command, context: click.Context) -> str:
    prose, examples = _help(command)
    usage = " ".join([path, *command.collect_usage_pieces(context)])
    parts = [f"## {path}", prose, f"```text\n{usage}\n```"]
    if examples:
        parts.append(f"Examples:\n\n```text\n{examples}\n```")
    rows = [_option(parameter) for parameter in command.get_params(context) if isinstance(parameter, click.Option)]
    parts.append(table(["option", "what it does", "default"], rows))
    return "\n\n".join(parts)


def _help(command: click.Command) -> tuple[str, str]:
    """Return the paragraphs of a command's help, and its examples: those that click is told not to wrap."""
    paragraphs, examples = [], []
    for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
        if paragraph.startswith("\b\n"):
            examples.append(paragraph.removeprefix("\b\n"))
        else:
            paragraphs.append(_placeholders(" ".join(paragraph.split())))
    return "\n\n".join(paragraphs), "\n".join(examples)


def _option(option: click.Option) -> tuple[str, str, str]:
    text = option.help or ""
    default = found[1] if (found := _DEFAULT.search(text)) else _default(option)
    return _spelled(option), escaped(_DEFAULT.sub("", text)), escaped(default)


def _spelled(option: click.Option) -> str:
    """Return the option and what it takes as two pieces of code: the second may break in a narrow column."""
    names = f"`{', '.join([*option.opts, *option.secondary_opts])}`"
    if option.is_flag or option.count:
        return names
    choices = option.type.choices if isinstance(option.type, click.Choice) else ()
    # A bar within a cell would end it, also within backquotes.
    taken = option.metavar or ",".join(choices)
    return f"{names} `{taken}`".replace("|", ",") if taken else names


def _default(option: click.Option) -> str:
    if isinstance(option.show_default, str):
        return option.show_default
    return str(option.default) if option.show_default else ""


def _placeholders(text: str) -> str:
    """Return ``text`` with words in capitals, which stand for something, and commands set as code."""
    return " ".join(_WORD.sub(r"`\1`\2", word) for word in text.split(" "))
