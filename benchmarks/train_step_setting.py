"""What the training-step benchmark trains: sizes, prompts, tokenizer, model and reward."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

EOS, PAD = 0, 1
NEVER = -50.0  # A logit whose probability is 0 in float32, and whose logarithm is finite.


@dataclass(frozen=True, kw_only=True)
class Case:
    """What both contenders do.

    Attributes:
        size: The name of the model's size.
        lengths: "fixed" or "geometric".
        precision: "fp32" or "bf16" (autocast).
        layers, width, heads, vocabulary: Of the GPT-2.
        prompts: A step.
        group: Completions a prompt.
        prompt_tokens: Of each prompt.
        new_tokens: A completion's limit.
        steps: To take, the warm-up included.
        threads: Torch's.
    """

    size: str = "small"
    lengths: str = "fixed"
    precision: str = "fp32"
    layers: int = 4
    width: int = 256
    heads: int = 4
    vocabulary: int = 2048
    prompts: int = 8
    group: int = 4
    prompt_tokens: int = 16
    new_tokens: int = 64
    steps: int = 1
    threads: int = 1

    @property
    def texts(self) -> int:
        """Completions a step."""
        return self.prompts * self.group

    @property
    def end(self) -> float:
        """The probability that a token ends its text."""
        return 0.0 if self.lengths == "fixed" else 4 / self.new_tokens


SIZES = {
    "tiny": Case(size="tiny", layers=1, width=16, heads=2, vocabulary=64, prompts=2, new_tokens=8),
    "small": Case(),
    "gpt2": Case(
        size="gpt2", layers=12, width=768, heads=12, vocabulary=50_257, prompts=4, new_tokens=32
    ),
}


def reward(text: str, _: object = None) -> float:
    """A number that differs between texts and costs nothing: the thousands of characters."""
    return len(text) / 1000


def prompts(case: Case) -> list[str]:
    """A thousand different prompts of the same number of tokens."""
    import numpy as np

    ids = np.random.default_rng(0).integers(2, case.vocabulary, (1_000, case.prompt_tokens))
    return [" ".join(f"w{i}" for i in row) for row in ids]


def tokenizer(case: Case) -> Any:
    """A word a token: EOS, the padding, and ``w2`` to ``w(V - 1)``."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = {"<eos>": EOS, "<pad>": PAD, **{f"w{i}": i for i in range(2, case.vocabulary)}}
    backend = Tokenizer(models.WordLevel(words, unk_token="<pad>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=backend, eos_token="<eos>", pad_token="<pad>", unk_token="<pad>"
    )


def language_model(case: Case) -> Any:
    """The model, whose head ends texts with the case's probability."""
    import torch

    from textgym_agents.policies import small_gpt2
    from textgym_agents.policies.decoder import output_head

    model = small_gpt2(
        case.vocabulary,
        layers=case.layers,
        heads=case.heads,
        width=case.width,
        max_positions=case.prompt_tokens + case.new_tokens,
        activation="gelu_new",
    )
    head = output_head(model)
    with torch.no_grad():
        head.weight[EOS] = 0.0  # Its logit is then the bias.
        spread = float(head.weight.std()) * math.sqrt(case.width)  # Of the other logits.
        others = math.log(case.vocabulary) + spread**2 / 2
        bias = torch.zeros(case.vocabulary)
        bias[EOS] = others + math.log(case.end / (1 - case.end)) if case.end else NEVER
    head.bias = torch.nn.Parameter(bias, requires_grad=False)
    return model
