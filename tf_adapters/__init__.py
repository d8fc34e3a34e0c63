"""Adapter tuning of BERT in TensorFlow: one frozen encoder, many tasks."""

import importlib
import sys
from typing import Any

# Public name -> its module. Each is imported when it is first asked for, so
# that a command line can say how TensorFlow starts before it does.
_MODULES = {
    "Adapter": "modeling.task_layers",
    "AdapterBank": "serving.bank",
    "AdapterConfig": "modeling.methods.bottleneck",
    "BatchPredictor": "serving.ray_data",
    "BertConfig": "modeling.encoders.bert",
    "BertEncoder": "modeling.encoders.bert_layers",
    "Dataset": "data.dataset",
    "IA3Config": "modeling.methods.ia3",
    "InputError": "errors",
    "LoraConfig": "modeling.methods.lora",
    "CompacterConfig": "modeling.methods.compacter",
    "PrefixConfig": "modeling.methods.prefix",
    "NetworkConfig": "modeling.network_config",
    "Prediction": "problems.prediction",
    "SpanExtractor": "modeling.models",
    "TaskLayers": "modeling.task_layers",
    "TextClassifier": "modeling.models",
    "TextNetwork": "modeling.text_network",
    "TextProcessor": "modeling.text",
    "TextRegressor": "modeling.models",
    "TextTask": "tasks.text_task",
    "TextTaskClassifier": "tasks.estimator",
    "TokenTagger": "modeling.models",
    "average_adapters": "adapter_files.merging",
    "compare_adapters": "adapter_files.merging",
    "create_optimizer": "training.optimization",
    "default_epochs": "training.defaults",
    "default_learning_rate": "modeling.learning_rates",
    "export_litert": "serving.litert",
    "export_model": "serving.saved_model",
    "load_adapter": "adapter_files.adapter_file",
    "load_encoder": "checkpoints.loading",
    "load_task": "data.loading",
    "load_text_embedding": "checkpoints.embeddings",
    "load_word_embedding": "checkpoints.embeddings",
    "merge": "modeling.merge",
    "save_adapter": "adapter_files.adapter_file",
}

__all__ = list(_MODULES)


def __getattr__(name: str) -> Any:
  if name not in _MODULES:
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
  value = getattr(
      importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
  globals()[name] = value
  return value


def __dir__() -> list[str]:
  return sorted({*globals(), *__all__})


if "tensorflow" in sys.modules:
  # Keras' SavedModels and .h5 files name classes without their modules: it
  # finds those that are there. A command line imports TensorFlow later.
  for _module in ("modeling.encoder", "modeling.models",
                  "modeling.text_network", "training.optimization"):
    importlib.import_module(f"{__name__}.{_module}")
