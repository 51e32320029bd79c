"""What becomes free while a large model learns is given back to the system, and rarely."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.agents import texts
from textgym_agents.algorithms import Reinforce, ReinforceConfig
from textgym_agents.policies import memory


class Library:
    """Counts in place of glibc."""

    def __init__(self) -> None:
        self.trims = 0

    def malloc_trim(self, _: int) -> None:
        self.trims += 1


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Library:
    counting = Library()
    monkeypatch.setattr(memory, "_LIBRARY", counting)
    return counting


def learn(seed: int = 0) -> list[torch.Tensor]:
    policy = texts.lm_policy()
    Reinforce(policy, ReinforceConfig()).update(texts.episodes(seed=seed))
    return [parameter.detach().clone() for parameter in policy.parameters()]


def test_small_models_are_left_alone(library: Library) -> None:
    learn()
    assert library.trims == 0


@pytest.mark.parametrize("parts, trims", [(1, 1), (3, 3)])
def test_once_for_each_so_many_bytes_of_gradients(
    parts: int, trims: int, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    layers = nn.Sequential(*(nn.Linear(8, 8, bias=False) for _ in range(6)))
    monkeypatch.setattr(memory, "_LEAST", 6 * 256 // parts)
    memory.give_back_in_backward(layers.parameters())
    torch.autograd.backward(layers(torch.ones(1, 8)).sum())
    assert library.trims == trims


def test_what_does_not_learn_does_not_count(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    layers = nn.Sequential(nn.Linear(8, 8, bias=False), nn.Linear(8, 8, bias=False))
    layers[0].requires_grad_(requires_grad=False)
    monkeypatch.setattr(memory, "_LEAST", 512)
    memory.give_back_in_backward(layers.parameters())
    torch.autograd.backward(layers(torch.ones(1, 8)).sum())
    assert library.trims == 0


def test_a_large_model_learns_the_same(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = learn()
    monkeypatch.setattr(memory, "_LEAST", 1)
    found = learn()
    assert library.trims > 0
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one, other)
