"""What acting has computed is not computed again: the same numbers and gradients, for less."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from peft.tuners.lora import Linear as LoraLinear
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers.pytorch_utils import Conv1D

import textgym  # noqa: F401  (registers the environments)
from tests.agents import texts
from textgym_agents.evaluate import evaluate
from textgym_agents.policies import CausalLMPolicy, Episode, context_model, memory
from textgym_agents.policies.activations import ROOT, Activations
from textgym_agents.policies.critic import Critic
from textgym_agents.policies.lora import add_adapter
from textgym_agents.policies.models import small_gpt2
from textgym_agents.rollout import collect

ENVS = {"textgym/Tiny-v0": 1, "textgym/Wordle-v0": 1, "textgym/Story-v0": 3}
"""Episodes a slot, of tasks of one turn and of several."""


def acted(
    env_id: str = "textgym/Story-v0",
    dtype: torch.dtype = torch.float64,
    rank: int = 0,
    targets: tuple[str, ...] = (),
    **options: Any,
) -> tuple[CausalLMPolicy, list[Episode]]:
    """A policy, of a rank above 0 with an adapter, and episodes that it was the last to act in."""
    envs = gym.make_vec(env_id, num_envs=8, mask_in_info=False)
    vocabulary = int(envs.single_action_space.n)
    width = int(envs.single_observation_space.shape[0])
    model = small_gpt2(vocabulary, layers=2, heads=2, width=16, max_positions=width)
    if rank:
        add_adapter(model, rank, alpha=3.0, targets=targets)
    texts.move(model.to(dtype), 0.1)
    policy = CausalLMPolicy.from_env(envs, model, **options).to(dtype)
    texts.move(policy.critic or policy.value_head, 0.1)
    assert policy._contexts.head_is_last  # It asks the model once.
    batch = collect(
        envs,
        policy,
        seeds=np.repeat(np.arange(4), 2).tolist(),
        episodes_per_env=ENVS[env_id],
        generator=torch.Generator().manual_seed(0),
    )
    return policy, batch


def learned(policy: CausalLMPolicy, passes: list[list[Episode]]) -> list[Tensor]:
    """Log-probabilities, entropies, values and the gradients of a loss of all three."""
    policy.zero_grad(set_to_none=True)
    found = []
    for batch in passes:
        evaluation = policy.evaluate(batch)
        found += [evaluation.log_probs, evaluation.entropy, evaluation.values]
        loss = (evaluation.log_probs + 0.1 * evaluation.entropy).sum() + evaluation.values.sum()
        torch.autograd.backward(loss)
    found += [parameter.grad for parameter in policy.parameters() if parameter.grad is not None]
    return [one.detach() for one in found]


def without_products(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on the layers refuse to compute."""

    def refuse(*_: Any) -> Tensor:
        raise AssertionError("a layer's product was computed")

    monkeypatch.setattr(Conv1D, "forward", refuse)
    monkeypatch.setattr(LoraLinear, "forward", refuse)


ADAPTERS: list[dict[str, Any]] = [
    {},
    {"rank": 2},
    {"rank": 2, "targets": ("attn.c_proj",)},  # Others are frozen,
    {"rank": 2, "targets": ("mlp.c_proj",)},  # or one of the two in a layer.
]


