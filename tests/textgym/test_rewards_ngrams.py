"""N-gram rewards: values worked out by hand, the matchers against plain counting, options."""

from __future__ import annotations

import math
from collections import Counter
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textgym.rewards.bleu import Bleu
from textgym.rewards.chrf import Chrf, ChrfPlusPlus
from textgym.rewards.ngrams import NgramIndex, NgramMatcher, SubstringMatcher
from textgym.rewards.rouge import LcsMatcher, Rouge1, Rouge2, RougeL, RougeLReference, RougeN

tokens = st.lists(st.sampled_from("abc"), max_size=12)


def score(reward, text, *references):
    return reward([text], [SimpleNamespace(prompt="p", references=references, metadata={})])[0]


def test_bleu_by_hand():
    # 4 of 5 words, 2 of 4 pairs, 0 of 3, 0 of 2; smoothed to 1/2 of a match and 1/4 of one.
    expected = (4 / 5 * 2 / 4 * 0.5 / 3 * 0.25 / 2) ** 0.25
    assert score(Bleu(), "a b x c d", "a b y c d") == pytest.approx(expected, abs=1e-15)
    assert score(Bleu(smooth_method="none"), "a b x c d", "a b y c d") == 0.0
    floor = (4 / 5 * 2 / 4 * 0.1 / 3 * 0.1 / 2) ** 0.25
    assert score(Bleu(smooth_method="floor"), "a b x c d", "a b y c d") == pytest.approx(floor)
    add = (4 / 5 * 3 / 5 * 1 / 4 * 1 / 3) ** 0.25
    assert score(Bleu(smooth_method="add-k"), "a b x c d", "a b y c d") == pytest.approx(add)


def test_bleu_brevity_clipping_and_closest_reference():
    assert score(Bleu(), "a b", "a b c d") == pytest.approx(math.exp(1 - 4 / 2))
    # "the" counts twice at most, since one reference has it twice.
    clipped = score(Bleu(max_ngram_order=1), "the the the", "the x the", "the y z")
    assert clipped == pytest.approx(2 / 3)
    # Lengths 2 and 4 are equally close to 3: the shorter one counts, so nothing is lost.
    assert score(Bleu(max_ngram_order=1), "a b c", "a b", "a b c d") == 1.0
    assert score(Bleu(), "", "a") == 0.0
    assert score(Bleu(), "a", "") == 0.0


def test_bleu_without_effective_order_is_zero_on_short_texts():
    assert score(Bleu(effective_order=False), "a b", "a b") == 0.0
    assert score(Bleu(effective_order=True), "a b", "a b") == 1.0


def test_bleu_case():
    assert score(Bleu(), "THE CAT", "the cat") == 0.0
    assert score(Bleu(lowercase=True), "THE CAT", "the cat") == 1.0


def test_chrf_by_hand():
    # Characters: 2 of 3 against 2 of 2; pairs: 1 of 2 against 1 of 1; longer ones: not in both.
    precision, recall = (2 / 3 + 1 / 2) / 2, 1.0
    assert score(Chrf(), "a b c", "ab") == pytest.approx(5 * precision / (4 * precision + recall))
    # beta 1 is the harmonic mean.
    expected = 2 * precision / (precision + 1)
    assert score(Chrf(beta=1), "abc", "ab") == pytest.approx(expected)


def test_chrf_plus_plus_by_hand():
    # "hi)" is the words "hi" and ")": words 2 of 2 against 2 of 3, pairs 1 of 1 against 1 of 2.
    reward = ChrfPlusPlus(char_order=1)
    precision, recall = 1.0, (3 / 4 + 2 / 3 + 1 / 2) / 3
    expected = 5 * precision * recall / (4 * precision + recall)
    assert score(reward, "hi)", "hi) x") == pytest.approx(expected)


def test_chrf_takes_the_best_reference():
    both = score(Chrf(), "abcd", "wxyz", "abcx")
    assert both == score(Chrf(), "abcd", "abcx") > score(Chrf(), "abcd", "wxyz") == 0.0


def test_rouge_by_hand():
    text, reference = "police kill the gunman", "police killed the gunman"  # Lin 2004, section 3.1
    assert score(Rouge1(), text, reference) == pytest.approx(3 / 4)
    assert score(Rouge2(), text, reference) == pytest.approx(1 / 3)
    assert score(RougeL(), text, reference) == pytest.approx(3 / 4)
    assert score(RougeL(), "the gunman kill police", reference) == pytest.approx(2 / 4)
    # 2 words of 2 against 2 of 6: 2 * 1 * (1/3) / (4/3).
    assert score(Rouge1(), "a b", "a b c d e f") == pytest.approx(0.5)
    assert score(Rouge1(), "a b", "x", "a b c d e f") == pytest.approx(0.5)
    assert score(RougeL(), "漢字", "漢字") == 0.0  # ROUGE knows ASCII words only


