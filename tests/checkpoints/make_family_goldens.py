"""Writes what transformers computes, for test_families.py to compare with.

Run it in an environment of its own, from the root of the repository:

  python3 -m venv peer
  peer/bin/pip install torch==2.13.0 transformers==4.57.6
  PYTHONPATH=. peer/bin/python tests/checkpoints/make_family_goldens.py
"""

import json
import pathlib
import sys

import numpy as np
import torch
import transformers

SIZES = dict(vocab_size=89, max_position_embeddings=16)
BERT_SIZES = dict(hidden_size=8, num_hidden_layers=2, num_attention_heads=2,
                  intermediate_size=12)
MODELS = {
    "electra": transformers.ElectraConfig(
        **SIZES, **BERT_SIZES, embedding_size=4),
    "albert": transformers.AlbertConfig(
        **SIZES | dict(vocab_size=700), **BERT_SIZES, embedding_size=4),
    "distilbert": transformers.DistilBertConfig(
        **SIZES, dim=8, n_layers=2, n_heads=2, hidden_dim=12),
    "mobilebert": transformers.MobileBertConfig(
        **SIZES, **BERT_SIZES, embedding_size=4, intra_bottleneck_size=4,
        classifier_activation=False),
    "roberta": transformers.RobertaConfig(
        **BERT_SIZES, vocab_size=500, max_position_embeddings=18,
        type_vocab_size=1, layer_norm_eps=1e-5),
    "xlm-roberta": transformers.XLMRobertaConfig(
        **BERT_SIZES, vocab_size=760, max_position_embeddings=18,
        type_vocab_size=1, layer_norm_eps=1e-5),
    "modernbert": transformers.ModernBertConfig(
        **BERT_SIZES, vocab_size=503, max_position_embeddings=16,
        local_attention=4, pad_token_id=3, cls_token_id=1, sep_token_id=2,
        bos_token_id=1, eos_token_id=2, reference_compile=False,
        attn_implementation="eager"),
    "deberta-v2": transformers.DebertaV2Config(
        **BERT_SIZES, vocab_size=760, max_position_embeddings=16,
        type_vocab_size=0, relative_attention=True, position_buckets=4,
        max_relative_positions=-1, position_biased_input=False,
        pos_att_type=["p2c", "c2p"], share_att_key=True,
        norm_rel_ebd="layer_norm"),
}


def main(names: list[str]) -> None:
  folder = pathlib.Path(__file__).parent / "families"
  folder.mkdir(exist_ok=True)
  for name in names or MODELS:
    torch.manual_seed(0)
    model = transformers.AutoModel.from_config(MODELS[name]).eval()
    with torch.no_grad():
      for parameter in model.parameters():  # zeros and ones hide mistakes
        parameter.add_(torch.randn(parameter.shape) * 0.2)
    rng = np.random.default_rng(0)
    # Beyond special tokens: <pad> has no position in a RoBERTa.
    ids = rng.integers(
        5 if "roberta" in name else 0, model.config.vocab_size, [3, 9])
    mask = (np.arange(9) < np.array([[9], [4], [1]])).astype(int)
    types = rng.integers(
        0, getattr(model.config, "type_vocab_size", 2) or 1, [3, 9])
    inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}
    if name in ("distilbert", "modernbert"):
      del inputs["token_type_ids"]
    with torch.inference_mode():
      outputs = model(**{
          key: torch.tensor(value) for key, value in inputs.items()})
    arrays = {"sequence_output": outputs.last_hidden_state.numpy()}
    if outputs.get("pooler_output") is not None:
      arrays["pooled_output"] = outputs.pooler_output.numpy()
    tensors = {f"tensor {key}": value.numpy()
               for key, value in model.state_dict().items()}
    np.savez_compressed(
        folder / f"{name}.npz", word_ids=ids.astype("i4"),
        mask=mask.astype("i4"), type_ids=types.astype("i4"),
        config=json.dumps(model.config.to_dict()), **arrays, **tensors)


if __name__ == "__main__":
  main(sys.argv[1:])
