"""Writers that find no room: the reason stands whole, and nothing is left."""

import pytest
import tensorflow as tf

import tf_adapters as ta
from tests.full_disks import largest_file
from tf_adapters.checkpoints import hub_export
from tf_adapters.files.by_tensorflow import writing_by_tensorflow

NODE = ("{{function_node __wrapped__SaveV2_dtypes_3_device_/job:localhost/"
        "replica:0/task:0/device:CPU:0}} ")
PATH = "/" + "a_long_name; and more/" * 30 + "part-00000.tempstate1"


@pytest.mark.parametrize("error, reason", [
    (tf.errors.ResourceExhaustedError(
        None, None, f"{NODE}{PATH}; No space left on device [Op:SaveV2]"),
     "No space left on device"),
    (tf.errors.OutOfRangeError(
        None, None, f"{NODE}{PATH}; File too large [Op:SaveV2]"),
     "File too large"),
    (tf.errors.ResourceExhaustedError(
        None, None, f"{NODE}{PATH}; No space left on device\n\tFailed to flush "
        "11 events [Op:WriteSummary]"), "No space left on device"),
    (tf.errors.PermissionDeniedError(None, None, f"{PATH}; Permission denied"),
     "Permission denied"),
    (OSError(28, "No space left on device", PATH), "No space left on device"),
    (tf.errors.InternalError(None, None, "something else"), "something else"),
])
def test_the_reason_stands_whole(error, reason):
  with pytest.raises(ta.InputError) as caught, writing_by_tensorflow(
      "checkpoints: the state after step 3", "; make room"):
    raise error
  assert str(caught.value) == (
      "checkpoints: the state after step 3: cannot be written: "
      f"{reason}; make room")


@pytest.mark.parametrize("export", [
    pytest.param(lambda model, path: ta.export_model(model, path),
                 id="SavedModel", marks=pytest.mark.slow),
    pytest.param(lambda model, path: ta.export_litert(
        model, path / "1.tflite"), id="LiteRT", marks=pytest.mark.slow),
    pytest.param(lambda model, path: ta.save_adapter(
        model, path / "adapter"), id="adapter file"),
    pytest.param(lambda model, path: hub_export.export_hub(
        model.encoder, path / "hub", 24), id="Hub"),
])
def test_an_export_without_room(one_layer_source, tmp_path, export, request):
  to_hub = "Hub" in request.node.name
  encoder = ta.load_encoder(
      str(one_layer_source), None if to_hub else ta.AdapterConfig(size=8))
  model = ta.TextClassifier(encoder, ["no", "yes"], pooling="mean")
  model.max_length = 16
  path = tmp_path / "model"
  path.mkdir()
  with largest_file(3000), pytest.raises(
      ta.InputError, match="can.*not be written: File too large$") as caught:
    export(model, path)
  assert "\n" not in str(caught.value)
  assert not list(path.rglob("*"))
