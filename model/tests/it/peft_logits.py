"""Prints, as JSON rows, the logits of a checkpoint folder with an adapter folder on it, as transformers and PEFT compute them.

    python peft_logits.py <checkpoint> <adapter or -> <id,id,...>
"""

import json
import sys

import torch
from peft import PeftModel, get_peft_model_state_dict
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

checkpoint, adapter, ids = sys.argv[1:]
model = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32, attn_implementation="eager").eval()
if adapter != "-":
    model = PeftModel.from_pretrained(model, adapter).eval()
    # PEFT warns of what it misses and leaves out what it does not know.
    known, given = set(get_peft_model_state_dict(model)), set(load_file(f"{adapter}/adapter_model.safetensors"))
    assert known == given, f"the settings and the file differ in {sorted(known ^ given)}"
with torch.no_grad():
    logits = model(torch.tensor([[int(i) for i in ids.split(",")]])).logits[0]
print(json.dumps(logits.tolist()))
