#!/usr/bin/env python3
"""Trains, evaluates and predicts one text task: `tf-adapters glue`."""

import sys

from tf_adapters.__main__ import main

if __name__ == "__main__":
  sys.argv.insert(1, "glue")
  main()
