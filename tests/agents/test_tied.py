"""Weights that are embedding and head at once have one gradient, the sum of both uses'."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.agents import texts
from textgym_agents.policies import Evaluation, Sampling, context_model
from textgym_agents.policies.language_model import LanguageModelPolicy


def policy(**parts: Any) -> LanguageModelPolicy:
    made = texts.lm_policy(**parts)
    made.double()
    assert made._contexts.head_is_last
    return made


def both(evaluation: Evaluation) -> Tensor:
    return (evaluation.log_probs * evaluation.entropy).sum() + evaluation.values.sum()


def head_alone(evaluation: Evaluation) -> Tensor:
    return evaluation.log_probs.square().sum()


def values_alone(evaluation: Evaluation) -> Tensor:
    return evaluation.values.square().sum()


def gradients(
    made: LanguageModelPolicy, loss: Any, batches: int = 1, repeats: int = 1
) -> dict[str, Tensor]:
    made.zero_grad(set_to_none=True)
    for seed in range(batches):
        value = loss(made.evaluate(texts.episodes(seed=seed)))
        for _ in range(repeats):
            torch.autograd.backward(value, retain_graph=True)
    return {
        name: parameter.grad.clone()
        for name, parameter in made.named_parameters()
        if parameter.grad is not None
    }


@pytest.mark.parametrize("loss", [both, head_alone, values_alone])
@pytest.mark.parametrize("batches, repeats", [(1, 1), (3, 1), (1, 2)])
@pytest.mark.parametrize("sampling", [Sampling(temperature=0.7), Sampling(top_k=5)], ids=str)
def test_gradients_are_autograd_s(
    loss: Any, batches: int, repeats: int, sampling: Sampling, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = policy()
    made.sampling = sampling
    found = gradients(made, loss, batches, repeats)
    monkeypatch.setattr(context_model, "tied", lambda _: context_model.nullcontext())
    expected = gradients(made, loss, batches, repeats)
    assert found.keys() == expected.keys()
    for name, grad in expected.items():
        torch.testing.assert_close(found[name], grad, rtol=1e-9, atol=1e-12)


def test_no_gradient_of_the_vocabulary_s_size_is_made_for_each_use() -> None:
    made = policy()
    weight = made.model.get_input_embeddings().weight
    sizes: list[int] = []

    def counting(make: Any) -> Any:
        def count(like: Tensor, **options: Any) -> Any:
            sizes.append(like.numel())
            return make(like, **options)

        return count

    with pytest.MonkeyPatch.context() as patch:
        for name in ("zeros_like", "empty_like"):
            patch.setattr(torch, name, counting(getattr(torch, name)))
        gradients(made, both)
    assert sizes.count(weight.numel()) == 1


def test_an_adapter_s_base_gets_none() -> None:
    made = policy(rank=2)
    found = gradients(made, both)
    assert found and not any("wte" in name for name in found)


def test_what_another_call_left_is_not_added() -> None:
    """Autograd is asked for a part of the gradient, which ends before the embedding."""
    made = policy()
    norm = made.model.transformer.ln_f.weight
    expected = gradients(made, both)
    made.zero_grad(set_to_none=True)
    evaluation = made.evaluate(texts.episodes())
    value = both(evaluation)
    torch.autograd.grad(value, [norm], retain_graph=True)
    torch.autograd.backward(value, retain_graph=True)
    for name, parameter in made.named_parameters():
        if parameter.grad is not None:
            torch.testing.assert_close(parameter.grad, expected[name], rtol=1e-9, atol=1e-12)
    expected = gradients(made, values_alone)
    made.zero_grad(set_to_none=True)
    torch.autograd.backward(evaluation.log_probs.sum(), inputs=[norm], retain_graph=True)
    made.zero_grad(set_to_none=True)
    torch.autograd.backward(values_alone(evaluation))
    weight = made.model.get_input_embeddings().weight
    torch.testing.assert_close(
        weight.grad, expected["model.transformer.wte.weight"], rtol=1e-9, atol=1e-12
    )


def test_an_embedding_that_weighs_its_rows_is_left_alone() -> None:
    made = policy()
    plain = gradients(made, both)
    made.model.get_input_embeddings().scale_grad_by_freq = True
    name = "model.transformer.wte.weight"
    assert float((gradients(made, both)[name] - plain[name]).abs().max()) > 1e-3
