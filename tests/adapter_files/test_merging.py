import dataclasses
import math
import shutil

import numpy as np
import pytest
import safetensors.numpy

import tf_adapters as ta
from tests.adapters import A, make
from tf_adapters.adapter_files import adapter_file
from tf_adapters.adapter_files.info import read_info
from tf_adapters.adapter_files.tensors import expected_shapes
from tf_adapters.errors import InputWarning


@pytest.fixture(scope="session")
def hf_source(two_layer_source):
  return two_layer_source


@pytest.fixture(scope="module")
def seeds(hf_source, tmp_path_factory):
  """Three runs of one task, as paths."""
  folder = tmp_path_factory.mktemp("seeds")
  return [str(make(
      hf_source, folder / f"seed{seed}", A(size=8), "classification", "yn",
      "mean", "adapters", max_length=(None, 24, 16)[seed], pairs=False,
      seed=seed)) for seed in range(3)]


@pytest.fixture
def edited(seeds, tmp_path):
  """Writes the second run with other settings, or other tensors."""
  def write(arrays=None, **changes):
    info = read_info(seeds[1])
    adapter_file.write_adapter(
        tmp_path / "other", dataclasses.replace(info, **changes),
        tensors(seeds[1]) if arrays is None else arrays)
    return str(tmp_path / "other")
  return write


def tensors(path):
  return safetensors.numpy.load_file(f"{path}/adapter.safetensors")


def refused(message, *arguments, **keywords):
  with pytest.raises(ta.InputError, match=message) as caught:
    ta.average_adapters(*arguments, **keywords)
  assert "\n" not in str(caught.value)
  return str(caught.value)


@pytest.mark.parametrize("weights, shares", [
    (None, [1 / 3, 1 / 3, 1 / 3]), ([1, 0, 3], [0.25, 0, 0.75]),
    (np.float32([0.2, 0.2, 0.6]), [0.2, 0.2, 0.6])])
def test_the_mean_is_that_of_every_tensor(seeds, tmp_path, weights, shares):
  ta.average_adapters(seeds, tmp_path / "mean", weights)
  model = ta.load_adapter(tmp_path / "mean")
  files = [tensors(path) for path in seeds]
  for name, variable in model.tuned_variables().items():
    expected = np.average(
        [file[name].astype(np.float64) for file in files], axis=0,
        weights=shares)
    np.testing.assert_allclose(variable, expected, rtol=1e-6, atol=1e-8)
  assert any(np.ptp([file["head/bias"] for file in files], axis=0) > 0.01)


@pytest.fixture
def written(seeds, tmp_path):
  """Writes a file of random numbers for a method, and returns its path."""
  def write(method, seed):
    rng = np.random.default_rng(seed)
    info = dataclasses.replace(
        read_info(seeds[0]), adapter=method.to_dict(),
        tuning="adapters-layer_norms", weights_sha256="")
    adapter_file.write_adapter(tmp_path / f"of{seed}", info, {
        name: rng.normal(size=shape).astype(np.float32)
        for name, shape in expected_shapes(info).items()})
    return tmp_path / f"of{seed}"
  return write


