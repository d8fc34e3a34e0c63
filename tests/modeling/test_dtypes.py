import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import tf_adapters as ta
from tf_adapters.modeling.dtypes import DTYPES

POLICY = tf_keras.mixed_precision.Policy
CONFIG = ta.BertConfig(vocab_size=9, hidden_size=4, num_hidden_layers=1,
                       num_attention_heads=2, intermediate_size=4)


@pytest.mark.parametrize("dtype", [
    "float16", "mixed_float16", "float64", "int32", "nonsense", "", 16,
    np.float16, tf.float16, POLICY("mixed_float16"), tf_keras.Model])
def test_refuses_types_that_are_not_offered(dtype):
  message = "encoders are offered in float32, mixed_bfloat16, bfloat16"
  with pytest.raises(ta.InputError, match=message):
    ta.BertEncoder(CONFIG, dtype=dtype)
  # Before anything is looked for.
  with pytest.raises(ta.InputError, match=message):
    ta.load_encoder("there/is/none", dtype=dtype)
  with pytest.raises(ta.InputError, match=message):
    ta.load_adapter("there/is/none", dtype=dtype)
  with pytest.raises(ta.InputError, match=message):
    ta.TextNetwork(None, dtype=dtype)


@pytest.mark.parametrize("dtype", [
    *DTYPES, tf.float32, np.float32, POLICY("mixed_bfloat16")])
def test_takes_those_that_are_in_any_form(dtype):
  encoder = ta.BertEncoder(CONFIG, dtype=dtype)
  again = ta.BertEncoder.from_config(encoder.get_config())
  assert again.dtype_policy.name == encoder.dtype_policy.name in DTYPES


def test_the_global_policy_is_looked_at_where_no_type_is_given():
  before = tf_keras.mixed_precision.global_policy()
  try:
    for name in ("mixed_float16", "float64"):
      tf_keras.mixed_precision.set_global_policy(name)
      with pytest.raises(ta.InputError, match=f"global policy '{name}'"):
        ta.BertEncoder(CONFIG)
      with pytest.raises(ta.InputError, match="global policy"):
        ta.load_encoder("there/is/none")
      ta.BertEncoder(CONFIG, dtype="float32")
    tf_keras.mixed_precision.set_global_policy("mixed_bfloat16")
    assert ta.BertEncoder(CONFIG).compute_dtype == "bfloat16"
  finally:
    tf_keras.mixed_precision.set_global_policy(before)
