"""Adapter tuning of BERT in TensorFlow: one frozen encoder, many tasks."""

import importlib
import importlib.metadata
import sys
from typing import TYPE_CHECKING

from tf_adapters.notices import quiet_import

# Public name -> its module. Each is imported when it is first asked for, so
# that a command line can say how TensorFlow starts before it does.
_MODULES = {
    "Adapter": "modeling.task_layers",
    "AdapterBank": "serving.bank",
    "AdapterConfig": "modeling.methods.bottleneck",
    "BatchPredictor": "serving.ray_data",
    "BertConfig": "modeling.encoders.bert",
    "BertEncoder": "modeling.encoders.bert_layers",
    "CompacterConfig": "modeling.methods.compacter",
    "Dataset": "data.dataset",
    "IA3Config": "modeling.methods.ia3",
    "InputError": "errors",
    "LoraConfig": "modeling.methods.lora",
    "NetworkConfig": "modeling.network_config",
    "Prediction": "problems.prediction",
    "PrefixConfig": "modeling.methods.prefix",
    "SpanExtractor": "modeling.models",
    "TaskLayers": "modeling.task_layers",
    "TextClassifier": "modeling.models",
    "TextNetwork": "modeling.text_network",
    "TextProcessor": "modeling.text",
    "TextRegressor": "modeling.models",
    "TextTask": "tasks.text_task",
    "TextTaskClassifier": "tasks.estimator",
    "TokenTagger": "modeling.models",
    "UnionConfig": "modeling.methods.union",
    "average_adapters": "adapter_files.merging",
    "compare_adapters": "adapter_files.merging",
    "convert_adapter": "adapter_files.conversion",
    "create_optimizer": "training.optimization",
    "default_epochs": "training.defaults",
    "default_learning_rate": "modeling.learning_rates",
    "export_litert": "serving.litert",
    "export_model": "serving.saved_model",
    "load_adapted_encoder": "adapter_files.adapter_file",
    "load_adapter": "adapter_files.adapter_file",
    "load_encoder": "checkpoints.loading",
    "load_task": "data.loading",
    "load_text_embedding": "checkpoints.embeddings",
    "load_word_embedding": "checkpoints.embeddings",
    "merge": "modeling.merge",
    "push_to_hub": "adapter_files.sharing",
    "save_adapter": "adapter_files.adapter_file",
}

__all__ = list(_MODULES)


if TYPE_CHECKING:
  # What editors and type checkers see: the same names as in _MODULES.
  from tf_adapters.adapter_files.adapter_file import (
    load_adapted_encoder as load_adapted_encoder,
    load_adapter as load_adapter,
    save_adapter as save_adapter,
  )
  from tf_adapters.adapter_files.conversion import (
      convert_adapter as convert_adapter,
  )
  from tf_adapters.adapter_files.merging import (
    average_adapters as average_adapters,
    compare_adapters as compare_adapters,
  )
  from tf_adapters.adapter_files.sharing import push_to_hub as push_to_hub
  from tf_adapters.checkpoints.embeddings import (
    load_text_embedding as load_text_embedding,
    load_word_embedding as load_word_embedding,
  )
  from tf_adapters.checkpoints.loading import load_encoder as load_encoder
  from tf_adapters.data.dataset import Dataset as Dataset
  from tf_adapters.data.loading import load_task as load_task
  from tf_adapters.errors import InputError as InputError
  from tf_adapters.modeling.encoders.bert import BertConfig as BertConfig
  from tf_adapters.modeling.encoders.bert_layers import (
    BertEncoder as BertEncoder,
  )
  from tf_adapters.modeling.learning_rates import (
    default_learning_rate as default_learning_rate,
  )
  from tf_adapters.modeling.merge import merge as merge
  from tf_adapters.modeling.methods.bottleneck import (
    AdapterConfig as AdapterConfig,
  )
  from tf_adapters.modeling.methods.compacter import (
    CompacterConfig as CompacterConfig,
  )
  from tf_adapters.modeling.methods.ia3 import IA3Config as IA3Config
  from tf_adapters.modeling.methods.lora import LoraConfig as LoraConfig
  from tf_adapters.modeling.methods.prefix import PrefixConfig as PrefixConfig
  from tf_adapters.modeling.methods.union import UnionConfig as UnionConfig
  from tf_adapters.modeling.models import (
    SpanExtractor as SpanExtractor,
    TextClassifier as TextClassifier,
    TextRegressor as TextRegressor,
    TokenTagger as TokenTagger,
  )
  from tf_adapters.modeling.network_config import NetworkConfig as NetworkConfig
  from tf_adapters.modeling.task_layers import (
    Adapter as Adapter,
    TaskLayers as TaskLayers,
  )
  from tf_adapters.modeling.text import TextProcessor as TextProcessor
  from tf_adapters.modeling.text_network import TextNetwork as TextNetwork
  from tf_adapters.problems.prediction import Prediction as Prediction
  from tf_adapters.serving.bank import AdapterBank as AdapterBank
  from tf_adapters.serving.litert import export_litert as export_litert
  from tf_adapters.serving.ray_data import BatchPredictor as BatchPredictor
  from tf_adapters.serving.saved_model import export_model as export_model
  from tf_adapters.tasks.estimator import (
    TextTaskClassifier as TextTaskClassifier,
  )
  from tf_adapters.tasks.text_task import TextTask as TextTask
  from tf_adapters.training.defaults import default_epochs as default_epochs
  from tf_adapters.training.optimization import (
    create_optimizer as create_optimizer,
  )

  __version__: str
else:

  def __getattr__(name):
    if name == "__version__":
      return importlib.metadata.version(__name__)
    if name not in _MODULES:
      raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with quiet_import():
      module = importlib.import_module(f"{__name__}.{_MODULES[name]}")
    value = getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
  return sorted({*globals(), *__all__, "__version__"})


if "tensorflow" in sys.modules:
  # Keras' SavedModels and .h5 files name classes without their modules: it
  # finds those that are there. A command line imports TensorFlow later.
  for _module in ("modeling.encoder", "modeling.models",
                  "modeling.text_network", "training.optimization"):
    importlib.import_module(f"{__name__}.{_module}")
