"""The table of environment ids: task, reward and limits, in strings and numbers only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gymnasium.envs.registration import register, registry


@dataclass(frozen=True, slots=True)
class Row:
    """One registered id.

    Attributes:
        id: the environment id, namespace included.
        task: the default task's name.
        reward: the default reward: a name, or names and their weights.
        max_prompt_tokens: the longest prompt, in tokens; None for the task's own limit.
        max_new_tokens: the answer's budget, EOS included, in tokens; None likewise.
        description: what the agent does, in one line.
    """

    id: str
    task: str
    reward: str | Mapping[str, float]
    max_prompt_tokens: int | None
    max_new_tokens: int | None
    description: str


TABLE = (
    Row("textgym/Text-v0", "pairs", "bleu", None, None, "answer the prompts of a file of pairs"),
    Row(
        "textgym/Translation-v0",
        "translation",
        "bleu",
        None,
        None,
        "translate English to German, or German to English",
    ),
    Row(
        "textgym/Summarization-v0",
        "summarization",
        {"rouge_l": 0.5, "key_facts": 0.5},
        None,
        None,
        "sum up a report of a match, a meeting, a day or a quarter",
    ),
    Row(
        "textgym/DataToText-v0",
        "data_to_text",
        {"bleu": 0.4, "triple_coverage": 0.4, "faithfulness": 0.2},
        None,
        None,
        "write up the triples of a knowledge graph",
    ),
    Row(
        "textgym/Recommendation-v0",
        "recommendation",
        "ndcg",
        None,
        None,
        "rank films for a user by a few ratings",
    ),
    Row(
        "textgym/Arithmetic-v0",
        "arithmetic",
        {"answer": 0.6, "working": 0.3, "answer_format": 0.1},
        None,
        None,
        "solve a word problem, with the working",
    ),
    Row(
        "textgym/Dialogue-v0",
        "dialogue",
        {
            "outcome:success": 0.4,
            "outcome:constraints": 0.3,
            "outcome:progress": 0.2,
            "outcome:turn_economy": 0.1,
        },
        None,
        None,
        "book, look up and correct for a user who changes their mind",
    ),
    Row(
        "textgym/Wordle-v0",
        "wordle",
        {"outcome:solved": 0.5, "outcome:valid": 0.3, "outcome:guesses": 0.2},
        None,
        None,
        "find a hidden word of a list, guess by guess",
    ),
    Row(
        "textgym/Story-v0",
        "story",
        {
            "fluent_coverage": 0.3,
            "fluent_sentiment": 0.2,
            "fluency": 0.3,
            "non_repetition": 0.1,
            "diversity": 0.1,
        },
        None,
        None,
        "continue an opening with given words in a given mood",
    ),
    Row("textgym/Copy-v0", "copy", "token_accuracy", None, None, "repeat a row of symbols"),
    Row("textgym/Reverse-v0", "reverse", "token_accuracy", None, None, "repeat a row backwards"),
    Row("textgym/Sort-v0", "sort", "token_accuracy", None, None, "repeat a row in order"),
    Row("textgym/Tiny-v0", "tiny", "token_accuracy", None, None, "small enough to solve exactly"),
)


def register_all() -> None:
    """Put every row of the table into Gymnasium's registry, once."""
    for row in TABLE:
        if row.id not in registry:
            register(
                id=row.id,
                entry_point="textgym.envs.text_generation:TextGenerationEnv",
                vector_entry_point="textgym.envs.vector:TextGenerationVectorEnv",
                kwargs={
                    "task": row.task,
                    "reward": row.reward,
                    "max_prompt_tokens": row.max_prompt_tokens,
                    "max_new_tokens": row.max_new_tokens,
                },
            )
