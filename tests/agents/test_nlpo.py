from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from numpy.typing import NDArray
from safetensors.torch import load_file

from textgym.envs.exact import enumerate_mdp
from textgym_agents.algorithms import NLPO, NLPOConfig, PPOConfig
from textgym_agents.algorithms.nlpo import RestrictedPolicy, masking_copy
from textgym_agents.policies import (
    CausalLMPolicy,
    Episode,
    MLPPolicy,
    Policy,
    Sampling,
    small_gpt2,
)
from textgym_agents.policies.construction import PolicyConfig
from textgym_agents.rollout import collect
from textgym_agents.runs.config import TrainConfig
from textgym_agents.runs.environments import make_envs
from textgym_agents.train import TrainResult, train

TINY = "textgym:textgym/Tiny-v0"
SHAPED = {"shaping": "dense"}

Floats = NDArray[np.float64]


def policy(kind: str) -> Policy:
    """Far from uniform."""
    envs = make_envs(TINY, 1, SHAPED)
    torch.manual_seed(0)
    made: Policy = MLPPolicy.from_env(envs, hidden_sizes=(6,))
    if kind == "causal_lm":
        size = int(envs.single_action_space.n)  # type: ignore[attr-defined]
        model = small_gpt2(size, layers=1, heads=2, width=8, max_positions=16)
        made = CausalLMPolicy.from_env(envs, model)
    perturb(made, 0.4)
    envs.close()
    return made


def perturb(made: Policy, scale: float) -> None:
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(scale * torch.randn_like(parameter))


def rollout(learner: NLPO, num_envs: int = 32, seed: int = 0) -> list[Episode]:
    envs = make_envs(TINY, num_envs, SHAPED)
    seeds = np.random.SeedSequence([3, seed]).generate_state(num_envs).tolist()
    generator = torch.Generator().manual_seed(seed)
    episodes = collect(envs, learner.behaviour, seeds=seeds, generator=generator)
    envs.close()
    return episodes


def likely_by_hand(probabilities: Floats, top_p: float) -> NDArray[np.bool_]:
    """Row by row: take actions from the most probable one on until they reach top_p."""
    likely = np.zeros(probabilities.shape, np.bool_)
    for row, left in zip(probabilities, likely, strict=True):
        total = 0.0
        for action in np.argsort(-row):
            if total >= top_p:
                break
            left[action] = True
            total += row[action]
    return likely


def unrestricted(made: Policy, episodes: list[Episode]) -> Floats:
    among_all = [replace(episode, choices=None) for episode in episodes]
    with torch.no_grad():
        return made.episode_log_probs(among_all).exp().double().numpy()


def choices(episode: Episode, num_actions: int) -> NDArray[np.bool_]:
    assert episode.choices is not None
    return np.unpackbits(episode.choices, axis=1, count=num_actions).view(np.bool_)


@pytest.mark.parametrize("kind", ["mlp", "causal_lm"])
def test_actions_outside_the_older_selfs_nucleus_are_never_taken(kind: str) -> None:
    made = policy(kind)
    old = policy(kind)
    learner = NLPO(made, NLPOConfig(mask_top_p=0.6))
    perturb(made, 0.5)  # The policy goes on, the masking policy does not.
    episodes = rollout(learner, 256)
    likely = likely_by_hand(unrestricted(old, episodes), 0.6)
    actions = np.concatenate([episode.actions for episode in episodes])
    steps = np.arange(len(actions))
    assert likely[steps, actions].all()
    present = unrestricted(made, episodes)
    left = (present * likely).sum(axis=1)
    assert left.mean() < 0.9
    masks = np.concatenate([choices(episode, likely.shape[1]) for episode in episodes])
    assert_allclose(masks, likely)
    among = np.log(present[steps, actions] / left)
    assert_allclose(np.concatenate([e.log_probs for e in episodes]), among, atol=1e-5)


@pytest.mark.parametrize("kind", ["mlp", "causal_lm"])
@pytest.mark.parametrize("top_p", [0.3, 0.7, 0.95, 1.0])
@pytest.mark.parametrize(
    "sampling",
    [Sampling(), Sampling(temperature=0.8, top_k=3, top_p=0.9, min_p=0.1, epsilon=0.2)],
    ids=["plain", "every option"],
)
def test_log_probs_of_the_update_are_those_of_the_rollout(
    kind: str, top_p: float, sampling: Sampling
) -> None:
    learner = NLPO(policy(kind), NLPOConfig(mask_top_p=top_p))
    learner.policy.sampling = sampling
    perturb(learner.policy, 0.3)
    episodes = rollout(learner, 64)
    for part in (episodes, episodes[:1], episodes[::2]):
        evaluated = learner.behaviour.evaluate(part).log_probs.detach()
        assert_allclose(evaluated, np.concatenate([e.log_probs for e in part]), atol=1e-5)
    metrics = learner.update(episodes)
    assert metrics["mask_age"] == 0


