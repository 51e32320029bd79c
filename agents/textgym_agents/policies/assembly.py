"""Puts a language-model policy together: model, LoRA adapter, critic, and how it computes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from transformers import PreTrainedModel

from textgym_agents.policies.causal_lm import CausalLMPolicy
from textgym_agents.policies.critic import Critic
from textgym_agents.policies.language_model import LanguageModelPolicy
from textgym_agents.policies.lora import add_adapter, has_adapter, merged
from textgym_agents.policies.seq2seq import Seq2SeqPolicy


def assemble(
    model: PreTrainedModel, description: Mapping[str, Any], **kwargs: Any
) -> LanguageModelPolicy:
    """The described policy over a base model, which the adapter goes into.

    Args:
        model: Without an adapter.
        description: What the policy is. What an older one does not say is off.
        **kwargs: Go to the policy's class.

    Raises:
        ValueError: The model has no layers for the adapter, or cannot recompute them.
    """
    adapter = description.get("lora")
    if adapter is not None:
        add_adapter(
            model,
            adapter["rank"],
            alpha=adapter["alpha"],
            targets=adapter["targets"],
            seed=adapter["seed"],
            base=adapter["base"],
        )
    computed = {
        "precision": description.get("precision", "fp32"),
        "gradient_checkpointing": description.get("gradient_checkpointing", False),
    }
    pad_id = description["pad_id"]
    critic = None
    if description.get("critic") == "separate":
        critic = Critic(model, **computed)
    kind = Seq2SeqPolicy if model.config.is_encoder_decoder else CausalLMPolicy
    return kind(
        model,
        pad_id,
        num_actions=int(description["action_space"]["n"]),
        critic=critic,
        **computed,
        **kwargs,
    )


def reassemble(
    policy: LanguageModelPolicy, description: Mapping[str, Any], **kwargs: Any
) -> LanguageModelPolicy:
    """Another policy that begins as the one given: a warm start.

    An adapter is merged into the model below it. The values go on where the critic is of the same
    kind and there is no adapter; else a separate critic begins with the model's weights.

    Args:
        policy: Not used afterwards.
        description: What the new one is.
        **kwargs: Go to the policy's class.
    """
    adapted = has_adapter(policy.model)
    model = merged(policy.model) if adapted else policy.model
    renewed = assemble(model, description, **kwargs)
    if renewed.value_head is not None and policy.value_head is not None:
        renewed.value_head.load_state_dict(policy.value_head.state_dict())
    plain = not adapted and not has_adapter(model)
    if plain and policy.critic is not None and renewed.critic is not None:
        renewed.critic.load_state_dict(policy.critic.state_dict())
    return renewed
