"""Policies: modules that act in vector environments and evaluate finished episodes."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from textgym_agents.policies.base import (
    Actions,
    ArrayStore,
    Contexts,
    Episode,
    Evaluation,
    Observations,
    ObservationStore,
    Policy,
)
from textgym_agents.policies.mlp import MLPPolicy
from textgym_agents.policies.sampling import Sampling

if TYPE_CHECKING:
    from textgym_agents.policies.causal_lm import CausalLMPolicy
    from textgym_agents.policies.models import (
        load_causal_lm,
        load_seq2seq_lm,
        small_gpt2,
        small_t5,
    )
    from textgym_agents.policies.seq2seq import Seq2SeqPolicy

__all__ = [
    "Actions",
    "ArrayStore",
    "CausalLMPolicy",
    "Contexts",
    "Episode",
    "Evaluation",
    "MLPPolicy",
    "ObservationStore",
    "Observations",
    "Policy",
    "Sampling",
    "Seq2SeqPolicy",
    "load_causal_lm",
    "load_seq2seq_lm",
    "small_gpt2",
    "small_t5",
]

_WITH_TRANSFORMERS = {
    "CausalLMPolicy": "textgym_agents.policies.causal_lm",
    "Seq2SeqPolicy": "textgym_agents.policies.seq2seq",
    "load_causal_lm": "textgym_agents.policies.models",
    "load_seq2seq_lm": "textgym_agents.policies.models",
    "small_gpt2": "textgym_agents.policies.models",
    "small_t5": "textgym_agents.policies.models",
}


def __getattr__(name: str) -> Any:
    """Import what needs transformers when it is asked for."""
    if name not in _WITH_TRANSFORMERS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_WITH_TRANSFORMERS[name]), name)
