from __future__ import annotations

import hashlib
import re
import time
from dataclasses import replace

import numpy as np
import pytest

from textgym.rewards import load_reward
from textgym.tasks.base import SPLITS, Example
from textgym.tasks.translation import TranslationTask, german, numbers
from textgym.tasks.translation.clause import Clause
from textgym.tasks.translation.composer import (
    ALLOWED,
    HAVE_TO,
    LIKE_TO,
    MODALS,
    MUST_NOT,
    PAST_MODALS,
    WISHES,
)
from textgym.tasks.translation.lexicon import Frame, Noun, Words, load_lexicon
from textgym.tasks.translation.phrases import (
    Described,
    Name,
    NounPhrase,
    PrepositionalPhrase,
    Pronoun,
)
from textgym.tasks.translation.sentence import Sentence, polite
from textgym.tasks.translation.task import DIRECTIONS, LIMITS
from textgym.tasks.translation.wording import PLAIN, Wording, joined, negated
from textgym.tasks.translation.writer import Writer
from textgym.tokenizers import load_tokenizer

LEVELS = TranslationTask.levels
ANNA = Name(Words("Anna", ("Anna",)), "f")
YESTERDAY = Words("yesterday", ("gestern",))


def noun(word: str) -> Noun:
    return next(n for n in load_lexicon().nouns if n.english == word)


def the(word: str, determiner: str = "the", *, plural: bool = False) -> Described:
    return Described(noun(word), determiner, plural=plural)


def frame(base: str, infinitive: str) -> Frame:
    return next(
        f
        for f in load_lexicon().frames
        if f.verb.base == base and f.german[0].verb.infinitive == infinitive
    )


def reads(tense: str = "past", subject: NounPhrase = ANNA) -> Clause:
    return Clause(subject, frame("read", "lesen"), tense, object=the("book"))


def translations(clause: Clause, ending: str = ".") -> tuple[str, list[str]]:
    """Return the German sentence of a clause and its English references."""
    sentence = Sentence(clause.english, clause.statement, (clause,), ending)
    words = sentence.in_german()
    return words, list(sentence.english_references(sentence.in_english(), words))


def examples(level: str, count: int, seed: int = 4) -> list[Example]:
    task = TranslationTask(level=level, seed=seed, direction="de-en")
    return [task.example(i) for i in range(count)]


# --- the task


def test_unknown_directions_are_refused() -> None:
    with pytest.raises(ValueError, match="no direction 'de-fr'; its directions are en-de, de-en"):
        TranslationTask(direction="de-fr")


@pytest.mark.parametrize(
    ("level", "digest"),
    [("easy", "bbde37c6e6ab6e8e"), ("medium", "0e9979c5d4d262d5"), ("hard", "650170effcd98d43")],
)
def test_english_to_german_never_changes(level: str, digest: str) -> None:
    task = TranslationTask(level=level, seed=2)
    found = hashlib.sha256()
    for i in range(500):
        example = task.example(i)
        found.update(repr((example.prompt, example.references)).encode())
    assert found.hexdigest()[:16] == digest


def test_nothing_that_will_be_is_joined_by_while() -> None:
    task, words = TranslationTask(level="hard", seed=3), []
    for i in range(3000):
        words.append(task.example(i).prompt)
    assert not [text for text in words if re.search(r" will .* while .* will ", text)]


@pytest.mark.parametrize("level", LEVELS)
def test_form_of_prompts_and_references(level: str) -> None:
    several = 0
    for example in examples(level, 1500):
        sentence = example.prompt[:-1]
        assert example.prompt[-1] == "\n"
        assert example.metadata == {
            "level": level,
            "direction": "de-en",
            "english": example.references[0],
        }
        assert 1 <= len(example.references) <= 6
        assert len(set(example.references)) == len(example.references)
        several += len(example.references) > 1
        for text in (sentence, *example.references):
            assert text[0].isupper()
            assert text[-1] == sentence[-1]
            assert text == " ".join(text.split())
            assert not re.search(r" [,.?]|,[.,]|[?].|[.][.?]", text)
        for text in example.references:
            assert re.fullmatch(r"[A-Za-z0-9é,.:?' -]+", text), text
            assert not re.search(r"\b[Aa] [aeio]|\b[Aa]n [^aeiou]", text), text
            assert not re.search(r"\b(\w+) \1\b", text.replace("her her", "")), text
    assert several > 1100


