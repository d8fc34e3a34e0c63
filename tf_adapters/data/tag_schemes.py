"""Tagging schemes: which tags mark where entities begin, continue and end.

Published files write entities in many ways: BIO, IOB1, BIOES, BILOU, BMES,
BMEWO, with the type before or behind, with "-" or "_", or without a type. All
of them are turned into the one that seqeval counts, "B-", "I-", "E-", "S-" and
"O".
"""

import dataclasses
import re
from collections.abc import Iterable, Mapping

OUTSIDE = "O"

# What tags begin (or end) with -> what seqeval calls it. The first scheme that
# most of a task's tags are of is the task's.
_SCHEMES = (
    {"B": "B", "I": "I", "E": "E", "S": "S"},
    {"B": "B", "I": "I", "L": "E", "U": "S"},
    {"B": "B", "M": "I", "E": "E", "S": "S"},
    {"B": "B", "M": "I", "E": "E", "W": "S"},
)
_FORMS = (
    re.compile(r"(?P<place>[A-Z])-(?P<type>.+)"),
    re.compile(r"(?P<place>[A-Z])_(?P<type>.+)"),
    re.compile(r"(?P<type>.+)-(?P<place>[A-Z])"),
    re.compile(r"(?P<place>[A-Z])(?P<type>)"),
)


@dataclasses.dataclass(frozen=True)
class EntityTags:
  """A task's tags, as seqeval writes them.

  Attributes:
    seqevals: tag -> the same as seqeval writes it, of those that say where an
      entity is, or that none is.
    others: the tags that do not, in the task's order.

  Example:
    >>> entity_tags(["O", "B-PER", "L-PER", "0"])
    EntityTags(seqevals={'O': 'O', 'B-PER': 'B-PER', 'L-PER': 'E-PER'},
               others=('0',))
  """

  seqevals: Mapping[str, str]
  others: tuple[str, ...]

  @property
  def entities(self) -> bool:
    """Whether entities can be counted: every tag says where one is."""
    return not self.others and self.seqevals.keys() != {OUTSIDE}

  @property
  def nearly(self) -> bool:
    """Whether most tags do, so that the others look like mistakes."""
    return len(self.seqevals.keys() - {OUTSIDE}) >= max(len(self.others), 1)


def entity_tags(labels: Iterable[str]) -> EntityTags:
  """Finds the scheme that most of the tags are of."""
  labels = tuple(labels)
  found = [{label: tag for label in labels
            if (tag := _seqevals(label, form, scheme)) is not None}
           for form in _FORMS for scheme in _SCHEMES]
  best = max(found, key=len)
  return EntityTags(
      best, tuple(label for label in labels if label not in best))


def _seqevals(label: str, form: re.Pattern[str],
              scheme: Mapping[str, str]) -> str | None:
  if label == OUTSIDE:
    return OUTSIDE
  match = form.fullmatch(label)
  if match is None or match["place"] not in scheme:
    return None
  place = scheme[match["place"]]
  return f"{place}-{match['type']}" if match["type"] else place
