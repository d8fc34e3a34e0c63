#!/usr/bin/env python3
"""Trains, evaluates and predicts one text task: `tf-adapters glue`."""

import os

# TensorFlow's start-up notices would bury the one line that matters.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from tf_adapters.tools import glue

if __name__ == "__main__":
  glue.main()
