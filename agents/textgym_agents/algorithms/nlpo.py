"""NLPO (Ramamurthy et al. 2022): PPO among the actions that an older self finds likely."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from textgym_agents.algorithms.ppo import PPO, PPOConfig
from textgym_agents.checks import require
from textgym_agents.policies import (
    Actions,
    Contexts,
    Episode,
    Evaluation,
    Observations,
    ObservationStore,
    Policy,
    Sampling,
)
from textgym_agents.policies.reference import own_tensors
from textgym_agents.sharding import whole

_MASK, _AGE = "mask_policy.", "mask_age"


@dataclass(frozen=True, kw_only=True)
class NLPOConfig(PPOConfig):
    """NLPO: PPO whose actions stay in the top-p nucleus of a copy of the policy, renewed at times.

    All else is as in PPO.
    """

    # Probability that the actions left to choose from reach together under the masking policy,
    # above 0 to 1. Lower: fewer actions, a smaller problem that may lack the right answer. 1: all
    # actions, which is PPO.
    mask_top_p: float = 0.9

    # Updates after which the masking policy becomes a copy of the policy. Lower: the mask follows
    # the policy, at 1 closely, which is for evaluations: they have no mask. Higher: it holds the
    # policy, as it acts in learning, near what it was.
    mask_interval: int = 20

    def __post_init__(self) -> None:
        super().__post_init__()
        require("mask_top_p", self.mask_top_p, above=0, most=1)
        require("mask_interval", self.mask_interval, least=1)


class NLPO(PPO):
    """Natural language policy optimization (Ramamurthy et al. 2022, arXiv 2210.01241, algorithm 1).

    At each step the actions are restricted to the nucleus of a masking policy pi_psi: the most
    probable ones whose probability reaches ``mask_top_p`` together. Others have probability 0; the
    policy pi_theta is normalised over those left. pi_psi is a copy of pi_theta, renewed after every
    ``mask_interval`` updates, so that the set of actions is learned, too, but more slowly. The rest
    is `PPO`, whose ratios, entropy and gradient are of the restricted policy here: it is the one
    that acts. A reference is restricted likewise. Evaluation is of pi_theta by itself, whose
    probabilities outside the nucleus nothing holds down: mask_interval is to be short for it.

    Good for large vocabularies, of which few tokens make sense at a step: exploration is among
    those. It costs the masking policy's forward pass beside each of a rollout's, its weights, and a
    bit for each action at each step of a batch.
    """

    def __init__(self, policy: Policy, config: NLPOConfig) -> None:
        super().__init__(policy, config)
        self._interval = config.mask_interval
        self._age = 0  # Updates since the masking policy was copied.
        self._restricted = RestrictedPolicy(policy, masking_copy(policy, config.mask_top_p))

    @property
    def behaviour(self) -> RestrictedPolicy:
        """The policy, restricted to the actions that the masking policy leaves."""
        return self._restricted

    def acting(self, policy: Policy) -> RestrictedPolicy:
        """The policy, or the copy of it with whole weights, restricted likewise."""
        same = policy is self.policy
        return self._restricted if same else RestrictedPolicy(policy, self._restricted.masking)

    def update(
        self,
        episodes: Sequence[Episode],
        progress: float = 0.0,
        rng: np.random.Generator | None = None,
    ) -> dict[str, float]:
        """Update as PPO does, then renew the masking policy if it is time; see `PPO.update`.

        Returns:
            PPO's metrics, and ``mask_age``: for how many updates the masking policy, as it was in
            this one, had been there before.
        """
        metrics = super().update(episodes, progress, rng)
        metrics["mask_age"] = self._age
        self._age += 1
        if self._age == self._interval:
            self._restricted.renew()
            self._age = 0
        return metrics

    def state(self) -> dict[str, Tensor]:
        """PPO's state, the masking policy's weights and its age."""
        weights = own_tensors(self._restricted.masking, self.policy)
        for name, parameter in self.policy.named_parameters():
            if not parameter.requires_grad:  # With the policy's, wherever in memory that is.
                weights.pop(name, None)
        return {
            **super().state(),
            **{_MASK + name: tensor for name, tensor in weights.items()},
            _AGE: torch.tensor(self._age),
        }

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on from what `state` gave; see `Algorithm.load_state`."""
        super().load_state(tensors)
        self._age = int(tensors[_AGE])
        weights = {k.removeprefix(_MASK): v for k, v in tensors.items() if k.startswith(_MASK)}
        self._restricted.masking.load_state_dict(weights, strict=False)


