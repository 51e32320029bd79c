"""GRPO's and RLOO's losses and gradients are those of TRL's trainers on the same batch.

TRL's own code computes rewards, advantages, old and reference log-probabilities and the loss: only
its generation is replaced, by fixed completions. The model moves between the three, so that ratios
are clipped and the divergence from the reference is not 0.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from transformers import PreTrainedModel

from textgym_agents.algorithms import GRPO, RLOO, GRPOConfig, RLOOConfig
from textgym_agents.policies import CausalLMPolicy, Contexts, Episode
from textgym_agents.policies.models import small_gpt2

trl = pytest.importorskip("trl", reason="trl is not installed")

VOCABULARY, LONGEST, GROUP = 24, 7, 4
PROMPTS = [[2, 3, 4]] * GROUP + [[5, 3, 6]] * GROUP
COMPLETIONS = [
    [7, 8, 1],
    [9, 1],
    [10, 10, 11, 12, 7, 8, 9],
    [1],
    [13, 14, 15, 1],
    [13, 14, 16, 17, 1],
    [18, 1],
    [18, 19, 20, 21, 22, 23, 1],
]
REWARDS = [0.0, 1.0, 0.5, -1.0, 2.0, 0.25, 0.25, 1.5]

Gradients = dict[str, torch.Tensor]


def model() -> PreTrainedModel:
    return small_gpt2(VOCABULARY, layers=2, heads=2, width=16, max_positions=16, seed=0)


def move(model: PreTrainedModel, seed: int, size: float) -> None:
    """The same step for every copy of a model."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(size * torch.randn(parameter.shape, generator=generator))


def gradients(model: PreTrainedModel) -> Gradients:
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def reward(completions: Sequence[Any], **_: Any) -> list[float]:
    return REWARDS[: len(completions)]


def trl_trainer(kind: str, theirs: PreTrainedModel, folder: Path, **options: Any) -> Any:
    """TRL's trainer of a model, whose generation gives the fixed completions."""
    from datasets import Dataset
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    words = {f"t{i}": i for i in range(VOCABULARY)}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(words, unk_token="t0")),
        pad_token="t0",
        eos_token="t1",
        unk_token="t0",
    )
    theirs.save_pretrained(folder / "model")  # TRL loads the reference from where the model is.
    theirs.config._name_or_path = str(folder / "model")
    arguments = getattr(trl, f"{kind}Config")(
        output_dir=str(folder / "out"),
        per_device_train_batch_size=len(COMPLETIONS),
        num_generations=GROUP,
        num_iterations=2,
        max_completion_length=LONGEST,
        use_cpu=True,
        bf16=False,
        report_to=[],
        disable_dropout=True,
        **options,
    )
    trainer = getattr(trl, f"{kind}Trainer")(
        model=theirs,
        reward_funcs=reward,
        args=arguments,
        train_dataset=Dataset.from_dict({"prompt": ["t2 t3 t4"] * len(COMPLETIONS)}),
        processing_class=tokenizer,
    )
    texts = ["" for _ in COMPLETIONS]
    generated = (
        (PROMPTS, COMPLETIONS, texts)
        if kind == "RLOO"
        else (PROMPTS, COMPLETIONS, None, texts, None, {}, None, None)
    )
    trainer._generate = lambda prompts: generated
    trainer.current_gradient_accumulation_steps = 1
    return trainer


def trl_loss(kind: str, folder: Path, **options: Any) -> tuple[float, Gradients]:
    theirs = model()
    if kind == "GRPO":
        options = {"use_bias_correction_kl": False, **options}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TRL's, of its own settings.
        trainer = trl_trainer(kind, theirs, folder, **options)
        theirs.train()
        move(theirs, 1, 0.05)
        batch = trainer._generate_and_score_completions([{"prompt": "t2 t3 t4"}] * len(PROMPTS))
        move(theirs, 2, 0.02)
        loss = trainer._compute_loss(theirs, batch)
    loss.backward()
    return loss.item(), gradients(theirs)