@pytest.mark.parametrize("env_id", ENVS)
@pytest.mark.parametrize("parts", [1, 3])
@pytest.mark.parametrize("adapter", ADAPTERS)
def test_numbers_and_gradients_are_those_of_a_pass_of_its_own(
    env_id: str, parts: int, adapter: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    policy, batch = acted(env_id, **adapter)
    passes = [batch[part::parts] for part in range(parts)]
    with monkeypatch.context() as patch:
        without_products(patch)
        taken = learned(policy, passes)
    policy.clear_cache()
    computed = learned(policy, passes)
    trained = sum(parameter.requires_grad for parameter in policy.parameters())
    assert len(taken) == len(computed) == 3 * parts + trained
    for one, other in zip(taken, computed, strict=True):
        texts.assert_rounded(one, other)


FROZEN = [
    r"mlp\.c_fc",
    r"mlp\.c_proj",
    r"mlp\.c_proj\.bias|c_fc\.weight",
    r"h\.0|wte|wpe",  # Then the first MLP needs no gradient at all,
    r"^(?!.*h\.0\.mlp\.c_proj)",  # and here that of its last product alone.
]


@pytest.mark.parametrize("frozen", FROZEN)
def test_gradients_of_what_is_not_frozen_are_the_same(
    frozen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy, batch = acted()
    kept = [p for name, p in policy.named_parameters() if not re.search(frozen, name)]
    for parameter in policy.parameters():
        parameter.requires_grad_(any(parameter is one for one in kept))
    with monkeypatch.context() as patch:
        without_products(patch)
        taken = learned(policy, [batch])
    policy.clear_cache()
    computed = learned(policy, [batch])
    assert len(taken) == len(computed) == 3 + len(kept)
    for one, other in zip(taken, computed, strict=True):
        texts.assert_rounded(one, other)


def test_what_an_activation_gave_is_not_held_until_the_backward_pass() -> None:
    policy, batch = acted()
    wide: dict[int, Tensor] = {}  # Of the MLPs' inner width, each storage once.

    def pack(tensor: Tensor) -> Tensor:
        if tensor.shape[-1] == 64 and tensor.ndim == 3:
            wide[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        policy.evaluate(batch)
    assert len(wide) == 2  # One a layer: what goes into the activation.


def test_memory_of_acting_is_given_back_before_learning_if_it_is_much(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Library:
        calls = 0

        def malloc_trim(self, _: int) -> None:
            self.calls += 1

    library = Library()
    monkeypatch.setattr(memory, "_LIBRARY", library)
    policy, batch = acted(dtype=torch.float32)
    weights = policy._contexts._gpt2
    assert weights is not None
    copied = 2 * 4 * 16 * (48 + 16 + 64 + 64)  # Layers, bytes, width in, widths out.
    assert weights.num_bytes in (copied, 0)  # Not every CPU has a better order.
    with torch.no_grad():
        policy.evaluate(batch)
    policy.evaluate(batch)
    assert library.calls == 0
    monkeypatch.setattr(memory, "_LEAST", copied)
    for _ in range(2):
        policy, batch = acted(dtype=torch.float32)
        policy.evaluate(batch)
        policy.evaluate(batch)  # Nothing is held any more.
        assert library.calls == (weights.num_bytes > 0)
        monkeypatch.setattr(memory, "_LIBRARY", None)  # As on other systems.


def test_a_critic_takes_over_what_it_has_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    envs = gym.make_vec("textgym/Story-v0", num_envs=1)
    model = small_gpt2(
        int(envs.single_action_space.n), layers=2, heads=2, width=16, max_positions=256
    )
    policy, batch = acted(critic=Critic(model))
    with monkeypatch.context() as patch:
        without_products(patch)
        taken = learned(policy, [batch])
    policy.clear_cache()
    for one, other in zip(taken, learned(policy, [batch]), strict=True):
        texts.assert_rounded(one, other)


def test_in_bfloat16_the_update_sees_what_the_rollout_saw() -> None:
    def gap() -> float:
        old = np.concatenate([episode.log_probs for episode in batch])
        now = policy.evaluate(batch).log_probs.detach().numpy()
        return float(np.abs(now - old).max())

    policy, batch = acted(dtype=torch.float32, precision="bf16")
    assert gap() < 1e-5
    policy.clear_cache()
    assert gap() > 1e-4


def test_in_bfloat16_gradients_are_those_of_a_pass_of_its_own_but_for_rounding(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each is as near to the exact one as what is computed anew."""

    def distance(found: list[Tensor]) -> float:
        pairs = zip(found, exact, strict=True)
        ratios = [float((one - true).norm() / (true.norm() + 1e-12)) for one, true in pairs]
        return float(np.median(ratios))

    policy, batch = acted(dtype=torch.float32, precision="bf16")
    with monkeypatch.context() as patch:
        without_products(patch)
        taken = learned(policy, [batch])[3:]
    policy.clear_cache()
    computed = learned(policy, [batch])[3:]
    plain, _ = acted(dtype=torch.float32)
    plain.load_state_dict(policy.state_dict())
    plain.clear_cache()
    exact = learned(plain, [batch])[3:]
    assert all(gradient.dtype == torch.float32 for gradient in taken)
    assert 0 < distance(computed) < 0.05
    assert 0 < distance(taken) < 1.5 * distance(computed)


def test_in_bfloat16_an_adapter_is_not_added_to_its_weights() -> None:
    """The sum would be rounded to what the weights were."""
    assert acted(dtype=torch.float32, precision="bf16")[0]._contexts._gpt2 is not None
    adapted, _ = acted(dtype=torch.float32, precision="bf16", rank=2)
    assert adapted._contexts._gpt2 is None and adapted._contexts._activations is None


def step(policy: CausalLMPolicy) -> None:
    """A step that shows in no parameter's version."""
    optimizer = torch.optim.AdamW(policy.parameters(), lr=0.1, fused=True)
    for parameter in policy.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    policy.zero_grad()


def change(policy: CausalLMPolicy) -> None:
    texts.move(policy, 0.1, seed=5)


def load(policy: CausalLMPolicy) -> None:
    state = {name: value + 0.1 for name, value in policy.state_dict().items()}
    policy.load_state_dict(state)


@pytest.mark.parametrize("alter", [step, change, load])
def test_other_weights_compute_for_themselves(alter: Callable[[CausalLMPolicy], None]) -> None:
    policy, batch = acted()
    before = policy.evaluate(batch[:2]).log_probs.detach()
    alter(policy)
    after = learned(policy, [batch[:2]])
    policy.clear_cache()
    for one, other in zip(after, learned(policy, [batch[:2]]), strict=True):
        assert torch.equal(one, other)
    assert float((after[0] - before).abs().max()) > 1e-3


def test_other_texts_and_second_looks_are_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    policy, batch = acted()
    others = acted("textgym/Tiny-v0")[1]
    seen: list[int] = []
    forward = Conv1D.forward

    def count(layer: Any, states: Tensor) -> Tensor:
        seen.append(states.shape[-2])
        return forward(layer, states)

    monkeypatch.setattr(Conv1D, "forward", count)
    policy.evaluate(others)
    assert seen
    seen.clear()
    policy.evaluate(batch)
    assert not seen
    policy.evaluate(batch)  # All was taken, and is no longer there.
    assert seen


def shift(_: Any, __: Any, output: Tensor) -> Tensor:
    """A hook that shows."""
    return output + 1.0


@pytest.mark.parametrize("late", [False, True])
def test_hooks_are_called_whenever_they_come(late: bool) -> None:
    policy, batch = acted()
    layer = policy.model.transformer.h[0].mlp.c_fc
    handle = layer.register_forward_hook(shift)
    if not late:
        envs = gym.make_vec("textgym/Story-v0", num_envs=8, mask_in_info=False)
        batch = collect(envs, policy, seeds=range(8), generator=torch.Generator().manual_seed(0))
    found = policy.evaluate(batch).log_probs.detach()
    handle.remove()
    policy.clear_cache()
    assert float((policy.evaluate(batch).log_probs.detach() - found).abs().max()) > 1e-3


def test_a_forward_of_a_layer_s_own_is_called_and_stays() -> None:
    policy, batch = acted()
    layer = policy.model.transformer.h[0].mlp.c_fc
    calls: list[int] = []

    def own(states: Tensor) -> Tensor:
        calls.append(1)
        return Conv1D.forward(layer, states)

    layer.forward = own
    policy.evaluate(batch)
    assert calls and layer.forward is own


def test_acting_goes_on_after_distributions_were_taken() -> None:
    policy, batch = acted()
    envs = gym.make_vec("textgym/Story-v0", num_envs=8, mask_in_info=False)
    observations, _ = envs.reset(seed=0)
    policy.episode_log_probs(batch)
    policy.act(observations)
    found = policy.evaluate(batch).log_probs.detach()
    policy.clear_cache()
    assert torch.equal(found, policy.evaluate(batch).log_probs.detach())


def test_nothing_is_kept_that_cannot_be_taken() -> None:
    def kept(policy: CausalLMPolicy) -> Any:
        envs = gym.make_vec("textgym/Story-v0", num_envs=2)
        policy.act(envs.reset(seed=0)[0])
        return policy._contexts._activations

    policy, _ = acted(gradient_checkpointing=True)
    assert kept(policy) is None
    policy, _ = acted()
    assert kept(policy) is not None
    assert kept(policy.reference()) is None  # Frozen.
    assert kept(policy.eval()) is None
    assert kept(policy.train()) is not None
    policy.model.transformer.h[1].mlp = policy.model.transformer.h[0].mlp
    policy.clear_cache()
    assert kept(policy) is None


def test_an_evaluation_keeps_nothing_and_the_next_rollout_does() -> None:
    policy, _ = acted()
    evaluate(gym.make_vec("textgym/Story-v0", num_envs=2), policy, num_episodes=2)
    assert policy.training and policy._contexts._activations is None
    envs = gym.make_vec("textgym/Story-v0", num_envs=2)
    policy.act(envs.reset(seed=0)[0])
    assert policy._contexts._activations is not None


def test_batches_beyond_the_limit_are_computed_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    policy, batch = acted()
    whole = learned(policy, [batch])
    monkeypatch.setattr(context_model, "_MOST_ACTIVATIONS", 2_000_000)
    policy, batch = acted()
    with monkeypatch.context() as patch:
        without_products(patch)
        with pytest.raises(AssertionError, match="was computed"):
            policy.evaluate(batch)
    for one, other in zip(whole, learned(policy, [batch]), strict=True):
        texts.assert_rounded(one, other)


@pytest.mark.parametrize("frozen", ["nothing", "adapted", *FROZEN])
def test_second_derivatives_are_the_layers_own(frozen: str) -> None:
    policy, batch = acted(rank=2 if frozen == "adapted" else 0)
    for name, parameter in policy.named_parameters():
        if re.search(frozen, name):
            parameter.requires_grad_(False)

    def product() -> list[Tensor]:
        with sdpa_kernel(SDPBackend.MATH):  # The others have no second derivative.
            table = policy.episode_log_probs(batch)
        weights = [p for p in policy.model.parameters() if p.requires_grad]
        first = torch.autograd.grad(
            table.exp().square().sum(), weights, create_graph=True, allow_unused=True
        )
        total = torch.stack([g.square().sum() for g in first if g is not None]).sum()
        second = torch.autograd.grad(total, weights, allow_unused=True)
        return [g for g in second if g is not None]

    taken = product()
    policy.clear_cache()
    for one, other in zip(taken, product(), strict=True):
        texts.assert_rounded(one, other)


def test_rows_are_found_by_what_comes_before() -> None:
    kept = Activations([2], torch.float32, torch.device("cpu"), limit=10**6)
    (room,) = kept.room(4)
    assert room is not None
    room.copy_(torch.arange(8.0).view(4, 2))
    first = kept.name(np.array([ROOT, ROOT]), np.array([5, 5]), np.array([0, 1]))
    assert first.tolist() == [0, 0]  # The same context.
    second = kept.name(first, np.array([6, 7]), np.array([2, 3]))
    assert second.tolist() == [2, 3]
    found = kept.find(np.array([5, 7, 5, 6]), np.array([-1, 0, -1, 2]))
    assert found is not None and found.tolist() == [0, 3, 0, 2]
    assert kept.find(np.array([5, 5]), np.array([-1, 0])) is None
    kept.room(2_000)  # A block of its own.
    third = kept.name(second[:1], np.array([9]), np.array([1_999]))
    assert kept.find(np.array([5, 6, 9]), np.array([-1, 0, 1])) is not None
    assert third[0] >= 2_000


def test_rows_are_written_after_others_were_given_out() -> None:
    """Giving some out joins the blocks; what follows has its place in what is joined."""
    kept = Activations([2, 2], torch.float32, torch.device("cpu"), limit=10**6)
    layers = [Conv1D(2, 3), Conv1D(2, 3)]
    names: list[int] = []
    products = [torch.randn(1_003, 2) for _ in layers]
    for first, last in ((0, 500), (500, 1_000), (1_000, 1_003)):  # Of blocks of 512, and two.
        for room, product in zip(kept.room(last - first), products, strict=True):
            assert room is not None
            room.copy_(product[first:last])
        count = last - first
        tokens = np.arange(first, last)
        names += kept.name(np.full(count, ROOT), tokens, np.arange(count)).tolist()
        asked = np.array([first, last - 1])
        with kept.given_out(layers, np.array(names)[asked]):
            for layer, product in zip(layers, products, strict=True):
                assert torch.equal(layer(torch.zeros(2, 3)), product[asked])


def test_rows_are_kept_up_to_the_limit() -> None:
    """A block that would go beyond it is a smaller one."""
    kept = Activations([2], torch.float32, torch.device("cpu"), limit=700 * 2 * 4)
    assert all(room is not None for count in (500, 10, 188) for room in kept.room(count))
    assert kept.room(20) == [None] and kept.closed
