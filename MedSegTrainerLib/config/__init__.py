"""The settings of every kind of job, under the name that other programs import; standard library only."""

from MedSegTrainerLib.config.job_settings import (
    ApplyConfig,
    CrossValidateConfig,
    EvaluateConfig,
    FindRateConfig,
    VerifyConfig,
    job_document,
)
from MedSegTrainerLib.config.settings import (
    SCHEMA_VERSION,
    Auto,
    DataConfig,
    JobConfig,
    LossConfig,
    NetworkConfig,
    OptimizerConfig,
    TrainConfig,
    TrainerConfig,
)

__all__ = [
    "SCHEMA_VERSION", "ApplyConfig", "Auto", "CrossValidateConfig", "DataConfig", "EvaluateConfig",
    "FindRateConfig", "JobConfig", "LossConfig", "NetworkConfig", "OptimizerConfig", "TrainConfig", "TrainerConfig",
    "VerifyConfig", "job_document",
]  # fmt: skip
