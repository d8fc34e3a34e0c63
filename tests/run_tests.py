"""Hands files of tests to pytest: what Bazel runs, since importing runs none.

`bazel test --test_filter=EXPRESSION` is pytest's -k.
"""

import os
import sys

import pytest

if __name__ == "__main__":
  sys.exit(pytest.main([
      # Bazel has its own processes, and nothing may be written beside files.
      "-n", "0", "-p", "no:cacheprovider",
      "-k", os.environ.get("TESTBRIDGE_TEST_ONLY", ""), *sys.argv[1:]]))
