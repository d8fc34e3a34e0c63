"""Adapter tuning of BERT in TensorFlow: one frozen encoder, many tasks."""

from tf_adapters.adapter_file import load_adapter, save_adapter
from tf_adapters.adapter_merge import average_adapters, compare_adapters
from tf_adapters.bank import AdapterBank
from tf_adapters.checkpoints.loading import load_encoder
from tf_adapters.data.loading import load_task
from tf_adapters.errors import InputError
from tf_adapters.litert import export_litert
from tf_adapters.modeling.adapter import Adapter, TaskLayers
from tf_adapters.modeling.config import AdapterConfig, BertConfig
from tf_adapters.modeling.encoder import BertEncoder
from tf_adapters.modeling.models import (
    SpanExtractor,
    TextClassifier,
    TextRegressor,
    TokenTagger,
)
from tf_adapters.modeling.text import TextProcessor
from tf_adapters.ray_data import BatchPredictor
from tf_adapters.saved_model import export_model
from tf_adapters.training.optimization import create_optimizer

__all__ = [
    "Adapter",
    "AdapterBank",
    "AdapterConfig",
    "BatchPredictor",
    "BertConfig",
    "BertEncoder",
    "InputError",
    "SpanExtractor",
    "TaskLayers",
    "TextClassifier",
    "TextProcessor",
    "TextRegressor",
    "TokenTagger",
    "average_adapters",
    "compare_adapters",
    "create_optimizer",
    "export_litert",
    "export_model",
    "load_adapter",
    "load_encoder",
    "load_task",
    "save_adapter",
]