@pytest.mark.parametrize("level", LEVELS)
def test_the_plain_reference_is_what_german_references_are_of(level: str) -> None:
    # Where neither direction had to resolve anything, both draw the same pair.
    there, back = TranslationTask(level=level), TranslationTask(level=level, direction="de-en")
    pairs = {there.example(i).prompt: there.example(i).references[0] for i in range(600)}
    same = 0
    for i in range(600):
        example = back.example(i)
        words = pairs.get(f"{example.references[0]}\n")
        if words is not None:
            assert example.prompt == f"{words}\n"
            same += 1
    assert same > 300


@pytest.mark.parametrize("level", LEVELS)
def test_examples_depend_on_seed_and_index_alone_and_splits_are_apart(level: str) -> None:
    task = TranslationTask(level=level, seed=5, direction="de-en")
    again = TranslationTask(level=level, seed=5, direction="de-en")
    first = [task.example(i) for i in range(100)]
    assert [again.example(i) for i in reversed(range(100))][::-1] == first
    prompts = [{task.example(i, split).prompt for i in range(200)} for split in SPLITS]
    assert not prompts[0] & prompts[1] and not prompts[0] & prompts[2]
    assert not prompts[1] & prompts[2]


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("level", LEVELS)
def test_limits_hold_with_room_to_spare(level: str, direction: str) -> None:
    task = TranslationTask(level=level, seed=8, direction=direction)
    tokenizer = load_tokenizer()
    assert (task.max_prompt_tokens, task.max_new_tokens) == LIMITS[level]
    for i in range(600):
        example = task.example(i)
        assert len(tokenizer.encode(example.prompt)) <= 0.8 * task.max_prompt_tokens
        for text in example.references:
            assert len(tokenizer.encode(text)) + 1 <= 0.8 * task.max_new_tokens


def test_prompts_hardly_ever_recur() -> None:
    # n draws from N equally likely prompts give about n**2 / 2N recurrences: 5 for N = 10**7.
    for level in ("medium", "hard"):
        prompts = [example.prompt for example in examples(level, 10_000, seed=9)]
        assert len(prompts) - len(set(prompts)) <= 8


def test_every_reference_scores_best_and_the_prompt_does_not() -> None:
    reward = load_reward("bleu")
    for example in examples("medium", 60):
        texts = [*example.references, "", example.prompt[:-1]]
        scores = reward(texts, [example] * len(texts))
        assert scores[:-2].min() == pytest.approx(1.0)
        assert scores[-2] == 0.0
        assert scores[-1] < 0.5


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("level", LEVELS)
def test_an_example_costs_little(level: str, direction: str) -> None:
    # The bar is 5,000 a second on a free core; a busy machine may take four times as long.
    task = TranslationTask(level=level, direction=direction)
    spent = []
    for start in range(10**6, 10**6 + 5):
        before = time.process_time()
        for i in range(start * 100, start * 100 + 100):
            task.example(i)
        spent.append(time.process_time() - before)
    assert 100 / min(spent) > 1250


# --- what German leaves open


def test_the_perfect_is_a_past_or_a_perfect_where_nothing_says_when() -> None:
    assert translations(reads()) == (
        "Anna hat das Buch gelesen.",
        ["Anna read the book.", "Anna has read the book."],
    )
    dated = replace(reads(), time=YESTERDAY)
    assert translations(dated) == (
        "Anna hat gestern das Buch gelesen.",
        ["Anna read the book yesterday.", "Yesterday Anna read the book."],
    )
    done = replace(reads("perfect"), adverb=Words("already", ("schon",)))
    assert translations(done) == (
        "Anna hat das Buch schon gelesen.",
        ["Anna has already read the book.", "Anna already read the book."],
    )


def test_the_present_is_simple_or_progressive_where_nothing_says_when() -> None:
    assert translations(reads("progressive"))[1] == [
        "Anna is reading the book.",
        "Anna reads the book.",
    ]
    now = replace(reads("progressive"), time=Words("now", ("jetzt",)))
    assert translations(now)[1] == [
        "Anna is reading the book now.",
        "Now Anna is reading the book.",
    ]


def test_looking_forward_is_progressive_in_the_present() -> None:
    found = [e for level in LEVELS for e in examples(level, 3000) if " forward " in e.references[0]]
    now = [e.references for e in found if re.search(r"[Ff]reu(e|t|st|en) ", e.prompt)]
    assert len(now) > 20
    for first, *others in now:
        assert re.search(r"\b([Aa]m|[Ii]s|[Aa]re)\b.* looking forward", first)
        assert re.search(r"\blook(s|) forward", " ".join(others))
    hopes = Clause(ANNA, frame("look", "freuen"), "past", object=the("concert"))
    assert translations(hopes)[1] == [
        "Anna looked forward to the concert.",
        "Anna was looking forward to the concert.",
    ]


