"""Writes the parts of the manual that follow from the code into ``Resources/docs``: the options of every command and
every setting. To be run when one of them changes; a test compares.

Such a part stands between ``<!-- made by scripts/manual.py: NAME -->`` and ``<!-- end of NAME -->``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import environment

DOCS = environment.ROOT / "Resources" / "docs"


def main() -> int:
    environment.enter()
    for page, text in pages().items():
        page.write_text(text, encoding="utf-8", newline="\n")
        print(page.relative_to(environment.ROOT))
    return 0


def pages() -> dict[Path, str]:
    """Each page that has such a part, with the text that it must have now."""
    parts: dict[str, Callable[[], str]] = {"options": _commands, "settings": _training_settings, "other": _other_jobs}
    written: dict[Path, str] = {}
    for page in sorted(DOCS.glob("*.md")):
        text = page.read_text(encoding="utf-8")
        names = re.findall(r"^<!-- made by scripts/manual\.py: (\w+) -->$", text, re.MULTILINE)
        for name in names:
            start, end = f"<!-- made by scripts/manual.py: {name} -->\n", f"<!-- end of {name} -->"
            before, _, rest = text.partition(start)
            text = f"{before}{start}\n{parts[name]()}\n{end}{rest.partition(end)[2]}"
        if names:
            written[page] = text
    return written


def _commands() -> str:
    import typer

    from MedSegTrainerLib.cli.main import app

    command: Any = typer.main.get_command(app)
    return "\n".join(_command(name, part) for name, part in command.commands.items())


def _command(name: str, command: Any) -> str:
    """A command as ``--help`` says it: how it is called, what it does, its arguments and options."""
    visible = [item for item in command.params if not getattr(item, "hidden", False)]
    arguments = [item for item in visible if item.param_type_name == "argument"]
    call = " ".join(["medsegtrainer", name, *map(_in_call, arguments), "[OPTIONS]"])
    text = re.sub(r"(?<!\n)\n(?!\n)", " ", command.help).strip()
    rows = [(_argument_name(item), item.help, "") for item in arguments]
    rows += [_option_row(item) for item in visible if item not in arguments]
    return f"### {name}\n\n`{call}`\n\n{text}\n\n{_table(('option', 'what it does', 'default'), rows)}"


def _in_call(argument: Any) -> str:
    name = _argument_name(argument) + ("..." if argument.nargs == -1 else "")
    return name if argument.required else f"[{name}]"


def _argument_name(argument: Any) -> str:
    return str(argument.metavar or argument.name.upper())


def _option_row(option: Any) -> tuple[str, str, str]:
    """A default that the code leaves open stands in the help, as ``[default: 20m]``."""
    text, _, default_part = option.help.partition("  [default: ")
    default = default_part.rstrip("]")
    if not default and option.default not in (None, False, ()) and not option.multiple and not option.required:
        default = str(option.default)
    name = ", ".join(f"`{word}`" for word in option.opts)
    value = "" if option.is_flag else f" {option.metavar or option.name.upper()}"
    return f"{name}{value}", text + (" *Must be given.*" if option.required else ""), default


def _training_settings() -> str:
    from MedSegTrainerLib.config import TrainConfig

    hints = get_type_hints(TrainConfig)
    return "\n".join(_section(f"`{item.name}`", hints[item.name]) for item in fields(TrainConfig))


def _other_jobs() -> str:
    from MedSegTrainerLib.jobs.kinds import settings_of_kinds

    kinds = {name: settings for name, settings in settings_of_kinds().items() if name != "train"}
    return "\n".join(_section(f"Jobs of kind `{name}`", settings) for name, settings in kinds.items())


def _section(title: str, section: Any) -> str:
    hints = get_type_hints(section)
    rows = [
        (f"`{item.name}`", item.metadata["help"], f"`{_written(_default(item))}`", _values(hints[item.name], item))
        for item in fields(section)
        if "help" in item.metadata
    ]
    text = re.sub(r"(?<!\n)\n *(?!\n)", " ", section.__doc__.replace("``", "`")).strip()
    return f"### {title}\n\n{text}\n\n{_table(('setting', 'what it is', 'default', 'values'), rows)}"


def _default(item: Any) -> Any:
    return item.default_factory() if item.default is MISSING else item.default


def _written(value: Any) -> str:
    """As ``--set`` and JSON take it."""
    return value if isinstance(value, str) and value else json.dumps(value)


def _values(hint: Any, item: Any) -> str:
    """The values that a setting takes, or the kind of value with its limits."""
    literals, kinds = [], []
    for part in _alternatives(hint):
        if get_origin(part) is Literal:
            literals += [f"`{_written(word)}`" for word in get_args(part)]
        elif part is not type(None):
            kinds.append(_kind(part))
    low, high = item.metadata["minimum"], item.metadata["maximum"]
    limits = "" if low is None else f" from {low:.16g}" + ("" if high is None else f" to {high:.16g}")
    none = ["`null`"] if type(None) in _alternatives(hint) else []
    return ", ".join([*literals, *none, *([" or ".join(kinds) + limits] if kinds else [])])


def _alternatives(hint: Any) -> tuple[Any, ...]:
    from types import UnionType

    return get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)


def _kind(part: Any) -> str:
    if get_origin(part) is list:
        (inside,) = get_args(part)
        if get_origin(inside) is Literal:
            return "list of " + ", ".join(f"`{word}`" for word in get_args(inside))
        return f"list of {_kind(inside)}s"
    if get_origin(part) is dict:
        return "object"
    return {int: "whole number", float: "number", str: "text", bool: "`true` or `false`"}[part]


def _table(heading: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    if not rows:
        return ""
    lines = [heading, ("---",) * len(heading), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


if __name__ == "__main__":
    raise SystemExit(main())