def masking_copy(policy: Policy, top_p: float) -> Policy:
    """The policy as it is now, whose distribution is its nucleus: 0 outside.

    Its weights are whole, and those that do not learn are the policy's own, where these are whole.

    Args:
        policy: May go on learning; its critic is left out.
        top_p: Probability that the actions left reach together; 1: of all legal actions.
    """
    present = whole(policy)
    copied = present is not policy
    shared = {id(p): p for p in present.parameters() if copied or not p.requires_grad}
    masking = copy.deepcopy(present, {**shared, id(getattr(present, "critic", None)): None})
    masking.requires_grad_(False)
    masking.sampling = Sampling(temperature=policy.sampling.temperature, top_p=top_p)
    return masking


class RestrictedPolicy(Policy):
    """A policy among the actions in the nucleus of an older copy of itself.

    Args:
        policy: Chooses; may go on learning.
        masking: The copy; see `masking_copy`.
    """

    def __init__(self, policy: Policy, masking: Policy) -> None:
        super().__init__()
        self._policy, self.masking = policy, masking

    @torch.no_grad()
    def renew(self) -> None:
        """Give the masking policy the weights that the policy has now."""
        present = self._policy.state_dict()
        for name, tensor in self.masking.state_dict().items():
            tensor.copy_(present[name])

    def act(
        self,
        observations: Observations,
        *,
        action_masks: NDArray[np.bool_] | None = None,
        active: NDArray[np.bool_] | None = None,
        generator: torch.Generator | None = None,
        deterministic: bool = False,
    ) -> Actions:
        """Choose one of the actions left, which are the `Actions.choices`; see `Policy.act`."""
        choices = None
        if active is None or active.any():
            likely = self.masking.step_log_probs(
                observations, action_masks=action_masks, active=active
            )
            action_masks = torch.isfinite(likely).cpu().numpy()
            choices = np.packbits(action_masks, axis=1)
        acted = self._policy.act(
            observations,
            action_masks=action_masks,
            active=active,
            generator=generator,
            deterministic=deterministic,
        )
        return replace(acted, choices=choices)

    def evaluate(self, episodes: Sequence[Episode]) -> Evaluation:
        """Evaluate the distribution over the episodes' choices; see `Policy.evaluate`.

        Raises:
            ValueError: An episode has none, since it was not collected by such a policy.
        """
        for episode in episodes:
            if episode.choices is None:
                raise ValueError(
                    "NLPO learns from episodes that its restricted policy collected, "
                    f"{type(self).__name__}; one of slot {episode.slot} does not say which actions "
                    "it chose among"
                )
        return self._policy.evaluate(episodes)

    def clear_cache(self) -> None:
        """Both policies' caches; see `Policy.clear_cache`."""
        self._policy.clear_cache()
        self.masking.clear_cache()

    def make_store(self, num_envs: int) -> ObservationStore:
        """The policy's own store, which tells the masking policy, too, when episodes are over."""
        return _Both(self._policy.make_store(num_envs), self.masking.make_store(num_envs))


class _Both(ObservationStore):
    """Two stores of the same, of which the first one's is handed over."""

    def __init__(self, first: ObservationStore, second: ObservationStore) -> None:
        self._first, self._second = first, second

    def add(self, observations: Observations, active: NDArray[np.bool_]) -> None:
        """Append to both."""
        self._first.add(observations, active)
        self._second.add(observations, active)

    def finish(self, slot: int) -> NDArray[Any] | dict[str, NDArray[Any]] | Contexts:
        """Finish both."""
        self._second.finish(slot)
        return self._first.finish(slot)
