"""The settings of every kind of job, under the name that other programs import; standard library only."""

from MedSegTrainerLib.config.job_settings import (
    ApplyConfig,
    CrossValidateConfig,
    DrawnSlices,
    EvaluateConfig,
    FindRateConfig,
    SuggestConfig,
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
    "SCHEMA_VERSION", "ApplyConfig", "Auto", "CrossValidateConfig", "DataConfig", "DrawnSlices",
    "EvaluateConfig", "FindRateConfig", "JobConfig", "LossConfig", "NetworkConfig", "OptimizerConfig", "SuggestConfig",
    "TrainConfig", "TrainerConfig", "VerifyConfig", "job_document",
]  # fmt: skip
