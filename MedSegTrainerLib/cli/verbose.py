"""``--verbose``, which all commands that work have: what the library logs, on the console too."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from functools import wraps
from inspect import Parameter, signature
from typing import Annotated, Any, get_type_hints

import typer

from MedSegTrainerLib.job_logging import console_log

Verbose = Annotated[
    bool, typer.Option("--verbose", help="Show in detail what is done, with times; log.txt of a job holds as much.")
]


def with_verbose(command: Callable[..., None]) -> Callable[..., None]:
    """The command with the option ``--verbose``, of which it need not know itself."""
    hints = get_type_hints(command, include_extras=True)
    original = signature(command)
    parameters = [item.replace(annotation=hints[name]) for name, item in original.parameters.items()]
    option = Parameter("verbose", Parameter.KEYWORD_ONLY, default=False, annotation=Verbose)

    @wraps(command)
    def run(*arguments: Any, verbose: bool = False, **options: Any) -> None:
        with console_log() if verbose else nullcontext():
            command(*arguments, **options)

    run.__signature__ = original.replace(parameters=[*parameters, option])  # type: ignore[attr-defined]
    run.__annotations__ = {**hints, "verbose": Verbose}
    return run