@pytest.mark.parametrize("kind", ["mlp", "causal_lm"])
def test_an_update_does_not_ask_the_masking_policy(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It knows what the actions were chosen among."""
    config = NLPOConfig(num_epochs=2, num_minibatches=2, kl_coef=0.1, mask_interval=1)
    learner = NLPO(policy(kind), config)
    episodes = rollout(learner)

    def asked(*_: Any, **__: Any) -> None:
        raise AssertionError("asked")

    for name in ("act", "step_log_probs", "episode_log_probs", "evaluate"):
        monkeypatch.setattr(learner.behaviour.masking, name, asked)
    learner.update(episodes)
    with pytest.raises(AssertionError, match="asked"):
        rollout(learner)


def test_episodes_that_do_not_tell_the_choices_are_refused() -> None:
    learner = NLPO(policy("mlp"), NLPOConfig())
    episodes = rollout(learner, 4)
    episodes[2].choices = None
    with pytest.raises(ValueError, match=r"RestrictedPolicy; one of slot 2 does not say"):
        learner.behaviour.evaluate(episodes)


def test_masking_policy_is_renewed_at_the_interval() -> None:
    learner = NLPO(policy("mlp"), NLPOConfig(mask_interval=3, learning_rate=0.01))
    held = learner.behaviour.masking.state_dict()
    first = {name: tensor.clone() for name, tensor in held.items()}
    for update in range(1, 8):
        before = {name: tensor.clone() for name, tensor in held.items()}
        metrics = learner.update(rollout(learner, seed=update))
        assert metrics["mask_age"] == (update - 1) % 3
        present = learner.policy.state_dict()
        for name, tensor in held.items():
            assert torch.equal(tensor, present[name] if update % 3 == 0 else before[name])
    assert any(not torch.equal(tensor, first[name]) for name, tensor in held.items())
    optimized = {id(p) for group in learner.optimizer.param_groups for p in group["params"]}
    assert optimized == {id(p) for p in learner.policy.parameters()}


def test_mean_gradient_is_the_exact_gradient_of_the_restricted_policys_return() -> None:
    """At gamma 1, without normalisation: minus grad times steps per episode is grad J."""
    config = NLPOConfig(
        mask_top_p=0.8,
        gae_lambda=1.0,
        value_coef=0.0,
        normalize_advantages=False,
        max_tokens_per_pass=0,
    )
    made = policy("mlp")
    learner = NLPO(made, config)
    perturb(made, 0.4)
    exact, unmasked = exact_gradient(learner, made), exact_gradient(None, made)
    rows = []
    for number in range(16):
        episodes = rollout(learner, 512, seed=number)
        for start in range(0, 512, 8):
            batch = episodes[start : start + 8]
            learner.gradients(batch)
            steps = sum(episode.num_steps for episode in batch) / len(batch)
            rows.append(-steps * flat_gradient(made))
    sample, along = np.stack(rows), exact / np.linalg.norm(exact)
    error = sample.std(axis=0, ddof=1) / np.sqrt(len(sample))
    assert (np.abs(sample.mean(axis=0) - exact) <= 4 * error + 1e-5).all()
    sample = sample @ along
    error = sample.std(ddof=1) / np.sqrt(len(sample))
    assert abs(sample.mean() - exact @ along) < 3 * error
    assert abs(sample.mean() - unmasked @ along) > 5 * error


def flat_gradient(made: Policy) -> Floats:
    assert isinstance(made, MLPPolicy)
    gradients = [p.grad for p in made.actor.parameters() if p.grad is not None]
    return torch.cat([g.flatten() for g in gradients]).double().numpy()


def exact_gradient(learner: NLPO | None, made: Policy) -> Floats:
    """Sum over s, a of visits(s) pi(a|s) A(s, a) grad log pi(a|s), pi restricted, enumerated."""
    mdp = enumerate_mdp(gym.make(TINY, **SHAPED), examples=range(4))
    num_states = len(mdp.start)
    blank = np.zeros(num_states)
    states = Episode(
        slot=0,
        group=0,
        observations=mdp.observations,
        actions=np.full(num_states, np.flatnonzero(mdp.legal[0])[0]),
        log_probs=blank.astype(np.float32),
        values=blank.astype(np.float32),
        rewards=blank,
        action_masks=mdp.legal[0],
    )
    table = made.episode_log_probs([states]).exp()
    if learner is not None:
        # Not the learner's own nucleus, which would keep the actions named above.
        older = learner.behaviour.masking
        with torch.no_grad():
            kept = older.step_log_probs(
                mdp.observations, action_masks=np.tile(mdp.legal[0], (num_states, 1))
            )
        table = table * torch.isfinite(kept)
        table = table / table.sum(dim=1, keepdim=True)
    probabilities = table.detach().double().numpy()
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    weights = mdp.visits(probabilities)[:, None] * mdp.evaluate(probabilities).advantage
    made.zero_grad()
    torch.autograd.backward((table * torch.from_numpy(weights).float()).sum())
    return flat_gradient(made)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"mask_top_p": 0.0}, "mask_top_p must be greater than 0"),
        ({"mask_top_p": 1.5}, "mask_top_p must be at most 1"),
        ({"mask_interval": 0}, "mask_interval must be at least 1"),
        ({"clip_range": 0.0}, "clip_range must be greater than 0"),
    ],
)
def test_configuration_is_checked(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        NLPOConfig(**wrong)


def run(output: Path, total_steps: int, config: PPOConfig, kind: str, **kwargs: Any) -> TrainResult:
    chosen: dict[str, Any] = {"env_id": TINY, "env_kwargs": SHAPED}
    chosen["policy"] = PolicyConfig(kind="causal_lm", layers=1, heads=2, width=16)
    if kind == "mlp":
        chosen = {"env_id": "CartPole-v1", "policy": PolicyConfig(hidden_sizes=(8,))}
    run_config = TrainConfig(
        output=output,
        total_steps=total_steps,
        num_envs=4,
        progress=False,
        tensorboard=False,
        **chosen,
        **kwargs,
    )
    return train(run_config, config)


def assert_same_tensors(one: Path, two: Path, pattern: str) -> None:
    files = sorted(one.rglob(pattern))
    assert files
    for file in files:
        expected, found = load_file(file), load_file(two / file.relative_to(one))
        assert expected.keys() == found.keys()
        for name, tensor in expected.items():
            assert torch.equal(tensor, found[name]), (file.name, name)


@pytest.mark.parametrize(("kind", "steps"), [("mlp", 1000), ("causal_lm", 130)])
def test_with_all_actions_it_is_ppo_to_the_bit(kind: str, steps: int, tmp_path: Path) -> None:
    shared: dict[str, Any] = {"learning_rate": 0.01, "episodes_per_env": 3}
    plain = run(tmp_path / "ppo", steps, PPOConfig(**shared), kind)
    config = NLPOConfig(**shared, mask_top_p=1.0, mask_interval=2)
    masked = run(tmp_path / "nlpo", steps, config, kind)
    assert plain.iteration == masked.iteration > 2
    for pattern in ("policy.safetensors", "model.safetensors", "optimizer.safetensors"):
        if kind == "causal_lm" or pattern != "model.safetensors":
            assert_same_tensors(plain.checkpoint, masked.checkpoint, pattern)


@pytest.mark.parametrize("estimator", ["k1", "k2", "k3"])
def test_nothing_is_charged_before_the_policy_has_moved(estimator: Any) -> None:
    """The reference chooses among the same actions; its whole distribution would be another."""
    learner = NLPO(policy("mlp"), NLPOConfig(kl_coef=1.0, kl_estimator=estimator, mask_top_p=0.7))
    episodes = rollout(learner)
    left = sum(np.unpackbits(episode.choices).sum() for episode in episodes)  # type: ignore[arg-type]
    legal = sum(e.num_steps * e.action_masks.sum() for e in episodes)  # type: ignore[union-attr]
    assert left < 0.9 * legal
    assert abs(learner._batch(episodes).kl_reference) < 1e-6


def test_the_policy_s_own_filters_do_not_narrow_the_mask() -> None:
    """An action within rounding of the nucleus's edge is not judged by how many top-k left."""
    made = policy("causal_lm")
    assert isinstance(made, CausalLMPolicy)
    envs = make_envs(TINY, 1, SHAPED)
    observations, _ = envs.reset(seed=0)
    envs.close()
    sums = made.step_log_probs(observations)[0].exp().sort(descending=True).values.cumsum(0)
    made.sampling = Sampling(top_k=1)
    restricted = RestrictedPolicy(made, masking_copy(made, float(sums[1]) + 5e-5))
    store = restricted.make_store(1)
    store.add(observations, np.array([True]))
    acted = restricted.act(observations)
    episode = Episode(
        slot=0,
        group=0,
        observations=store.finish(0),
        actions=acted.actions,
        log_probs=acted.log_probs,
        values=acted.values,
        rewards=np.zeros(1),
        kept=acted.kept,
        choices=acted.choices,
    )
    left = torch.isfinite(restricted.masking.step_log_probs(observations)).numpy()
    assert left.sum() == 3
    np.testing.assert_array_equal(choices(episode, left.shape[1]), left)
    evaluated = restricted.evaluate([episode]).log_probs.detach()
    assert_allclose(evaluated, acted.log_probs, atol=1e-6)
