"""The kinds of jobs: for each its settings and what runs it. A new kind is a line here and a file of its own.

Both are text, "module:name", and loaded when a job of the kind is read or run: an evaluation must not wait for torch.
What contradicts each other among the settings, their class says (``JobConfig.CHECK``).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pkgutil import resolve_name
from typing import Any

from MedSegTrainerLib.config.parsing import parse_config
from MedSegTrainerLib.config.settings import SCHEMA_VERSION, JobConfig
from MedSegTrainerLib.errors import ConfigError, did_you_mean
from MedSegTrainerLib.job import Outcome
from MedSegTrainerLib.jobs.context import JobContext

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class JobKind:
    """A kind of job.

    settings: a ``JobConfig``, whose KIND is the key in ``JOB_KINDS``. runner: a function of these settings and a
    ``JobContext`` that returns an ``Outcome``. has_network: whether it computes with a network, for which torch gets
    the cores of this machine. has_training_settings: whether smaller patches or batches would need less memory.
    is_divided: whether several processes can share it.
    """

    settings: str
    runner: str
    has_network: bool = True
    has_training_settings: bool = True
    is_divided: bool = False

    def load_settings(self) -> type[JobConfig]:
        cls: type[JobConfig] = resolve_name(self.settings)
        return cls

    def run(self, config: JobConfig, context: JobContext) -> Outcome:
        """Does the job; raises the MedSegError that ended it."""
        if self.has_network and context.joined is None:
            from MedSegTrainerLib.hardware.device import use_cores

            use_cores()
            _log_threads()
        outcome: Outcome = resolve_name(self.runner)(config, context)
        return outcome


JOB_KINDS: dict[str, JobKind] = {
    "train": JobKind(
        settings="MedSegTrainerLib.config.settings:TrainConfig",
        runner="MedSegTrainerLib.jobs.train:run_train",
        is_divided=True,
    ),
    "cross-validate": JobKind(
        settings="MedSegTrainerLib.config.job_settings:CrossValidateConfig",
        runner="MedSegTrainerLib.jobs.cross_validate:run_cross_validate",
    ),
    "find-lr": JobKind(
        settings="MedSegTrainerLib.config.job_settings:FindRateConfig",
        runner="MedSegTrainerLib.jobs.find_lr:run_find_rate",
    ),
    "apply": JobKind(
        settings="MedSegTrainerLib.config.job_settings:ApplyConfig",
        runner="MedSegTrainerLib.jobs.apply:run_apply",
        has_training_settings=False,
    ),
    "suggest": JobKind(
        settings="MedSegTrainerLib.config.job_settings:SuggestConfig",
        runner="MedSegTrainerLib.jobs.suggest:run_suggest",
        has_training_settings=False,
    ),
    "evaluate": JobKind(
        settings="MedSegTrainerLib.config.job_settings:EvaluateConfig",
        runner="MedSegTrainerLib.jobs.evaluate:run_evaluate",
        has_network=False,
        has_training_settings=False,
    ),
    "verify": JobKind(
        settings="MedSegTrainerLib.config.job_settings:VerifyConfig",
        runner="MedSegTrainerLib.jobs.verify:run_verify",
        has_network=False,
    ),
}


def settings_of_kinds() -> dict[str, type[JobConfig]]:
    """Kind to the class of its settings."""
    return {name: kind.load_settings() for name, kind in JOB_KINDS.items()}


def parse_job(document: Any) -> JobConfig:
    """The configuration in the content of a ``job.json``.

    Raises ConfigError with all problems.
    """
    if not isinstance(document, dict):
        raise ConfigError([f"job.json must hold an object, not {type(document).__name__}"])
    problems = [f"{key}: unknown key." for key in document.keys() - {"schema_version", "kind", "config"}]
    if document.get("schema_version", SCHEMA_VERSION) != SCHEMA_VERSION:
        problems.append(f"schema_version: {document['schema_version']!r}; this version reads {SCHEMA_VERSION}.")
    kind = str(document.get("kind"))
    if kind not in JOB_KINDS:
        problems.append(f"kind: '{kind}' is no kind of job." + did_you_mean(kind, JOB_KINDS))
    if problems:
        raise ConfigError(problems)
    config: JobConfig = parse_config(JOB_KINDS[kind].load_settings(), document.get("config", {}))
    return config


def _log_threads() -> None:
    import torch

    from MedSegTrainerLib.hardware.device import usable_cores

    logger.info("Threads of PyTorch: %d, cores that can be used: %d", torch.get_num_threads(), usable_cores())
