"""Prompts and replies in a tokenizer's chat template, as transformers writes them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest
from tokenizers import AddedToken
from transformers import PreTrainedTokenizerFast

import textgym  # noqa: F401
from textgym.tasks import Conversation, Example, MultiTurnTask, ProceduralTask, Reply
from textgym.tokenizers import HuggingFaceTokenizer, load_tokenizer

CHATML = """{% if messages[0]['role'] != 'system' %}<|im_start|>system
Be short.<|im_end|>
{% endif %}{% for message in messages %}<|im_start|>{{ message['role'] }}
{{ message['content'] }}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""
MARKED = (
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}[INST] {{ "
    "message['content'] | trim }} [/INST]{% else %}{{ message['content'] }}{{ eos_token }}"
    "{% endif %}{% endfor %}"
)
"""Marks of a user's words that are text, encoded together with them, and none of an answer."""


SPACED = (
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}<|user|>\n{{ "
    "message['content'] }}{{ eos_token }}\n<|im_start|>\n{% else %}{{ message['content'] }} "
    "{{ eos_token }}\n{% endif %}{% endfor %}"
)
"""Marks that swallow what whitespace is beside them, and a space before the end of an answer."""


def chatting(template: str) -> Any:
    backend = load_tokenizer()._coder.backend  # type: ignore[attr-defined]
    wrap: Any = PreTrainedTokenizerFast
    tokenizer = wrap(tokenizer_object=backend, eos_token="<|endoftext|>", pad_token="<|pad|>")
    marks = [AddedToken(mark, special=True) for mark in ("<|im_start|>", "<|im_end|>", "<s>")]
    marks.append(AddedToken("<|user|>", special=True, rstrip=True))
    tokenizer.add_tokens(marks, special_tokens=True)
    tokenizer.bos_token = "<s>"
    tokenizer.chat_template = template
    return tokenizer


class Echo(Conversation):
    """Asks on until the third turn."""

    def __init__(self) -> None:
        self._turns = 0

    def reply(self, turn: str) -> Reply:
        self._turns += 1
        return Reply(f"You said {turn}. And now?", done=self._turns == 3)

    def outcome(self) -> Mapping[str, float]:
        return {}


class EchoTask(ProceduralTask, MultiTurnTask):
    """Say anything."""

    name, levels, default_level = "echo", ("only",), "only"
    max_prompt_tokens, max_new_tokens = 90, 200

    def generate(self, rng: Any) -> Example:
        return Example(f"Say {rng.integers(100)}.", ("one",))

    def converse(self, example: Example) -> Conversation:
        return Echo()

    def expert(self, example: Example, turns: Sequence[tuple[str, str]] = ()) -> str:
        return "one"


@pytest.mark.parametrize(
    ("template", "end", "spaces"),
    [(CHATML, "<|im_end|>", ""), (MARKED, "<|endoftext|>", ""), (SPACED, "<|endoftext|>", " ")],
)
def test_contexts_are_what_the_template_writes(template: str, end: str, spaces: str) -> None:
    tokenizer = chatting(template)
    adapted = HuggingFaceTokenizer(tokenizer, chat=True)
    assert adapted.eos_id == tokenizer.convert_tokens_to_ids(end)
    env = gym.make("textgym/Text-v0", task=EchoTask(), tokenizer=adapted, reward="length")
    shown, _ = env.reset(seed=1)
    prompt = env.unwrapped.mdp.prompt(env.unwrapped.mdp.example_index(1, 0)).example.prompt
    messages = [{"role": "user", "content": "PROMPT"}]
    for turn in ("one", "two three"):
        written = tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True
        )
        expected = tokenizer.encode(written.replace("PROMPT", prompt), add_special_tokens=False)
        assert shown[shown != adapted.pad_id].tolist() == expected
        for token in [*adapted.encode(turn + spaces), adapted.eos_id]:
            shown, *_, info = env.step(token)
        messages.append({"role": "assistant", "content": turn})
        messages.append({"role": "user", "content": info["reply"]})
    assert info["reply"] == f"You said two three{spaces}. And now?"


def test_a_name_takes_it_and_one_without_a_template_is_told(tmp_path: Path) -> None:
    tokenizer = chatting(CHATML)
    tokenizer.save_pretrained(tmp_path / "chat")
    options: dict[str, Any] = {"task": [{"prompt": "hi", "reference": "x"}], "num_envs": 2}
    envs = gym.make_vec("textgym/Text-v0", tokenizer=f"chat:{tmp_path / 'chat'}", **options)
    shown, _ = envs.reset(seed=0)
    messages = [{"role": "user", "content": "hi\n"}]
    options = {"add_generation_prompt": True, "return_dict": True}
    expected = tokenizer.apply_chat_template(messages, **options)["input_ids"]
    assert shown[0][shown[0] != envs.metadata["pad_id"]].tolist() == expected
    plain = load_tokenizer(tmp_path / "chat")
    assert plain.eos_id != envs.metadata["eos_id"]
    tokenizer.chat_template = None
    tokenizer.save_pretrained(tmp_path / "none")
    assert "chat_template" not in json.loads((tmp_path / "none/tokenizer_config.json").read_text())
    with pytest.raises(ValueError, match=r"none' has no chat template: .*leave \"chat:\" out"):
        load_tokenizer(f"chat:{tmp_path / 'none'}")
    for template in ("{% for m in messages %}{{ m['content'] }} {% endfor %}", "Hello."):
        with pytest.raises(ValueError, match=r"chat template of tokenizer .* is not understood"):
            HuggingFaceTokenizer(chatting(template), chat=True)
