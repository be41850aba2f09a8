"""The command line. It writes job folders, starts them and shows their events; errors become exit codes only here."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from MedSegTrainerLib import __version__
from MedSegTrainerLib.cli import apply, data, dicom, evaluate, jobs, machine, models, suggest, support, train
from MedSegTrainerLib.cli.shared import console, error_console
from MedSegTrainerLib.cli.verbose import with_verbose
from MedSegTrainerLib.errors import MedSegError, UsageError, system_error_text
from MedSegTrainerLib.files.plain_text import plain
from MedSegTrainerLib.files.regular_file import refuse_unnameable

COMMANDS: dict[str, Callable[..., None]] = {
    "train": train.train,
    "cross-validate": train.cross_validate,
    "verify": data.verify,
    "plan": data.plan,
    "export-data": data.export_data,
    "find-lr": train.find_lr,
    "apply": apply.apply,
    "suggest": suggest.suggest,
    "evaluate": evaluate.evaluate,
    "compare": evaluate.compare,
    "card": models.card,
    "import": models.import_model,
    "export": models.export,
    "to-dicom": dicom.to_dicom,
    "workflow": train.workflow,
    "status": jobs.status,
    "stop": jobs.stop,
    "run": jobs.run,
    "self-test": machine.self_test,
    "support": support.support,
}
SHORT = ("card", "status", "stop", "support")  # they only read or write a file: there is nothing to log

app = typer.Typer(
    help="Train, apply and evaluate segmentation networks on medical volumes.",
    epilog="A first try: 'medsegtrainer plan DATA', then 'medsegtrainer train DATA -o JOB --budget 20m'.",
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
for _name, _command in COMMANDS.items():
    app.command(_name)(_command if _name in SHORT else with_verbose(_command))


@app.callback(invoke_without_command=True)
def _top(version: Annotated[bool, typer.Option("--version", help="Show the version and leave.")] = False) -> None:
    if version:
        console.print(__version__, highlight=False)
        raise typer.Exit


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Entry point: 0 done, 1 the work failed, 2 the request was wrong."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a name that the terminal cannot show must not end the program
            stream.reconfigure(errors="backslashreplace")
    try:
        for word in sys.argv[1:] if arguments is None else arguments:
            refuse_unnameable(Path(word), UsageError)
        app(args=arguments, standalone_mode=True)
        sys.exit(0)
    except MedSegError as error:
        _print_error(str(error))
        sys.exit(error.exit_code)
    except OSError as error:  # a folder that may not be read, a drive that is gone
        _print_error(system_error_text(error))
        sys.exit(1)


def _print_error(message: str) -> None:
    error_console.print(plain(message), style="red", highlight=False, markup=False)