@pytest.mark.parametrize("rslora", [False, True])
def test_the_mean_of_lora_is_that_of_its_products(written, tmp_path, rslora):
  lora = ta.LoraConfig(rank=3, alpha=5, rslora=rslora, layers=(1,))
  method = ta.UnionConfig((lora, A(size=4)))
  files = [written(method, seed) for seed in range(3)]
  ta.average_adapters(files, tmp_path / "mean", [2, 0, 1])
  mean = ta.load_adapter(tmp_path / "mean")
  grown, bottlenecks = mean.encoder.method.methods
  assert (grown.rank, bottlenecks) == (6, A(size=4))
  assert grown.scale == pytest.approx(lora.scale)
  first, _, last = map(tensors, files)
  for name, variable in mean.tuned_variables().items():
    if name.endswith("_lora/a/kernel"):
      b = name.replace("/a/", "/b/")
      product = variable.numpy() @ mean.tuned_variables()[b].numpy()
      np.testing.assert_allclose(
          grown.scale * product, lora.scale * (
              2 * first[name] @ first[b] + last[name] @ last[b]) / 3,
          rtol=1e-5, atol=1e-5)
    elif "_lora/" not in name:
      np.testing.assert_allclose(
          variable, (2 * first[name] + last[name]) / 3, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("method, what", [
    (ta.LoraConfig(dora=True), "DoRA's products"),
    (ta.CompacterConfig(), "compact adapters"),
    (ta.UnionConfig((ta.PrefixConfig(flat=True), ta.CompacterConfig())),
     "compact adapters")])
def test_what_has_no_mean_is_refused(written, tmp_path, method, what):
  files = [written(method, seed) for seed in range(2)]
  message = refused(f"{what} have no mean: .*average the predictions instead",
                    files, tmp_path / "mean")
  assert message.startswith(f"{files[0]}: ")


def test_no_more_than_one_rounding(seeds, tmp_path):
  ta.average_adapters([seeds[0]] * 7, tmp_path / "mean", [3, 1, 4, 1, 5, 9, 2])
  for name, array in tensors(tmp_path / "mean").items():
    np.testing.assert_array_equal(array, tensors(seeds[0])[name])


def test_says_what_it_is(seeds, edited, tmp_path):
  path = edited(metrics={"validation": {"f1": 0.5}}, task="b", max_length=20)
  ta.average_adapters([path, seeds[2]], tmp_path / "mean")
  info = read_info(tmp_path / "mean")
  assert info.task == "mean"
  assert info.metrics == {}
  assert info.max_length == 20
  assert info.pairs is False
  assert info.labels == ("y", "n")
  assert "| task | mean |" in (tmp_path / "mean" / "README.md").read_text()
  ta.average_adapters([path, path], tmp_path / "mean")
  assert read_info(tmp_path / "mean").task == "b"
  ta.average_adapters([path, path], tmp_path / "mean", task="c")
  assert read_info(tmp_path / "mean").task == "c"
  ta.average_adapters([seeds[0], edited(pairs=None)], tmp_path / "mean")
  info = read_info(tmp_path / "mean")
  assert info.pairs is None
  assert info.max_length == 24
  ta.average_adapters([seeds[0]], tmp_path / "mean")
  assert read_info(tmp_path / "mean").max_length is None


def test_thresholds_are_kept_where_all_are_the_same(hf_source, tmp_path):
  def file(name, **thresholds):
    path = make(hf_source, tmp_path / name, A(size=4), "multi_label", "pq",
                "mean", "adapters")
    adapter_file.write_adapter(path, dataclasses.replace(
        read_info(path), thresholds=thresholds), tensors(path))
    return path

  files = [file("a", p=0.9), file("b", p=0.9), file("c", p=0.1), file("d")]
  assert read_info(ta.average_adapters(
      files[:2], tmp_path / "mean")).thresholds == {"p": 0.9}
  for others in (files[1:3], files[2:], files[:0:-1]):
    with pytest.warns(InputWarning, match="has no thresholds"):
      ta.average_adapters(others, tmp_path / "mean")
    assert read_info(tmp_path / "mean").thresholds == {}


def test_a_file_can_be_replaced_by_the_mean(seeds, tmp_path):
  shutil.copytree(seeds[0], tmp_path / "mine")
  ta.average_adapters([tmp_path / "mine", seeds[1]], tmp_path / "mine")
  ta.average_adapters(seeds[:2], tmp_path / "mean")
  for name, array in tensors(tmp_path / "mean").items():
    np.testing.assert_array_equal(array, tensors(tmp_path / "mine")[name])


def changed(path, name, **values):
  """One of a configuration's dicts with other values."""
  return {**getattr(read_info(path), name), **values}


def test_what_matters_in_training_only_may_differ(seeds, edited, tmp_path):
  ta.average_adapters([seeds[0], edited(
      adapter=changed(seeds[0], "adapter", init_scale=0.5, dropout=0.25),
      encoder=changed(seeds[0], "encoder", source="elsewhere"),
      dropout=0.5)], tmp_path / "mean")


@pytest.mark.parametrize("what, values", [
    ("labels", lambda path: ("n", "y")),
    ("problem_type", lambda path: "multi_label"),
    ("pooling", lambda path: "cls"),
    ("tuning", lambda path: "adapters-layer_norms"),
    ("adapter size", lambda path: changed(path, "adapter", size=16)),
    ("adapter activation", lambda path: changed(
        path, "adapter", activation="relu")),
    ("adapter method", lambda path: None),
    ("adapter method", lambda path: ta.LoraConfig().to_dict()),
    ("encoder weights_fingerprint", lambda path: changed(
        path, "encoder", weights_fingerprint="0" * 64)),
    ("encoder fingerprint", lambda path: changed(
        path, "encoder", fingerprint="0" * 64, weights_fingerprint="")),
    ("tokenizer lower_case", lambda path: changed(
        path, "tokenizer", lower_case=False)),
    ("tokenizer", lambda path: {}),
    ("span version_2", lambda path: {"version_2": True}),
])
def test_other_settings_are_refused(seeds, edited, tmp_path, what, values):
  path = edited(**{what.split()[0]: values(seeds[1])})
  message = refused(
      f"cannot be averaged with {seeds[0]}: {what}.* is .*, not ",
      [seeds[0], seeds[1], path], tmp_path / "mean")
  assert message.startswith(f"{path}: ")
  assert not (tmp_path / "mean").exists()


def test_other_tensors_are_refused(seeds, edited, tmp_path):
  arrays = tensors(seeds[1])
  path = edited({**arrays, "head/bias": np.zeros(3, np.float32)})
  for paths, sizes in (
      ([seeds[0], path], r"head/bias is \(3,\), not \(2,\)"),
      ([path, seeds[0]], r"head/bias is \(2,\), not \(3,\)")):
    refused(sizes, paths, tmp_path / "mean")
  del arrays["head/bias"]
  for paths, sizes in (
      ([seeds[0], edited(arrays)], r"head/bias is None, not \(2,\)"),
      ([edited(arrays), seeds[0]], r"head/bias is \(2,\), not None")):
    refused(sizes, paths, tmp_path / "mean")
  assert not (tmp_path / "mean").exists()


@pytest.mark.parametrize("weights, message", [
    ([1], "expected 2 numbers, one for each adapter file, not 1"),
    ([1, 1, 1], "expected 2 numbers"),
    ([1, -1e-9], "not negative"),
    ([1, math.nan], "finite"),
    ([1, math.inf], "finite"),
    ([1e308, 1e308], "finite"),
    ([0, 0], "not all 0"),
    (["1", "2"], "expected finite numbers"),
])
def test_weights_that_are_none_are_refused(seeds, tmp_path, weights, message):
  refused(message, seeds[:2], tmp_path / "mean", weights)


def test_files_that_are_none_are_refused(seeds, tmp_path):
  refused("no adapter file to average", [], tmp_path / "mean")
  refused("list of adapter files", seeds[0], tmp_path / "mean")
  refused("nowhere: not an adapter file", [seeds[0], "nowhere"],
          tmp_path / "mean")
  (tmp_path / "notes.txt").write_text("mine")
  refused("is there already, and is no adapter file", seeds, tmp_path)


def test_parts_are_compared_as_vectors(seeds):
  comparison = ta.compare_adapters(*seeds[:2])
  a, b = map(tensors, seeds[:2])

  def check(part, names):
    first, second = (
        np.concatenate([file[name].ravel() for name in names]).astype(float)
        for file in (a, b))
    assert part.parameters == (first.size, first.size)
    assert part.cosine == pytest.approx(
        first @ second / np.linalg.norm(first) / np.linalg.norm(second))
    assert part.distance == pytest.approx(
        np.linalg.norm(first - second) / np.linalg.norm(first))

  check(comparison.parts["head"], ["head/kernel", "head/bias"])
  name = "transformer/layer_1/attention_adapter"
  check(comparison.parts[name], [
      f"{name}/{where}/{what}" for where in ("down", "up")
      for what in ("kernel", "bias")])
  check(comparison.total, sorted(a))
  assert len(comparison.parts) == 2 + 2 * 4
  assert comparison.shapes == []
  assert comparison.settings == {
      "task": ("seed0", "seed1"), "max_length": (None, 24)}


def test_a_file_is_like_itself(seeds, edited):
  comparison = ta.compare_adapters(seeds[0], seeds[0])
  assert comparison.settings == {}
  assert comparison.total.cosine == pytest.approx(1)
  assert comparison.total.distance == 0
  zeros = {name: np.zeros_like(array)
           for name, array in tensors(seeds[1]).items()}
  comparison = ta.compare_adapters(edited(zeros), seeds[0])
  assert math.isnan(comparison.total.cosine)
  assert comparison.total.distance == math.inf


def test_other_shapes_are_named_and_not_compared(
    hf_source, seeds, tmp_path):
  other = make(hf_source, tmp_path / "other", A(size=16, layers=(0,)),
               "classification", "ync", "mean", "adapters", max_length=None,
               pairs=False)
  comparison = ta.compare_adapters(seeds[0], other)
  assert comparison.settings == {
      "task": ("seed0", "other"), "labels": (["y", "n"], ["y", "n", "c"]),
      "adapter size": (8, 16), "adapter layers": (None, [0])}
  up = "transformer/layer_*/output_adapter/up/kernel"
  assert (up, (8, 32), (16, 32)) in comparison.shapes
  assert (up, (8, 32), None) in comparison.shapes
  assert ("head/bias", (2,), (3,)) in comparison.shapes
  assert len(comparison.shapes) == 2 + 2 * 3 + 2 * 4
  norms = [name for name, part in comparison.parts.items()
           if part.cosine is not None]
  assert len(norms) == 1 + 2 * 2
  assert all("norm" in name or name == "embeddings" for name in norms)
  assert comparison.parts["transformer/layer_1/output_adapter"].parameters == (
      8 * 32 * 2 + 8 + 32, 0)
  assert comparison.total.parameters == (5 * 64, 5 * 64)


def test_files_without_a_tensor_in_common_can_be_compared(seeds, edited):
  comparison = ta.compare_adapters(
      edited({"head/other": np.ones(3, np.float32)}), seeds[0])
  assert comparison.total == type(comparison.total)((0, 0), None, None)


def test_parts_are_in_the_order_of_the_layers(edited):
  path = edited({f"transformer/layer_{layer}/output/bias": np.ones(2)
                 for layer in (10, 9, 1)})
  assert [name.split("/")[1] for name in ta.compare_adapters(
      path, path).parts] == ["layer_1", "layer_9", "layer_10"]


def test_files_that_can_not_be_compared_are_named(seeds, tmp_path):
  shutil.copytree(seeds[0], tmp_path / "damaged")
  file = tmp_path / "damaged" / "adapter.safetensors"
  file.write_bytes(file.read_bytes()[:-1])
  for other, message in (("nowhere", "nowhere: not an adapter file"),
                         (tmp_path / "damaged", "safetensors: damaged")):
    for pair in ((seeds[0], other), (other, seeds[0])):
      with pytest.raises(ta.InputError, match=message):
        ta.compare_adapters(*pair)
