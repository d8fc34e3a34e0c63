"""The machines of a run, as the environment variable TF_CONFIG names them."""

import json
import os

from tf_adapters.errors import InputError

_EXAMPLE = ('\'{"cluster": {"worker": ["host0:2222", "host1:2222"]}, '
            '"task": {"type": "worker", "index": 0}}\'')


def check_cluster() -> None:
  """Refuses a TF_CONFIG that does not say the workers, or which one this is.

  Raises:
    InputError: it is not there, or is no such cluster.
  """
  text = os.environ.get("TF_CONFIG")
  if not text:
    raise InputError(
        "distribution_strategy=multi_worker_mirrored needs the environment "
        f"variable TF_CONFIG, such as {_EXAMPLE}")
  try:
    config = json.loads(text)
    cluster, task = config["cluster"], config["task"]
    hosts = cluster[task["type"]]
    is_right = (cluster.keys() <= {"chief", "worker"}
                and len(cluster.get("chief", [""])) == 1
                and all(isinstance(host, str) and host.count(":")
                        for hosts in cluster.values() for host in hosts)
                and 0 <= int(task["index"]) < len(hosts))
  except (ValueError, TypeError, LookupError, AttributeError):
    is_right = False
  if not is_right:
    raise InputError(f"TF_CONFIG={text}: expected workers, at most one chief, "
                     f"and a task that is one of them, such as {_EXAMPLE}")
