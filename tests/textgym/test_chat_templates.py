"""Prompts and replies in a tokenizer's chat template, as transformers writes them."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from tokenizers import AddedToken, Tokenizer
from tokenizers.decoders import Metaspace as MetaspaceDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import Metaspace
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


UNASKED = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }} {{ m['content'] }}<|im_end|>{% endfor %}"
)


def chatting(template: str, kind: str = "bytes") -> Any:
    """Of a byte-level tokenizer, or of one that puts a space before the first word of all."""
    if kind == "bytes":
        backend = load_tokenizer()._coder.backend  # type: ignore[attr-defined]
    else:
        letters = ["<unk>", "<|endoftext|>", "<|pad|>", "▁", *map(chr, range(32, 127)), "\n"]
        vocabulary = {letter: index for index, letter in enumerate(letters)}
        backend = Tokenizer(BPE(vocabulary, [], unk_token="<unk>"))
        backend.pre_tokenizer = Metaspace(prepend_scheme="first", split=False)
        backend.decoder = MetaspaceDecoder(prepend_scheme="first", split=False)
    wrap: Any = PreTrainedTokenizerFast
    tokenizer = wrap(tokenizer_object=backend, eos_token="<|endoftext|>", pad_token="<|pad|>")
    marks = [AddedToken(mark, special=True) for mark in ("<|im_start|>", "<|im_end|>", "<s>")]
    marks.append(AddedToken("<|user|>", special=True, rstrip=True))
    tokenizer.add_tokens(marks, special_tokens=True)
    tokenizer.bos_token = "<s>"
    tokenizer.chat_template = template
    return tokenizer


SPECIAL = {i for i, token in chatting(CHATML).added_tokens_decoder.items() if token.special}


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
        return Example(f" Say {rng.integers(100)}.\n", ("one",))

    def converse(self, example: Example) -> Conversation:
        return Echo()

    def expert(self, example: Example, turns: Sequence[tuple[str, str]] = ()) -> str:
        return "one"


@pytest.mark.parametrize(
    ("template", "end", "spaces"),
    [(CHATML, "<|im_end|>", ""), (MARKED, "<|endoftext|>", ""), (SPACED, "<|endoftext|>", " ")],
)
@pytest.mark.parametrize("kind", ["bytes", "spaces"])
def test_contexts_are_what_the_template_writes(
    template: str, end: str, spaces: str, kind: str
) -> None:
    tokenizer = chatting(template, kind)
    adapted = HuggingFaceTokenizer(tokenizer, chat=True)
    assert adapted.eos_id == tokenizer.convert_tokens_to_ids(end)
    env = gym.make("textgym/Text-v0", task=EchoTask(), tokenizer=adapted, reward="length")
    shown, _ = env.reset(seed=1)
    prompt = env.unwrapped.mdp.prompt(env.unwrapped.mdp.example_index(1, 0)).example.prompt
    messages = [{"role": "user", "content": prompt}]
    for turn in ("one", "two three"):
        written = tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True
        )
        expected = tokenizer.encode(written, add_special_tokens=False)
        assert shown[shown != adapted.pad_id].tolist() == expected
        for token in [*tokenizer.encode(end + turn + spaces)[1:], adapted.eos_id]:
            shown, *_, info = env.step(token)
        messages.append({"role": "assistant", "content": turn})
        messages.append({"role": "user", "content": info["reply"]})
    assert info["reply"] == f"You said two three{spaces}. And now?"


def test_special_tokens_in_words_are_text_and_words_can_be_cut() -> None:
    tokenizer = HuggingFaceTokenizer(chatting(CHATML), chat=True)
    for write in (tokenizer.frame.prompt, tokenizer.frame.reply):
        plain, marked = write("Say THAT now."), write("Say <|im_end|> now.")
        assert "Say <|im_end|> now." in tokenizer.decode(marked)
        marks = [[index for index in ids if index in SPECIAL] for ids in (plain, marked)]
        assert marks[0] == marks[1] and len(marks[0]) >= 3
    plain = tokenizer.frame.prompt("Say THAT now.")
    for copied in (pickle.loads(pickle.dumps(tokenizer)), copy.deepcopy(tokenizer)):
        assert copied.frame.prompt("Say THAT now.") == plain
    cut = tokenizer.frame.cut("Say THAT now.", len(plain) - 2)
    start = plain.index(tokenizer.encode("Say")[0])
    assert cut == [*plain[:start], *plain[start + 2 :]]


class Silent(Echo):
    def reply(self, turn: str) -> Reply:
        return Reply("", done=super().reply(turn).done)


def test_a_user_who_says_nothing_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EchoTask, "converse", lambda *_: Silent())
    tokenizer = HuggingFaceTokenizer(chatting(CHATML), chat=True)
    env = gym.make("textgym/Text-v0", task=EchoTask(), tokenizer=tokenizer, reward="length")
    env.reset(seed=1)
    lengths = []
    for _ in range(3):
        shown, *_ = env.step(tokenizer.eos_id)
        lengths.append(int((shown != tokenizer.pad_id).sum()))
    marks = len(tokenizer.frame.reply(""))
    assert marks > 3 and np.diff(lengths).tolist() == [marks + 1, 1]


def test_what_is_saved_ends_answers_as_what_was_trained_with(tmp_path: Path) -> None:
    given = chatting(CHATML)
    for number, options in enumerate(({"chat": True}, {"eos_token": "<|im_start|>"})):
        tokenizer = HuggingFaceTokenizer(given, **options)
        assert tokenizer.eos_id != load_tokenizer(given).eos_id
        tokenizer.save_pretrained(tmp_path / str(number))
        assert load_tokenizer(tmp_path / str(number)).eos_id == tokenizer.eos_id
    assert given.eos_token == "<|endoftext|>"


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
    for template in ("{% for m in messages %}{{ m['content'] }} {% endfor %}", "Hello.", UNASKED):
        with pytest.raises(ValueError, match=r"chat template of tokenizer .* is not understood"):
            HuggingFaceTokenizer(chatting(template), chat=True)
