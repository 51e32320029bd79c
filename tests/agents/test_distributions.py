"""Action distributions against torch.distributions, Stable-Baselines3, and enumeration."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.distributions import (
    CategoricalDistribution,
    DiagGaussianDistribution,
    MultiCategoricalDistribution,
)

from textgym_agents.policies.actions import component_sizes
from textgym_agents.policies.distributions import Categorical, Gaussian, distribution_for
from textgym_agents.policies.sampling import Sampling

COMPONENTS = {
    "uneven": spaces.MultiDiscrete([3, 5, 2]),
    "even": spaces.MultiDiscrete([4, 4]),
    "shifted": spaces.MultiDiscrete([3, 2], start=[10, -1]),
    "grid": spaces.MultiDiscrete([[2, 3], [4, 5]]),
    "one": spaces.MultiDiscrete([6]),
    "flags": spaces.MultiBinary(3),
}
EVERY_OPTION = Sampling(temperature=0.7, top_k=4, top_p=0.95, min_p=0.05, epsilon=0.1)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def drawn(distribution: Categorical, rows: int) -> tuple[torch.Tensor, np.ndarray, torch.Tensor]:
    outputs = normal(rows, distribution.num_outputs, seed=1)
    generator = torch.Generator().manual_seed(2)
    actions, log_probs, kept = distribution.draw(outputs, Sampling(), generator=generator)
    assert kept is None
    return outputs, actions, log_probs


def test_discrete_equals_torch_and_stable_baselines3() -> None:
    ours = Categorical(spaces.Discrete(5, start=3))
    outputs, actions, log_probs = drawn(ours, 40)
    assert actions.shape == (40,) and actions.dtype == np.int64
    theirs = CategoricalDistribution(5).proba_distribution(outputs)
    expected = theirs.log_prob(torch.from_numpy(actions - 3))
    evaluated, entropy = ours.evaluate(outputs, actions, Sampling())
    torch.testing.assert_close(log_probs, expected)
    torch.testing.assert_close(evaluated, expected)
    torch.testing.assert_close(entropy, theirs.entropy())
    torch.testing.assert_close(entropy, torch.distributions.Categorical(logits=outputs).entropy())


@pytest.mark.parametrize("name", COMPONENTS)
def test_components_equal_stable_baselines3(name: str) -> None:
    space = COMPONENTS[name]
    ours = Categorical(space)
    outputs, actions, log_probs = drawn(ours, 40)
    sizes = [2] * 3 if isinstance(space, spaces.MultiBinary) else space.nvec.ravel().tolist()
    start = 0 if isinstance(space, spaces.MultiBinary) else space.start.ravel()
    assert actions.shape == (40, len(sizes)) and actions.dtype == np.int64
    theirs = MultiCategoricalDistribution(sizes).proba_distribution(outputs)
    expected = theirs.log_prob(torch.from_numpy(actions - start))
    evaluated, entropy = ours.evaluate(outputs, actions, Sampling())
    torch.testing.assert_close(log_probs, expected)
    torch.testing.assert_close(evaluated, expected)
    torch.testing.assert_close(entropy, theirs.entropy())
    best, _, _ = ours.draw(outputs, Sampling(), deterministic=True)
    np.testing.assert_array_equal(best - start, theirs.mode().numpy())


@pytest.mark.parametrize("sampling", [Sampling(), EVERY_OPTION], ids=["plain", "every option"])
def test_probabilities_of_all_legal_actions_sum_to_one(sampling: Sampling) -> None:
    """By enumeration, with a mask; nothing illegal is ever drawn."""
    ours = Categorical(spaces.MultiDiscrete([3, 2, 4]))
    mask = torch.tensor([1, 0, 1, 1, 1, 0, 1, 1, 0], dtype=torch.bool)
    legal = list(itertools.product([0, 2], [0, 1], [1, 2]))
    outputs = normal(1, 9)
    every = np.array(list(itertools.product(range(3), range(2), range(4))))
    with torch.no_grad():
        log_probs, entropy = ours.evaluate(outputs.expand(24, -1), every, sampling, mask)
    probabilities = {tuple(a): p for a, p in zip(every.tolist(), log_probs.exp(), strict=True)}
    assert sum(probabilities[action] for action in legal) == pytest.approx(1, abs=1e-5)
    expected = -sum(probabilities[a] * probabilities[a].log() for a in legal)
    assert float(entropy[0]) == pytest.approx(float(expected), abs=1e-5)
    actions, _, _ = ours.draw(
        outputs.expand(5000, -1),
        sampling,
        mask.expand(5000, -1),
        torch.Generator().manual_seed(0),
    )
    shares = {action: np.mean((actions == action).all(axis=1)) for action in legal}
    assert sum(shares.values()) == pytest.approx(1)
    for action, share in shares.items():
        assert share == pytest.approx(float(probabilities[action]), abs=0.025)


@pytest.mark.parametrize("epsilon", [0.0, 0.2])
@pytest.mark.parametrize("sampling", [Sampling(top_k=2), Sampling(top_p=0.5), Sampling(min_p=1)])
@pytest.mark.parametrize("name", COMPONENTS)
def test_choices_that_tie_are_evaluated_as_they_were_drawn(
    name: str, sampling: Sampling, epsilon: float
) -> None:
    """As those of a network that starts near 0 do, whose rounding decides what the filters left."""
    ours, used = Categorical(COMPONENTS[name]), replace(sampling, epsilon=epsilon)
    outputs = 1e-7 * normal(200, ours.num_outputs)
    generator = torch.Generator().manual_seed(0)
    actions, log_probs, kept = ours.draw(outputs, used, generator=generator)
    assert kept is not None and kept.shape == actions.shape
    some_removed = (abs(kept) < component_sizes(COMPONENTS[name])[0]).any()
    assert (kept < 0).any() == (epsilon > 0 and some_removed)
    again = 1e-7 * normal(200, ours.num_outputs, seed=1)
    evaluated, _ = ours.evaluate(again, actions, used, kept=kept)
    torch.testing.assert_close(evaluated, log_probs, rtol=0, atol=1e-5)


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_a_gaussian_equals_torch_and_stable_baselines3(temperature: float) -> None:
    ours = Gaussian(spaces.Box(-1, 1, (3,)))
    ours.log_std.data = torch.tensor([-1.0, 0.2, 0.7])
    means = normal(50, 3)
    sampling = Sampling(temperature=temperature)
    generator = torch.Generator().manual_seed(1)
    actions, log_probs, _ = ours.draw(means, sampling, generator=generator)
    assert actions.shape == (50, 3) and actions.dtype == np.float32
    log_std = ours.log_std + 0.5 * np.log(temperature)
    theirs = DiagGaussianDistribution(3).proba_distribution(means, log_std)
    evaluated, entropy = ours.evaluate(means, actions, sampling)
    expected = theirs.log_prob(torch.from_numpy(actions))
    torch.testing.assert_close(log_probs, expected)
    torch.testing.assert_close(evaluated, expected)
    torch.testing.assert_close(entropy, theirs.entropy())
    normals = torch.distributions.Normal(means, log_std.exp())
    torch.testing.assert_close(evaluated, normals.log_prob(torch.from_numpy(actions)).sum(-1))
    torch.testing.assert_close(entropy, normals.entropy().sum(-1))


def test_draws_of_a_gaussian_have_its_mean_and_deviation() -> None:
    ours = Gaussian(spaces.Box(-1, 1, (2,)))
    ours.log_std.data = torch.tensor([-1.0, 0.5])
    means = torch.tensor([[0.3, -2.0]])
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        actions, _, _ = ours.draw(means.expand(100_000, -1), Sampling(), generator=generator)
        best, _, _ = ours.draw(means, Sampling(), deterministic=True)
    np.testing.assert_allclose(actions.mean(axis=0), means[0], atol=0.02)
    np.testing.assert_allclose(actions.std(axis=0), np.exp([-1.0, 0.5]), rtol=0.01)
    np.testing.assert_array_equal(best, means)


def test_the_generator_alone_decides() -> None:
    for distribution in (Categorical(COMPONENTS["uneven"]), Gaussian(spaces.Box(-1, 1, (3,)))):
        outputs = normal(64, distribution.num_outputs)
        with torch.no_grad():
            first, second, other = (
                distribution.draw(outputs, Sampling(), None, torch.Generator().manual_seed(seed))[0]
                for seed in (3, 3, 4)
            )
        np.testing.assert_array_equal(first, second)
        assert (first != other).any()


def test_what_cannot_be_is_refused() -> None:
    gaussian = Gaussian(spaces.Box(-1, 1, (2,)))
    with pytest.raises(ValueError, match="temperature alone"):
        gaussian.draw(torch.zeros(1, 2), Sampling(epsilon=0.1))
    with pytest.raises(ValueError, match="action mask"):
        gaussian.draw(torch.zeros(1, 2), Sampling(), torch.ones(1, 2, dtype=torch.bool))
    with pytest.raises(ValueError, match="must be floats"):
        distribution_for(spaces.Box(0, 3, (2,), np.int64))
    with pytest.raises(ValueError, match="action spaces, got"):
        distribution_for(spaces.Tuple([spaces.Discrete(2)]))
