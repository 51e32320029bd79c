"""N-gram rewards equal the reference libraries at every step of adversarial texts."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu import sentence_bleu
from sacrebleu.metrics import BLEU, CHRF

from textgym.rewards import Reward
from textgym.rewards.bleu import Bleu
from textgym.rewards.chrf import Chrf, ChrfPlusPlus
from textgym.rewards.rouge import Rouge1, Rouge2, RougeL, RougeN

TOLERANCE = 1e-9
Reference = Callable[[str, Sequence[str]], float]

FRAGMENTS = [
    *["the", "cat", "dog", "a", "B", "c", "Haus", "x", " ", " ", " ", " ", "\n", "-\n", "--\n"],
    *["\t", "\r\n", "\xa0", "\u2028", "\u3000", "\x1c", "\x85", "\0", "-", ".", ",", "...", "!"],
    *["3", "1.5", "2,000", "7-8", "-4", "?", "(", ")", "'", '"', "$", "_", "[", "]", "~", "/"],
    *["<skipped>", "<SKIPPED>", "<skip", "ped>", "<", ">", "&", ";", "&quot;", "&amp;", "&lt;"],
    *["&am", "p;", "quot;", "\u0130", "\u212a", "ſ", "Σ", "ΑΣ", "ß", "é", "e\u0301", "\u0301"],
    *["²", "漢字", "。", "😀", "👩\u200d👩", "\u200b", "\ufeff", "ﬁ"],
]


@pytest.fixture(autouse=True)
def _quiet_sacrebleu() -> None:
    logging.getLogger("sacrebleu").setLevel(logging.ERROR)


def _bleu(**options: object) -> tuple[Reward, Reference]:
    reference = BLEU(**{"effective_order": True, **options})
    return Bleu(**options), lambda text, refs: reference.sentence_score(text, refs).score / 100


def _chrf(reward: type[Chrf], **options: object) -> tuple[Reward, Reference]:
    order = {"word_order": 2} if reward is ChrfPlusPlus else {}
    reference = CHRF(**{**order, **options})
    return reward(**options), lambda text, refs: reference.sentence_score(text, refs).score / 100


def _rouge(reward: Reward, key: str) -> tuple[Reward, Reference]:
    scorer = RougeScorer([key])
    return reward, lambda text, refs: scorer.score_multi(refs, text)[key].fmeasure


BLEUS = [
    *[_bleu(smooth_method=method) for method in ("none", "floor", "add-k", "exp")],
    *[_bleu(smooth_method=method, lowercase=True) for method in ("none", "floor", "add-k", "exp")],
    _bleu(smooth_method="floor", smooth_value=0.5, max_ngram_order=2),
    _bleu(smooth_method="add-k", smooth_value=0.3, effective_order=False),
    _bleu(effective_order=False, lowercase=True),
    _bleu(max_ngram_order=6),
]
CHRFS = [
    _chrf(Chrf),
    _chrf(ChrfPlusPlus),
    _chrf(Chrf, whitespace=True, beta=1),
    _chrf(Chrf, eps_smoothing=True, char_order=3),
    _chrf(ChrfPlusPlus, eps_smoothing=True, whitespace=True),
]
ROUGES = [
    _rouge(Rouge1(), "rouge1"),
    _rouge(Rouge2(), "rouge2"),
    _rouge(RougeL(), "rougeL"),
    _rouge(RougeN(4), "rouge4"),
]


@dataclass
class Tally:
    """What has been compared so far."""

    steps: int = 0
    comparisons: int = 0
    worst: float = 0.0
    nonzero: int = 0
    seen: set[str] = field(default_factory=set)


fragments = st.lists(st.sampled_from(FRAGMENTS), max_size=25).map("".join)
chunks = st.one_of(
    st.integers(0, 6),  # so many characters of the first reference, from where the text stands
    st.integers(0, 6),
    st.lists(st.sampled_from(FRAGMENTS), max_size=3).map("".join),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=3),
)
scenarios = st.fixed_dictionaries(
    {
        "references": st.lists(fragments, min_size=1, max_size=3),
        "chunks": st.lists(chunks, min_size=10, max_size=40),
        "asked": st.lists(st.booleans(), min_size=5, max_size=5),
        "pairs": st.tuples(st.sampled_from(BLEUS), st.sampled_from(CHRFS), st.sampled_from(ROUGES)),
    }
)


def _follow(scenario: dict, tally: Tally) -> None:
    """Stream one text, comparing at the steps at which a score is asked for."""
    references, asked = scenario["references"], scenario["asked"]
    example = SimpleNamespace(prompt="p", references=tuple(references), metadata={})
    streams = [reward.stream(example) for reward, _ in scenario["pairs"]]
    text = ""
    for step, chunk in enumerate(scenario["chunks"]):
        if isinstance(chunk, int):
            chunk = references[0][len(text) : len(text) + chunk]
        text += chunk
        for stream in streams:
            stream.append(chunk)
        if asked[step % len(asked)] or step + 1 == len(scenario["chunks"]):
            tally.steps += 1
            for stream, (reward, reference) in zip(streams, scenario["pairs"], strict=True):
                _compare(reward, stream.score(), reference(text, references), text, tally)
    for stream, (reward, _) in zip(streams, scenario["pairs"], strict=True):
        assert reward([text], [example])[0] == stream.score(), (reward, text, references)


def _compare(reward: Reward, score: float, expected: float, text: str, tally: Tally) -> None:
    difference = abs(score - expected)
    assert difference < TOLERANCE, (reward, text, score, expected)
    assert 0.0 <= score <= 1.0, (reward, text, score)
    tally.comparisons += 1
    tally.worst = max(tally.worst, difference)
    tally.nonzero += expected > 0
    tally.seen.add(reward.signature)


def _run(examples: int, derandomize: bool) -> Tally:
    tally = Tally()

    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=derandomize,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(scenarios)
    def follow(scenario: dict) -> None:
        _follow(scenario, tally)

    follow()
    assert tally.seen == {reward.signature for reward, _ in BLEUS + CHRFS + ROUGES}
    assert tally.nonzero > tally.comparisons / 5  # the texts must have something to match
    return tally


def test_streams_equal_the_reference_libraries():
    assert _run(examples=500, derandomize=True).steps > 3_000


@pytest.mark.slow
def test_streams_equal_the_reference_libraries_over_100_000_steps(capsys):
    tally = Tally()
    while tally.steps < 100_000:
        more = _run(examples=4_000, derandomize=False)
        tally.steps += more.steps
        tally.comparisons += more.comparisons
        tally.worst = max(tally.worst, more.worst)
    with capsys.disabled():
        print(
            f"\nstreams against sacrebleu and rouge-score: {tally.steps:,} steps, "
            f"{tally.comparisons:,} comparisons, worst difference {tally.worst:.2g}"
        )


CASES = [
    ("foo-\n", ["foo-"]),
    ("a foo-\n", ["a foo-"]),
    ("foo-\nbar", ["foobar"]),
    ("foo-<skipped>\nbar baz", ["foobar baz"]),
    ("foo-\n<skipped>\nbar", ["foo bar"]),
    ("&qu-\not;a&quot;", ['"a"']),
    ("&amp;lt; b", ["< b"]),
    ("ΑΣ-\nΑ ΟΔΟΣ ΟΔΟΣ.", ["ας ΟΔΟΣ ος"]),
    ("İstanbul K", ["istanbul k"]),
    ("1,000.5-7 a.b ... .,", ["1,000.5 - 7 a . b", "..."]),
    ("(hi) 'tis x,", ["( hi ) ' tis x ,"]),
    (" \n ", ["a b"]),
    ("a b c d e f", ["a b c d e f g h", "a b"]),
    ("a", [""]),
]


@pytest.mark.parametrize(("text", "references"), CASES)
def test_known_traps_character_by_character_and_at_once(text, references):
    example = SimpleNamespace(prompt="p", references=tuple(references), metadata={})
    for reward, reference in BLEUS + CHRFS + ROUGES:
        stream = reward.stream(example)
        for end in range(1, len(text) + 1):
            stream.append(text[end - 1])
            expected = reference(text[:end], references)
            assert stream.score() == pytest.approx(expected, abs=TOLERANCE), (reward, text[:end])
            assert reward([text[:end]], [example])[0] == stream.score(), (reward, text[:end])


def test_default_bleu_is_the_sentence_bleu_function():
    text, references = "The cat sat on a mat.", ["The cat sat on the mat.", "A cat was there."]
    example = SimpleNamespace(prompt="p", references=references, metadata={})
    expected = sentence_bleu(text, references).score / 100
    assert 0.3 < expected < 0.9
    assert Bleu()([text], [example])[0] == pytest.approx(expected, abs=1e-12)
