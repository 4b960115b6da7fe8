"""The path of the program that cargo has built last under a name.

    python3 built.py MESSAGES NAME

MESSAGES is what `cargo … --message-format=json` printed; NAME the target's, as `weaverec`, `peer` or `weaverec_model` (its tests).
"""

import json
import sys


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    path, name = sys.argv[1:]
    found = None
    with open(path) as lines:
        for line in lines:
            if not line.startswith("{"):
                continue
            message = json.loads(line)
            if message.get("executable") and message["target"]["name"].replace("-", "_") == name:
                found = message["executable"]
    if not found:
        sys.exit(f"{path}: cargo has built nothing called {name}")
    print(found)


if __name__ == "__main__":
    main()
