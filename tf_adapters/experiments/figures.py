"""The figures of a report: those of the paper, of what sweeps have tried.

Which there are, what has to be said of them, and why others are missing. Their
numbers come from `curves`, and `plots` draws them.
"""

import re
from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from tf_adapters.experiments import curves, plots
from tf_adapters.experiments.curves import PERCENTILES, Panel
from tf_adapters.experiments.document import Picture
from tf_adapters.experiments.paper_figures import families
from tf_adapters.experiments.records import Record
from tf_adapters.experiments.sweep_folder import renamed, task_of
from tf_adapters.experiments.tables import measured_on

_SQUAD = ("squad", "squad_v2")

_AGAINST_PARAMETERS = (
    "Scores against trained parameters: adapters by size and top layers by "
    "number, from left to right")


def figures(encoder: str, records: Sequence[Record],
            alone: bool) -> tuple[list[Picture], list[str]]:
  """Makes the figures of an encoder.

  Args:
    encoder: its name.
    records: of the trials with it.
    alone: whether it is the only one of a report, and need not be named.

  Returns:
    The figures; and a line for each that is not there, with the reason.
  """
  maker = _Maker(encoder, alone, families(
      (record.trial.task for record in records), renamed(records)))
  squad = {record.trial.task for record in records
           if task_of(record) in _SQUAD}
  panels = curves.panels(records, curves.parameters)
  maker.add_differences(
      [panel for panel in panels if panel.task not in squad])
  several = [panel for panel in panels
             if sum(map(len, panel.curves.values())) > 1]
  for name, title, of_tasks, task in (
      ("figure4", "Figure 4: trained parameters",
       [panel for panel in several if panel.task not in squad], "task"),
      ("figure5", "Figure 5: trained parameters, SQuAD",
       [panel for panel in several if panel.task in squad], "SQuAD task")):
    maker.add_panels(
        name, title, of_tasks, _AGAINST_PARAMETERS, "trained_parameters",
        plots.PARAMETERS_LABEL,
        f"no {task} with finished settings of two numbers of parameters")
  maker.add_panels(
      "figure6", "Figure 6, right: initial weights",
      curves.varied(curves.panels(records, curves.init_scale)),
      "Scores against the standard deviation of the adapters' initial weights",
      "adapter_init_scale",
      "standard deviation of the adapters' initial weights",
      "no task with two finished values of adapter_init_scale")
  maker.add_panels(
      "figure7", "Figure 7: learning rates",
      curves.varied(curves.panels(records, curves.learning_rate)),
      "Best scores against learning rates", "learning_rate", "learning rate",
      "no task with two finished learning rates of adapters, or of full "
      "fine-tuning")
  return maker.pictures, maker.left_out


class _Maker:
  """Collects the figures of an encoder.

  Args:
    encoder: its name.
    alone: whether it need not be named.
    families: family -> task -> title.

  Attributes:
    pictures: what could be drawn.
    left_out: what could not, and why.
  """

  def __init__(self, encoder: str, alone: bool,
               families: Mapping[str, Mapping[str, str]]):
    self._encoder = encoder
    self._families = families
    self._suffix = "" if alone else "-" + re.sub(r"[^\w.-]", "_", encoder)
    self._end = "" if alone else f" ({encoder})"
    self.pictures: list[Picture] = []
    self.left_out: list[str] = []

  def add_differences(self, panels: Sequence[Panel]) -> None:
    """Adds figure 3, a panel for each family of tasks."""
    title = "Figure 3: trained parameters, over tasks"
    families = {family: curves.differences(of_family)
                for family, of_family in self._by_family(panels).items()}
    families = {family: points for family, points in families.items()
                if points}
    if not families:
      self._leave_out(title, "no two tasks with both full fine-tuning and all "
                             "points of another curve finished")
      return
    low, _, high = PERCENTILES
    counts = "; ".join(
        f"{family}: " + ", ".join(
            f"{curve} over {len(points[0].tasks)} tasks"
            for curve, points in of_family.items())
        for family, of_family in families.items())
    self._add("figure3", title,
              "Scores less those of full fine-tuning on the same task: the "
              f"median over tasks, and from the {low}th to the {high}th "
              f"percentile. {counts}. {self._encoder}.",
              plots.draw_differences(families),
              curves.differences_csv(families))

  def add_panels(self, name: str, title: str, panels: Sequence[Panel],
                 what: str, x: str, x_label: str, reason: str) -> None:
    """Adds a figure with a panel for each task; one for each family of tasks.

    Args:
      name: of its files.
      title: what it is.
      panels: of the tasks; may be none.
      what: the caption's beginning.
      x: the axis in the CSV file.
      x_label: the axis in the figure.
      reason: why it is not there, if there are no panels.
    """
    if not panels:
      self._leave_out(title, reason)
      return
    families = self._by_family(panels)
    for family, of_family in families.items():
      of_name, of_title = name, title
      if len(families) > 1:
        of_name += "-" + family.replace(" ", "_")
        of_title += f", {family}"
      measured = measured_on(self._encoder, [
          point.chosen for panel in of_family
          for points in panel.curves.values() for point in points])
      self._add(of_name, of_title,
                f"{what}, ± 1 standard error over seeds. Each point is the "
                f"best of its settings by validation alone. {measured}.",
                plots.draw_panels(of_family, self._families[family], x_label,
                                  x == "trained_parameters"),
                curves.panels_csv(of_family, x))

  def _add(self, name: str, title: str, caption: str, drawn: Figure,
           csv: str) -> None:
    self.pictures.append(Picture(
        name + self._suffix, title + self._end, caption, drawn, csv))

  def _leave_out(self, title: str, reason: str) -> None:
    self.left_out.append(f"{title}{self._end}: {reason}.")

  def _by_family(self, panels: Sequence[Panel]) -> dict[str, list[Panel]]:
    """Returns {family: its panels, in the order of its tasks}."""
    by_task = {panel.task: panel for panel in panels}
    found = {family: [by_task[task] for task in titles if task in by_task]
             for family, titles in self._families.items()}
    return {family: of_family for family, of_family in found.items()
            if of_family}
