"""The lines that a notebook shows of a bank."""

import os
from collections.abc import Mapping

from tf_adapters.adapter_files.info import AdapterInfo
from tf_adapters.errors import listed, printable

_MOST_SHOWN = 20


def summary(source: str, infos: Mapping[str, AdapterInfo],
            store: str | os.PathLike[str] | None) -> str:
  """Describes a bank and its first tasks.

  Args:
    source: of its encoder.
    infos: {name of a task: its information}, of those in memory.
    store: the folder of others, if there is one.
  """
  lines = [f"AdapterBank on {source}: "
           f"{len(infos):,} task{'s' * (len(infos) != 1)}"]
  if store is not None:
    lines[0] += f" loaded, of those in {os.fspath(store)} and others"
  lines += [f"  {name}: {info.problem_type}"
            + (", pairs" if info.takes_pairs else "")
            + (f", {listed(info.labels, 6)}" if info.labels else "")
            for name, info in list(infos.items())[:_MOST_SHOWN]]
  if len(infos) > _MOST_SHOWN:
    lines.append(f"  and {len(infos) - _MOST_SHOWN:,} more: names()")
  return "\n".join(map(printable, lines))
