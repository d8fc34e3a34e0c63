"""The heat map of spans."""

import pytest
from matplotlib.figure import Figure

from tf_adapters.experiments.heat_map import draw_heat_map
from tf_adapters.experiments.pictures import pdf, png


def changes(layers):
  return {(first, last): -69.0 * (last - first + 1) / (layers[-1] + 1)
          for first in layers for last in layers if first <= last}


def written(figure):
  """{(first, last) of the places: text} of the cells."""
  return {tuple(map(int, text.get_position()[::-1])): text.get_text()
          for text in figure.axes[0].texts}


def test_values_stand_in_the_upper_triangle():
  figure = draw_heat_map([1, 4, 5], {
      (1, 1): -0.04, (1, 4): -3.14, (1, 5): -69.2,
      (4, 4): 0.26, (4, 5): -9.96, (5, 5): -9.94}, "cola")
  assert written(figure) == {
      (0, 0): "0.0", (0, 1): "−3.1", (0, 2): "−69", (1, 1): "+0.3",
      (1, 2): "−10", (2, 2): "−9.9"}
  axes = figure.axes[0]
  for axis in (axes.xaxis, axes.yaxis):
    assert [label.get_text() for label in axis.get_ticklabels()] == [
        "1", "4", "5"]
  assert "last" in axes.get_xlabel() and "first" in axes.get_ylabel()


@pytest.mark.parametrize("layers", [1, 12, 24])
def test_fits_a_column_in_few_bytes_and_text_into_its_cell(layers):
  layers = list(range(layers))
  figure = draw_heat_map(layers, changes(layers), "mrpc")
  assert figure.get_figwidth() == (3.25 if len(layers) <= 16 else 6.75)
  axes = figure.axes[0]
  cell = axes.get_window_extent().width / len(layers)
  for text in axes.texts:
    assert text.get_window_extent().width < cell
    assert text.get_fontsize() >= 5
  assert png(figure).startswith(b"\x89PNG") and len(png(figure)) < 200_000
  assert pdf(figure).startswith(b"%PDF")


def test_the_same_numbers_are_the_same_bytes():
  figures = [draw_heat_map(range(3), changes(range(3)), "mrpc")
             for _ in range(2)]
  assert isinstance(figures[0], Figure)
  # In either order.
  assert [write(figures[0]) for write in (png, pdf)] == [
      write(figures[1]) for write in (pdf, png)][::-1]


def test_nothing_changes():
  figure = draw_heat_map([0, 1], dict.fromkeys([(0, 0), (0, 1), (1, 1)], 0.0),
                         "mrpc")
  assert set(written(figure).values()) == {"0.0"}