def episodes(policy: CausalLMPolicy) -> list[Episode]:
    """The completions as the policy of now would have sampled them."""
    made = []
    for slot, (prompt, actions) in enumerate(zip(PROMPTS, COMPLETIONS, strict=True)):
        size = len(actions)
        tokens = np.array(prompt + actions[:-1])
        rewards = np.zeros(size)
        rewards[-1] = REWARDS[slot]
        episode = Episode(
            slot=slot,
            group=slot // GROUP,
            observations=Contexts(tokens, np.arange(len(prompt), len(prompt) + size)),
            actions=np.array(actions),
            log_probs=np.zeros(size, np.float32),
            values=np.zeros(size, np.float32),
            rewards=rewards,
        )
        episode.log_probs = policy.evaluate([episode]).log_probs.detach().numpy()
        made.append(episode)
    return made


def our_loss(learner_class: Any, config: Any) -> tuple[dict[str, float], Gradients]:
    ours = copy.deepcopy(model())
    policy = CausalLMPolicy(ours, pad_id=0, num_actions=VOCABULARY, value_head=False)
    learner = learner_class(policy, config)
    move(ours, 1, 0.05)
    batch = episodes(policy)
    move(ours, 2, 0.02)
    return learner.gradients(batch), gradients(ours)


def assert_same(ours: tuple[dict[str, float], Gradients], theirs: tuple[float, Gradients]) -> None:
    metrics, gradient = ours
    # Advantages of both signs cancel in the loss, to next to nothing near ratio 1.
    assert metrics["loss"] == pytest.approx(theirs[0], rel=1e-5, abs=1e-6)
    assert 0.0 < metrics["clip_fraction"] < 1.0
    assert abs(metrics["kl_reference"]) > 1e-3
    assert gradient.keys() == theirs[1].keys()
    largest = max(float(g.abs().max()) for g in gradient.values())
    assert largest > 1e-2
    for name, expected in theirs[1].items():
        assert_allclose(gradient[name], expected, rtol=1e-5, atol=1e-5 * largest, err_msg=name)


VARIANTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "grpo": ({}, {"loss_type": "grpo"}),
    "batch": ({"scale_rewards": "batch"}, {"loss_type": "grpo", "scale_rewards": "batch"}),
    "dr_grpo": (
        {"variant": "dr_grpo", "constant_length": LONGEST},
        {"loss_type": "dr_grpo", "scale_rewards": "none"},
    ),
    "dapo": ({"variant": "dapo"}, {"loss_type": "dapo", "epsilon_high": 0.28}),
    "gspo": (
        {"variant": "gspo", "clip_range": 0.03, "clip_range_high": 0.04},
        {
            "loss_type": "grpo",
            "importance_sampling_level": "sequence",
            "epsilon": 0.03,
            "epsilon_high": 0.04,
        },
    ),
    "cispo": (  # TRL names the upper limit of the weight itself.
        {"variant": "cispo", "clip_range_high": 0.2},
        {"loss_type": "cispo", "epsilon_high": 1.2},
    ),
    "unbiased_kl": (
        {"unbiased_kl": True},
        {"loss_type": "grpo", "use_bias_correction_kl": True},
    ),
    "entropy": ({"entropy_coef": 0.1}, {"loss_type": "grpo", "entropy_coef": 0.1}),
}


@pytest.mark.parametrize("name", list(VARIANTS))
def test_grpo_equals_trl(name: str, tmp_path: Path) -> None:
    options, trl_options = VARIANTS[name]
    config = GRPOConfig(group_size=GROUP, kl_coef=0.04, **options)
    assert_same(our_loss(GRPO, config), trl_loss("GRPO", tmp_path, beta=0.04, **trl_options))


def test_grpo_in_several_passes_equals_trl(tmp_path: Path) -> None:
    config = GRPOConfig(group_size=GROUP, kl_coef=0.04, variant="dapo", max_tokens_per_pass=12)
    theirs = trl_loss("GRPO", tmp_path, beta=0.04, loss_type="dapo", epsilon_high=0.28)
    assert_same(our_loss(GRPO, config), theirs)


@pytest.mark.parametrize("high", [None, 0.1])
def test_rloo_equals_trl(high: float | None, tmp_path: Path) -> None:
    config = RLOOConfig(group_size=GROUP, kl_coef=0.05, clip_range_high=high)
    theirs = trl_loss("RLOO", tmp_path, beta=0.05, epsilon_high=high)
    assert_same(our_loss(RLOO, config), theirs)
