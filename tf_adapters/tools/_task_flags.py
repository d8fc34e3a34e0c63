"""Flags of a task and its data, the same for every tool on labelled texts."""

import math

from absl import flags

from tf_adapters.data.loading import TASK_NAMES
from tf_adapters.data.own_files import METRICS
from tf_adapters.tools import _column_flags
from tf_adapters.training.run_config import GlueRunConfig

_DEFAULTS = GlueRunConfig()

flags.DEFINE_enum(
    "task_name", None, TASK_NAMES,
    "The task: a GLUE task; one of the paper's 17 others; demo, the sentiment "
    "of tweets from a package; tsv, your own .tsv or .csv files; or tagging, "
    "your own CoNLL files.")
flags.DEFINE_string(
    "data_dir", _DEFAULTS.data_dir,
    "Folder of the task's files: the classic TSV files of a GLUE task, or the "
    "folder that holds all tasks' folders. Without it GLUE tasks are "
    "downloaded with tensorflow_datasets.")
flags.DEFINE_float(
    "holdout", _DEFAULTS.holdout,
    "Part of the training rows that is the validation split, the same ones for "
    "every seed; what has been that is a test split then. For data of one file "
    "only, and for choosing between runs where test labels are hidden, as "
    "GLUE's are. 0 for none.",
    lower_bound=0.0, upper_bound=0.9)
flags.register_validator("holdout", math.isfinite, "must be a number")
flags.adopt_module_key_flags(_column_flags)
flags.DEFINE_string(
    "label_column", _DEFAULTS.label_column,
    "Task tsv: name of the labels' column; with --problem_type=multi_label the "
    "names of several, of 0 and 1, one for each label. Task tagging: number of "
    "the tags' column, from 1; without it the last one.")
flags.DEFINE_string(
    "label_separator", _DEFAULTS.label_separator,
    "Task tsv, multi_label: what stands between the labels of a cell that is "
    "no list, such as ['a', 'b'].")
flags.DEFINE_enum(
    "problem_type", _DEFAULTS.problem_type, list(METRICS),
    "Task tsv: one label for each text, any number of labels, or numbers.")
