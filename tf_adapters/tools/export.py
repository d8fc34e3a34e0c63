"""Write adapters and their encoder as a SavedModel that takes strings.

One adapter makes a model of one task; several, or one with a name (sst2=PATH),
make a bank, which takes a task's name with each text:

  tf-adapters export --encoder=bert_base_uncased \\
      --adapter=adapters/sst2,adapters/mrpc --output=serving/bank

--output is a version's folder (serving/bank/3), or the folder that the next
version is put into. A file that ends in .tflite makes LiteRT's format, of one
task and from token ids. A version or a file that is there already is an error
without --overwrite.
"""

import pathlib
import sys

from absl import flags

from tf_adapters.errors import InputError
from tf_adapters.tools import _command, _flags
from tf_adapters.training.run_config import RunConfig

_flags.define(RunConfig, *_flags.ENCODER, "overwrite")
_flags.use("adapter", "labels", "output")
# What a file of another format would be called.
_OTHER_FORMATS = (".h5", ".hdf5", ".keras", ".onnx", ".pb", ".pt", ".pth",
                  ".bin", ".safetensors", ".zip")

flags.DEFINE_string(
    "default_task", None,
    "Task of texts whose task is unknown; without it they are an error.")
flags.DEFINE_bool(
    "quantize", False,
    "For .tflite: kernels of 8 bits, which take a quarter of the space.")


def _export() -> None:
  _command.require("adapter", "output")
  values = flags.FLAGS
  adapters = _flags.adapters()
  to_litert = values.output.endswith(".tflite")
  if pathlib.Path(values.output).suffix in _OTHER_FORMATS:
    raise InputError(
        f"--output={values.output}: a SavedModel is a folder, whose name has "
        "no such ending, and a file that ends in .tflite is for LiteRT; other "
        "formats are not written")
  if to_litert and len(adapters) > 1:
    raise InputError(
        f"--adapter: a .tflite file holds one task, not {len(adapters)}")
  if values.quantize and not to_litert:
    raise InputError("--quantize: for an --output that ends in .tflite only")
  name, path = adapters[0]
  is_bank = not to_litert and (len(adapters) > 1 or name is not None)
  if values.default_task is not None and not is_bank:
    raise InputError("--default_task: there is one task only")
  if not is_bank:
    _flags.refuse("several tasks", "do_lower_case")
  tasks = list(_flags.infos())
  _flags.check_encoder()
  # What comes now imports TensorFlow, which takes seconds.
  from tf_adapters.adapter_files import adapter_file
  from tf_adapters.serving import litert, saved_model
  if not is_bank:
    model = adapter_file.load_adapter(
        path, values.encoder, values.vocab_file, labels=values.labels)
    if to_litert:
      written = litert.export_litert(
          model, values.output, quantize=values.quantize,
          overwrite=values.overwrite)
    else:
      written = saved_model.export_model(
          model, values.output, overwrite=values.overwrite)
  else:
    bank = _flags.load_bank()
    written = bank.export(
        values.output, values.default_task, overwrite=values.overwrite)
  _command.print_table({"tasks": ", ".join(tasks), "written": str(written)})


def main() -> None:
  """Runs `tf-adapters export`."""
  _command.run(sys.modules[__name__], _export)