def test_what_somebody_managed_once_is_not_could() -> None:
    found = [e.references for e in examples("medium", 3000) if " konnte" in e.prompt]
    denied = [r for r in found if "not" in r[0]]
    done = [r for r in found if "not" not in r[0]]
    assert denied and done
    assert all("could not" in r[0] for r in denied)
    assert all("able to" in r[0] and "ould " in " ".join(r[1:]) for r in done)


def test_sie_at_the_beginning_may_be_polite() -> None:
    assert translations(reads(subject=Pronoun("they"))) == (
        "Sie haben das Buch gelesen.",
        ["They read the book.", "You read the book.", "They have read the book."],
    )
    assert translations(reads(subject=Pronoun("she")))[1][:2] == [
        "She read the book.",
        "She has read the book.",
    ]
    assert polite("They lost their key.", "Sie haben ihren Schlüssel verloren.") == ()
    assert polite("Yesterday they slept.", "Gestern haben sie geschlafen.") == ()


def test_ihr_is_her_or_their_and_at_the_beginning_your() -> None:
    son = reads("future", the("son", "her"))
    assert translations(son)[0] == "Ihr Sohn wird das Buch lesen."
    assert translations(son)[1][:3] == [
        "Her son will read the book.",
        "Your son will read the book.",
        "Their son will read the book.",
    ]
    peter = Name(Words("Peter", ("Peter",)), "m")
    loses = Clause(peter, frame("lose", "verlieren"), "past", object=the("key", "their"))
    loses.time = YESTERDAY
    assert "Peter lost her key yesterday." in translations(loses)[1]


def test_ihr_that_refers_to_the_subject_is_not_swapped() -> None:
    key = the("key", "her")
    loses = Clause(ANNA, frame("lose", "verlieren"), "past", object=key, time=YESTERDAY)
    assert translations(loses) == (
        "Anna hat gestern ihren Schlüssel verloren.",
        ["Anna lost her key yesterday.", "Yesterday Anna lost her key."],
    )


def test_no_possessive_that_german_would_take_for_the_subjects_own() -> None:
    rng = np.random.default_rng(0)
    plain, clear = Writer(rng, "medium"), Writer(rng, "medium", to_english=True)
    they = Pronoun("they")
    assert "her" in {plain.owner(they) for _ in range(500)}
    assert {clear.owner(they) for _ in range(500)} == {"my", "your", "his", "our", "their"}
    for subject in (ANNA, the("girl"), the("dog"), Pronoun("he")):
        assert {clear.owner(subject) for _ in range(500)} <= {"my", "your", "our", "her", "his"}


def test_negations_keep_their_meaning() -> None:
    must = replace(reads("modal"), modal=MUST_NOT, negation="not")
    assert translations(must) == (
        "Anna darf das Buch nicht lesen.",
        [
            "Anna must not read the book.",
            "Anna is not allowed to read the book.",
            "Anna mustn't read the book.",
            "Anna isn't allowed to read the book.",
        ],
    )
    need = replace(must, modal=HAVE_TO)
    words, references = translations(need)
    assert words == "Anna muss das Buch nicht lesen."
    assert references[:2] == [
        "Anna does not have to read the book.",
        "Anna does not need to read the book.",
    ]
    assert not any("must" in text for text in references)
    yet = replace(reads("perfect"), negation="not yet")
    assert translations(yet) == (
        "Anna hat das Buch noch nicht gelesen.",
        [
            "Anna has not read the book yet.",
            "Anna has not yet read the book.",
            "Anna hasn't read the book yet.",
            "Anna hasn't yet read the book.",
        ],
    )


@pytest.mark.parametrize(
    ("modal", "other"),
    [
        (MODALS[0], "Anna is able to read the book."),
        (HAVE_TO, "Anna must read the book."),
        (ALLOWED, "Anna may read the book."),
        (WISHES[0], "Anna has to read the book."),
        (LIKE_TO, "Anna likes reading the book."),
        (PAST_MODALS[0], "Anna was able to read the book."),
    ],
)
def test_modals_have_synonyms(modal: object, other: str) -> None:
    clause = replace(reads("modal"), modal=modal)
    assert translations(clause)[1][1] == other


# --- how English words it


def test_receivers_stand_before_the_object_or_after_it() -> None:
    gives = Clause(ANNA, frame("give", "geben"), "future", object=the("book", "a"))
    gives.receiver = the("child")
    assert "Anna will give a book to the child." in translations(gives)[1]
    gives.time = Words("tomorrow", ("morgen",))
    assert gives.english(Wording(order=1)) == "tomorrow Anna will give the child a book"
    assert gives.english(Wording(order=2)) == "Anna will give a book to the child tomorrow"


