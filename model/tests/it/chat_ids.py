"""The ids that transformers gives to conversations less their last turn, the answer.

    python chat_ids.py FOLDER CONVERSATIONS.json

The conversations are lists of (role, content) pairs. The ids go to standard output, as JSON.
"""

import json
import sys

from transformers import PreTrainedTokenizerFast

folder, conversations = sys.argv[1:]
tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
with open(conversations, encoding="utf-8") as file:
    conversations = json.load(file)
prompts = [
    tokenizer.apply_chat_template(
        [{"role": role, "content": content} for role, content in turns[:-1]],
        add_generation_prompt=True,
        enable_thinking=False,
        tokenize=True,
        return_dict=False,
    )
    for turns in conversations
]
json.dump(prompts, sys.stdout)
