"""Small files of GLUE's tasks, in the published layouts."""

# Task -> {file: content}, as the files of the GLUE download begin.
FILES = {
    "cola": ("CoLA", {
        "train.tsv": "gj04\t1\t\tThey drank \"it\".\ngj04\t0\t*\tDrank they.\n",
        "dev.tsv": "gj04\t1\t\tShe sang.\n",
        "test.tsv": "index\tsentence\n0\tBill whistled.\n1\tIt flew.\n"}),
    "sst2": ("SST-2", {
        "train.tsv": "sentence\tlabel\nhide \t0\na moving film \t1\n",
        "dev.tsv": "sentence\tlabel\ncharming . \t1\n",
        "test.tsv": "index\tsentence\n0\tmishmash .\n"}),
    "mrpc": ("MRPC", {
        "train.tsv": "\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\n"
                     "1\t1\t2\tHe said so .\tSo he said .\r\n"
                     "0\t3\t4\t\" Lone quote .\tOther .\n",
        "dev.tsv": "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\n"
                   "1\t5\t6\ta\tb\n",
        "test.tsv": "index\t#1 ID\t#2 ID\t#1 String\t#2 String\n"
                    "0\t7\t8\tc\td\n"}),
    "stsb": ("STS-B", {
        "train.tsv": "index\tgenre\tfilename\tyear\told_index\tsource1\t"
                     "source2\tsentence1\tsentence2\tscore\n"
                     "0\tm\tf\t2012\t1\tn\tn\tA plane.\tAn air plane.\t5.000\n"
                     "1\tm\tf\t2012\t2\tn\tn\tA man.\tA dog.\t0.250\n",
        "dev.tsv": "index\tsentence1\tsentence2\tscore\n0\ta\tb\t2.5\n",
        "test.tsv": "index\tsentence1\tsentence2\n0\ta\tb\n"}),
    "qqp": ("QQP", {
        "train.tsv": "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n"
                     "1\t2\t3\tHow?\tWhy?\t0\n4\t5\t6\tbroken row\n"
                     "7\t8\t9\tWho?\tWho is it?\t1\n",
        "dev.tsv": "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n"
                   "1\t2\t3\ta?\tb?\t1\n",
        "test.tsv": "id\tquestion1\tquestion2\n0\ta?\tb?\n"}),
    "mnli": ("MNLI", {
        "train.tsv": "index\tpromptID\tpairID\tgenre\tsentence1\tsentence2\t"
                     "label1\tgold_label\n"
                     "0\t1\t1n\tgov\tp\th\tneutral\tneutral\n"
                     "1\t2\t2c\tgov\tp\th\tneutral\tcontradiction\n",
        "dev_matched.tsv": "index\tsentence1\tsentence2\tlabel1\tgold_label\n"
                           "0\tp\th\tneutral\tentailment\n",
        "dev_mismatched.tsv":
            "index\tsentence1\tsentence2\tlabel1\tgold_label\n"
            "0\tp\th\tneutral\tneutral\n1\tp\th\tneutral\tneutral\n",
        "test_matched.tsv": "index\tsentence1\tsentence2\n0\tp\th\n",
        "test_mismatched.tsv": "index\tsentence1\tsentence2\n0\tp\th\n"}),
    "qnli": ("QNLI", {
        "train.tsv": "index\tquestion\tsentence\tlabel\n"
                     "0\tq?\ts.\tentailment\n1\tq?\ts.\tnot_entailment\n",
        "dev.tsv": "index\tquestion\tsentence\tlabel\n0\tq\ts\tentailment\n",
        "test.tsv": "index\tquestion\tsentence\n0\tq?\ts.\n"}),
    "rte": ("RTE", {
        "train.tsv": "index\tsentence1\tsentence2\tlabel\n"
                     "0\ta\tb\tnot_entailment\n1\ta\tb\tentailment\n",
        "dev.tsv": "index\tsentence1\tsentence2\tlabel\n0\ta\tb\tentailment\n",
        "test.tsv": "index\tsentence1\tsentence2\n0\ta\tb\n"}),
    "wnli": ("WNLI", {
        "train.tsv": "index\tsentence1\tsentence2\tlabel\n0\ta\tb\t1\n"
                     "1\ta\tb\t0\n",
        "dev.tsv": "index\tsentence1\tsentence2\tlabel\n0\ta\tb\t0\n",
        "test.tsv": "index\tsentence1\tsentence2\n0\ta\tb\n"}),
}


def write_task(root, name):
  """Writes the files of a GLUE task; returns their folder."""
  folder, files = FILES[name]
  (root / folder).mkdir()
  for file, content in files.items():
    (root / folder / file).write_bytes(content.encode())
  return root / folder