def test_questions_are_inverted_in_every_wording() -> None:
    asks = replace(reads("future"), time=YESTERDAY)
    words = asks.english(Wording(order=1, contracted=1), inverted=True, question="why")
    assert words == "why will Anna read the book yesterday"
    assert asks.english(Wording(tense=1), inverted=True) == (
        "is Anna going to read the book yesterday"
    )


def test_manner_stands_before_the_main_verb_too() -> None:
    solves = Clause(Pronoun("who"), frame("solve", "lösen"), "progressive", object=the("problem"))
    solves = replace(solves, manner=Words("slowly", ("langsam",)), time=Words("now", ("jetzt",)))
    assert translations(solves, "?")[1][:2] == [
        "Who is solving the problem slowly now?",
        "Who is slowly solving the problem now?",
    ]
    assert solves.english(Wording(order=1), inverted=True, question="why").startswith("why is who")
    solves = replace(solves, subject=ANNA, tense="past", time=YESTERDAY)
    found = translations(solves)[1]
    assert "Yesterday Anna solved the problem slowly." in found
    assert "Anna slowly solved the problem yesterday." in found
    solves.time = None
    assert "Anna slowly solved the problem." in translations(solves)[1]
    assert solves.english(Wording(order=1), inverted=True) == "did Anna slowly solve the problem"
    for kept in (
        replace(solves, modal=HAVE_TO, tense="modal"),
        replace(solves, manner=Words("badly", ("schlecht",))),
        replace(solves, manner=Words("fast", ("schnell",))),
    ):
        assert kept.english(Wording(order=2)) == kept.english()
    going = replace(solves, tense="future").english(Wording(tense=1, order=1))
    assert going == "Anna is going to solve the problem slowly"


def test_synonyms_keep_article_number_and_particle() -> None:
    lawyer = replace(reads(), subject=the("lawyer", "a"))
    assert lawyer.english(Wording(word=1)) == "an attorney read the book"
    many = Clause(the("policeman", "many", plural=True), frame("pick", "abholen"), "past")
    many.object = the("parcel")
    assert many.english(Wording(word=1)) == "a lot of police officers picked up the package"
    assert many.english(Wording(verb=1)) == "many policemen collected the parcel"
    many.object = Pronoun("he")
    assert many.english() == "many policemen picked him up"


def test_relative_clauses_strand_the_preposition() -> None:
    waits = Clause(ANNA, frame("wait", "warten"), "past", object=the("letter"))
    assert waits.english(without="object") == "Anna waited for"
    waits.place = PrepositionalPhrase(("in", "in"), the("house"), german.DATIVE)
    assert waits.english(without="object") == "Anna waited for in the house"
    assert waits.english_infinitive() == "wait for the letter in the house"


@pytest.mark.parametrize(
    ("auxiliary", "plain", "short"),
    [
        ("can", "cannot", "can't"),
        ("will", "will not", "won't"),
        ("does", "does not", "doesn't"),
        ("must", "must not", "mustn't"),
        ("am", "am not", "am not"),
        ("may", "may not", "may not"),
    ],
)
def test_contracted_negations(auxiliary: str, plain: str, short: str) -> None:
    assert (negated(auxiliary, 0), negated(auxiliary, 1)) == (plain, short)


@pytest.mark.parametrize(
    ("subject", "auxiliary", "words"),
    [
        ("I", "am", "I'm"),
        ("I", "am not", "I'm not"),
        ("she", "will", "she'll"),
        ("they", "have", "they've"),
        ("he", "would like to", "he'd like to"),
        ("we", "aren't", "we aren't"),
        ("Anna", "is", "Anna is"),
    ],
)
def test_contracted_pronouns(subject: str, auxiliary: str, words: str) -> None:
    assert joined(subject, auxiliary) == words


def test_dates_and_times_have_two_wordings() -> None:
    assert numbers.also_date(3, 4) == "on May 3"
    assert numbers.also_date(3, 4, 1999) == "on May 3, 1999"
    assert numbers.also_date(3, 4, spelled=True) == "on 3 May"
    assert numbers.also_date(3, 4, 1999, spelled=True) == "on 3 May 1999"
    found = [numbers.also_clock(7, minute) for minute in (0, 15, 30, 45, 5)]
    assert found == [
        ("at seven",),
        ("at seven fifteen",),
        ("at seven thirty",),
        ("at seven forty-five",),
        (),
    ]


def test_the_plain_wording_comes_first_and_changes_nothing() -> None:
    assert not any(PLAIN)
    for example in examples("hard", 200):
        assert example.references[0] == example.metadata["english"]