@given(st.lists(tokens, min_size=1, max_size=3), st.lists(st.tuples(tokens, tokens), max_size=6))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_matcher_counts_like_counters(references, steps):
    matcher = NgramMatcher(NgramIndex.of_tokens(references, 3))
    settled = []
    for final, tentative in steps:
        matcher.advance(final, tentative)
        settled += final
        text = settled + tentative
        assert matcher.length == len(text)
        for n in (1, 2, 3):
            limits = Counter()
            for reference in references:
                limits |= ngrams(reference, n)
            assert matcher.matches[n - 1] == (ngrams(text, n) & limits).total()


@given(
    st.text("abc", max_size=150),
    st.lists(st.one_of(st.text("abc", max_size=9), st.text("abc", min_size=128)), max_size=5),
)
@settings(max_examples=200, deadline=None, derandomize=True)
def test_substring_matcher_counts_like_counters(reference, chunks):
    matcher = SubstringMatcher(NgramIndex.of_characters(reference, 4))
    text = ""
    for chunk in chunks:
        matcher.extend(chunk)
        text += chunk
        assert matcher.length == len(text)
        for n in (1, 2, 3, 4):
            both = ngrams(text, n) & ngrams(reference, n)
            assert matcher.matches[n - 1] == both.total()


def ngrams(sequence, n):
    return Counter(tuple(sequence[i : i + n]) for i in range(len(sequence) - n + 1))


@given(tokens, st.lists(st.tuples(tokens, tokens), max_size=6))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_bit_parallel_lcs_equals_the_table(reference, steps):
    masks = {t: sum(1 << i for i, r in enumerate(reference) if r == t) for t in set(reference)}
    matcher = LcsMatcher(RougeLReference(masks, len(reference)))
    settled = []
    for final, tentative in steps:
        matcher.advance(final, tentative)
        settled += final
        text = settled + tentative
        assert matcher.matches == lcs(reference, text)
        assert matcher.length == len(text)


def lcs(left, right):
    row = [0] * (len(right) + 1)
    for a in left:
        previous = row
        row = [0]
        for i, b in enumerate(right):
            row.append(previous[i] + 1 if a == b else max(previous[i + 1], row[i]))
    return row[-1]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Bleu(smooth_method="laplace"), "unknown smooth_method 'laplace'.*add-k"),
        (lambda: Bleu(smooth_method="exp", smooth_value=0.1), "takes no smooth_value"),
        (lambda: Bleu(smooth_method="floor", smooth_value=2.0), r"in \(0, 1\]"),
        (lambda: Bleu(smooth_method="add-k", smooth_value=0.0), "above 0"),
        (lambda: Bleu(max_ngram_order=0), "at least 1"),
        (lambda: Chrf(char_order=0), "char_order >= 1"),
        (lambda: Chrf(beta=0), "beta > 0"),
        (lambda: RougeN(0), "n >= 1"),
    ],
)
def test_options_out_of_range(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_options_are_in_the_signature():
    signatures = [
        reward.signature
        for reward in (
            Bleu(),
            Bleu(lowercase=True),
            Bleu(effective_order=False),
            Bleu(max_ngram_order=3),
            Bleu(smooth_method="none"),
            Bleu(smooth_method="floor"),
            Bleu(smooth_method="floor", smooth_value=0.2),
            Chrf(),
            Chrf(beta=1),
            Chrf(char_order=5),
            Chrf(word_order=1),
            Chrf(whitespace=True),
            Chrf(eps_smoothing=True),
            ChrfPlusPlus(),
            Rouge1(),
            RougeN(3),
        )
    ]
    assert len(set(signatures)) == len(signatures)
    assert signatures[0] == "bleu(case=mixed, eff=yes, tok=13a, smooth=exp, order=4)"


def test_prepared_references_are_kept_and_forgotten():
    reward = Bleu()
    example = SimpleNamespace(prompt="p", references=("a b c",), metadata={})
    again = SimpleNamespace(prompt="q", references=["a b c"], metadata={})
    assert reward.prepared(example) is reward.prepared(again)
    first = reward.prepared(example)
    for number in range(200):
        long = SimpleNamespace(prompt="p", references=(f"{number} " * 500,), metadata={})
        reward.prepared(long)
    assert reward.prepared(example) is not first
