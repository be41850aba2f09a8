"""The settings of every kind of job, under the name that other programs import; standard library only."""

from MedSegTrainerLib.config.job_settings import (
    JOB_KINDS,
    ApplyConfig,
    CrossValidateConfig,
    EvaluateConfig,
    FindRateConfig,
    JobConfig,
    VerifyConfig,
    job_document,
)
from MedSegTrainerLib.config.settings import (
    SCHEMA_VERSION,
    Auto,
    DataConfig,
    LossConfig,
    NetworkConfig,
    OptimizerConfig,
    TrainConfig,
    TrainerConfig,
)

__all__ = [
    "JOB_KINDS", "SCHEMA_VERSION", "ApplyConfig", "Auto", "CrossValidateConfig", "DataConfig", "EvaluateConfig",
    "FindRateConfig", "JobConfig", "LossConfig", "NetworkConfig", "OptimizerConfig", "TrainConfig", "TrainerConfig",
    "VerifyConfig", "job_document",
]  # fmt: skip
