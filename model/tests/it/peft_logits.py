"""Prints, as JSON rows, the logits of a checkpoint folder with an adapter folder on it, as transformers and PEFT compute them.

    python peft_logits.py <checkpoint> <adapter or -> <id,id,...>
"""

import json
import sys

import torch
from peft import PeftModel
from transformers import LlamaForCausalLM

checkpoint, adapter, ids = sys.argv[1:]
model = LlamaForCausalLM.from_pretrained(checkpoint, dtype=torch.float32, attn_implementation="eager").eval()
if adapter != "-":
    model = PeftModel.from_pretrained(model, adapter).eval()
with torch.no_grad():
    logits = model(torch.tensor([[int(i) for i in ids.split(",")]])).logits[0]
print(json.dumps(logits.tolist()))
