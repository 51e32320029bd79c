from __future__ import annotations

import copy
import pickle
import re
from dataclasses import replace

import pytest

from textgym.tasks import english
from textgym.tasks.base import SPLITS
from textgym.tasks.translation import TranslationTask, german, numbers
from textgym.tasks.translation.clause import Clause, Modal
from textgym.tasks.translation.lexicon import Frame, Lexicon, Noun, Words, load_irregular
from textgym.tasks.translation.lexicon import load_lexicon as load
from textgym.tasks.translation.phrases import (
    Count,
    Described,
    Name,
    NounPhrase,
    PrepositionalPhrase,
    Pronoun,
    ThingPronoun,
)
from textgym.tasks.translation.style import Style

LEVELS = TranslationTask.levels
NOM, ACC, DAT = german.NOMINATIVE, german.ACCUSATIVE, german.DATIVE
PLAIN = Style()


@pytest.fixture(scope="module")
def lexicon() -> Lexicon:
    return load()


def noun(word: str) -> Noun:
    lexicon = load()
    places = (place.noun for place in lexicon.places)
    return next(n for n in (*lexicon.nouns, *places) if n.english == word)


def frame(base: str, infinitive: str) -> Frame:
    """Return the first frame of a pair of verbs."""
    return next(
        f
        for f in load().frames
        if f.verb.base == base and f.german[0].verb.infinitive == infinitive
    )


def phrase(text: str, *, plural: bool = False, count: int = 0) -> Described:
    """Return the noun phrase that is written "the old teacher", "- fresh bread"."""
    determiner, *adjective, word = text.replace("ice cream", "ice_cream").split(" ")
    described = next((a for a in load().adjectives if [a.english] == adjective), None)
    assert bool(described) == bool(adjective), text
    number = Count(numbers.english_number(count), numbers.german_number(count)) if count else None
    name = determiner.replace("-", "")
    return Described(noun(word), name, plural=plural, adjective=described, count=number)


# --- the task


@pytest.mark.parametrize("level", LEVELS)
def test_examples_depend_on_seed_and_index_alone(level: str) -> None:
    first = [TranslationTask(level=level, seed=5).example(i) for i in range(200)]
    task = pickle.loads(pickle.dumps(copy.deepcopy(TranslationTask(level=level, seed=5))))
    assert [task.example(i) for i in reversed(range(200))][::-1] == first
    other = {TranslationTask(level=level, seed=6).example(i).prompt for i in range(200)}
    assert len(other & {example.prompt for example in first}) < 20


@pytest.mark.parametrize("level", LEVELS)
def test_splits_share_no_prompt(level: str) -> None:
    task = TranslationTask(level=level)
    prompts = [{task.example(i, split).prompt for i in range(300)} for split in SPLITS]
    assert not prompts[0] & prompts[1]
    assert not prompts[0] & prompts[2]
    assert not prompts[1] & prompts[2]


@pytest.mark.parametrize(
    ("level", "low", "high"), [("easy", 3, 9), ("medium", 7, 17), ("hard", 9, 22)]
)
def test_form_of_prompts_and_references(level: str, low: int, high: int) -> None:
    task = TranslationTask(level=level, seed=1)
    several = 0
    for i in range(1500):
        example = task.example(i)
        sentence = example.prompt[:-1]
        assert example.prompt[-1] == "\n"
        assert "\n" not in sentence
        assert low <= len(sentence.split()) <= high
        assert example.metadata == {"level": level, "direction": "en-de", "english": sentence}
        assert 1 <= len(example.references) <= 6
        assert len(set(example.references)) == len(example.references)
        several += len(example.references) > 1
        for text in (sentence, *example.references):
            assert text[0].isupper()
            assert text[-1] == sentence[-1]
            assert text[-1] in ".?"
            assert text == " ".join(text.split())
            assert " ," not in text
            assert ",." not in text
            assert len(text.split()) <= 25
    assert several > 1000


def test_lexicon_is_rich(lexicon: Lexicon) -> None:
    assert lexicon.num_lexemes >= 500
    assert len(lexicon.nouns) >= 200
    assert len({(f.verb.base, f.particle, f.preposition) for f in lexicon.frames}) >= 100
    assert len(lexicon.adjectives) >= 60


def test_every_frame_has_the_words_it_asks_for(lexicon: Lexicon) -> None:
    for f in lexicon.frames:
        assert f.people_act or f.subjects, f.verb.base
        if f.object_tags and not f.object_tags[0].startswith("$"):
            assert f.objects, f.verb.base


@pytest.mark.parametrize("level", ["medium", "hard"])
def test_prompts_hardly_ever_recur(level: str) -> None:
    # n draws from N equally likely prompts give about n**2 / 2N recurrences: 20 for N = 10**7.
    task = TranslationTask(level=level, seed=9)
    prompts = [task.example(i).prompt for i in range(20_000)]
    assert len(prompts) - len(set(prompts)) <= 20


def test_levels_reject_unknown_names() -> None:
    with pytest.raises(ValueError, match="task 'translation' has no level 'expert'"):
        TranslationTask(level="expert")


# --- nouns, articles, adjectives


@pytest.mark.parametrize(
    ("text", "plural", "forms"),
    [
        ("the old teacher", False, "der alte Lehrer|den alten Lehrer|dem alten Lehrer"),
        ("a old teacher", False, "ein alter Lehrer|einen alten Lehrer|einem alten Lehrer"),
        ("the old teacher", True, "die alten Lehrer|die alten Lehrer|den alten Lehrern"),
        ("- old teacher", True, "alte Lehrer|alte Lehrer|alten Lehrern"),
        ("the small boy", False, "der kleine Junge|den kleinen Jungen|dem kleinen Jungen"),
        ("a student", False, "ein Student|einen Studenten|einem Studenten"),
        ("her neighbour", False, "ihr Nachbar|ihren Nachbarn|ihrem Nachbarn"),
        ("a famous actress", False, "eine berühmte Schauspielerin|"
         "eine berühmte Schauspielerin|einer berühmten Schauspielerin"),
        ("our new car", False, "unser neues Auto|unser neues Auto|unserem neuen Auto"),
        ("our new car", True, "unsere neuen Autos|unsere neuen Autos|unseren neuen Autos"),
        ("- fresh bread", False, "frisches Brot|frisches Brot|frischem Brot"),
        ("- cold milk", False, "kalte Milch|kalte Milch|kalter Milch"),
        ("- hot coffee", False, "heißer Kaffee|heißen Kaffee|heißem Kaffee"),
        ("this expensive coat", False, "dieser teure Mantel|diesen teuren Mantel|"
         "diesem teuren Mantel"),
        ("my dark cellar", False, "mein dunkler Keller|meinen dunklen Keller|"
         "meinem dunklen Keller"),
        ("this book", False, "dieses Buch|dieses Buch|diesem Buch"),
        ("many guest", True, "viele Gäste|viele Gäste|vielen Gästen"),
        ("some apple", True, "einige Äpfel|einige Äpfel|einigen Äpfeln"),
        ("the watch", True, "die Uhren|die Uhren|den Uhren"),
        ("the car", True, "die Autos|die Autos|den Autos"),
        ("their child", True, "ihre Kinder|ihre Kinder|ihren Kindern"),
    ],
)  # fmt: skip
def test_declension(text: str, plural: bool, forms: str) -> None:
    words = phrase(text, plural=plural)
    assert "|".join(words.german(case, PLAIN) for case in (NOM, ACC, DAT)) == forms


def test_negation_and_numbers_before_nouns() -> None:
    assert phrase("a big dog").german(ACC, PLAIN, negated=True) == "keinen großen Hund"
    bread = phrase("- bread")
    assert bread.german(ACC, PLAIN, negated=True) == "kein Brot"
    apples = phrase("- sweet apple", plural=True, count=21)
    assert apples.subject == "twenty-one sweet apples"
    assert apples.german(NOM, PLAIN) == "einundzwanzig süße Äpfel"
    assert apples.german(DAT, PLAIN) == "einundzwanzig süßen Äpfeln"


def test_english_articles() -> None:
    assert phrase("a old teacher").subject == "an old teacher"
    assert phrase("a apple").subject == "an apple"
    assert phrase("a university").subject == "a university"
    assert phrase("this boy", plural=True).subject == "these boys"


def test_address_chooses_the_possessive() -> None:
    words = phrase("your small garden")
    assert words.german(ACC, PLAIN) == "deinen kleinen Garten"
    assert words.german(ACC, Style(address=1)) == "Ihren kleinen Garten"
    assert Pronoun("you").german(DAT, Style(address=1)) == "Ihnen"


def test_thing_pronouns_follow_the_gender_of_the_synonym() -> None:
    car = ThingPronoun(noun("car"), plural=False)
    assert car.german(ACC, PLAIN) == "es"
    assert car.german(ACC, Style(word=1)) == "ihn"
    assert ThingPronoun(noun("lamp"), plural=False).german(DAT, PLAIN) == "ihr"


def test_herr_is_declined() -> None:
    name = Name(Words("Mr Weber", ("Herr Weber",)), "m")
    assert [name.german(case, PLAIN) for case in (NOM, DAT)] == ["Herr Weber", "Herrn Weber"]


@pytest.mark.parametrize(
    ("preposition", "text", "case", "words"),
    [
        ("in", "the garden", DAT, "im Garten"),
        ("in", "the garden", ACC, "in den Garten"),
        ("in", "the old museum", ACC, "ins alte Museum"),
        ("an", "the lake", DAT, "am See"),
        ("zu", "the station", DAT, "zum Bahnhof"),
        ("zu", "the university", DAT, "zur Universität"),
        ("auf", "the table", ACC, "auf den Tisch"),
        ("auf", "the table", DAT, "auf dem Tisch"),
        ("von", "the house", DAT, "vom Haus"),
        ("in", "my garden", DAT, "in meinem Garten"),
    ],
)
def test_prepositions(preposition: str, text: str, case: int, words: str) -> None:
    found = PrepositionalPhrase(("", preposition), phrase(text), case)
    assert found.german(PLAIN) == words


# --- verbs


@pytest.mark.parametrize(
    ("name", "forms"),
    [
        ("lesen", "lese liest liest lesen las gelesen haben"),
        ("arbeiten", "arbeite arbeitest arbeitet arbeiten arbeitete gearbeitet haben"),
        ("an|rufen", "rufe rufst ruft rufen rief angerufen haben"),
        ("auf|stehen*", "stehe stehst steht stehen stand aufgestanden sein"),
        ("verkaufen", "verkaufe verkaufst verkauft verkaufen verkaufte verkauft haben"),
        ("reparieren", "repariere reparierst repariert reparieren reparierte repariert haben"),
        ("fahren*", "fahre fährst fährt fahren fuhr gefahren sein"),
        ("ein|laden", "lade lädst lädt laden lud eingeladen haben"),
        ("wissen", "weiß weißt weiß wissen wusste gewusst haben"),
        ("hängen", "hänge hängst hängt hängen hing gehangen haben"),
        ("hängen!", "hänge hängst hängt hängen hängte gehängt haben"),
        ("wandern", "wandere wanderst wandert wandern wanderte gewandert sein"),
        ("putzen", "putze putzt putzt putzen putzte geputzt haben"),
        ("öffnen", "öffne öffnest öffnet öffnen öffnete geöffnet haben"),
    ],
)
def test_conjugation(name: str, forms: str) -> None:
    verb = german.make_verb(name, load_irregular())
    found = [*verb.present[:4], verb.preterite[2], verb.participle, verb.auxiliary]
    assert " ".join(found) == forms


def test_infinitives_with_zu() -> None:
    names = ("lesen", "an|rufen", "spazieren_|gehen", "fern|sehen")
    found = [german.make_verb(name, load_irregular()).zu_infinitive for name in names]
    assert found == ["zu lesen", "anzurufen", "spazieren zu gehen", "fernzusehen"]


@pytest.mark.parametrize(
    ("base", "forms"),
    [
        ("carry", "carry carries carried carrying"),
        ("play", "play plays played playing"),
        ("plan", "plan plans planned planning"),
        ("travel", "travel travels travelled travelling"),
        ("wash", "wash washes washed washing"),
        ("like", "like likes liked liking"),
        ("visit", "visit visits visited visiting"),
        ("repair", "repair repairs repaired repairing"),
        ("show", "show shows showed showing"),
    ],
)
def test_english_verbs(base: str, forms: str) -> None:
    verb = english.make_verb(base)
    assert " ".join((verb.base, verb.third, verb.past, verb.ing)) == forms


# --- clauses


def reads(tense: str = "past", subject: NounPhrase | None = None) -> Clause:
    return Clause(
        subject or phrase("the old teacher"),
        frame("read", "lesen"),
        tense,
        object=phrase("the book"),
        time=Words("yesterday", ("gestern",)),
        place=PrepositionalPhrase(("in", "in"), phrase("the garden"), DAT),
    )


def test_verb_second_and_its_paraphrases() -> None:
    clause = reads()
    assert clause.english() == "the old teacher read the book in the garden yesterday"
    assert [clause.statement(Style(order=i)) for i in range(clause.orders())] == [
        "der alte Lehrer hat gestern das Buch im Garten gelesen",
        "gestern hat der alte Lehrer das Buch im Garten gelesen",
        "der alte Lehrer hat das Buch gestern im Garten gelesen",
    ]
    preterite = "der alte Lehrer las gestern das Buch im Garten"
    assert clause.statement(Style(tense=1)) == preterite


@pytest.mark.parametrize(
    ("tense", "english_words", "german_words"),
    [
        ("progressive", "is reading", "liest gestern"),
        ("perfect", "has read", "hat gestern"),
        ("pluperfect", "had read", "hatte gestern"),
        ("future", "will read", "wird gestern"),
    ],
)
def test_tenses(tense: str, english_words: str, german_words: str) -> None:
    clause = reads(tense)
    assert f"teacher {english_words} the book" in clause.english()
    assert clause.statement(PLAIN).startswith(f"der alte Lehrer {german_words} das Buch")


def test_verb_last_and_verb_first() -> None:
    clause = reads()
    assert clause.verb_last(PLAIN) == "der alte Lehrer gestern das Buch im Garten gelesen hat"
    assert clause.verb_first(PLAIN) == "hat der alte Lehrer gestern das Buch im Garten gelesen"
    assert clause.english(inverted=True) == (
        "did the old teacher read the book in the garden yesterday"
    )
    assert clause.infinitive(PLAIN) == "gestern das Buch im Garten zu lesen"


def test_separable_verbs_make_a_bracket() -> None:
    clause = Clause(Name(Words("Anna", ("Anna",)), "f"), frame("call", "anrufen"), "present")
    clause.object = phrase("the doctor")
    assert clause.english() == "Anna calls the doctor"
    assert clause.statement(PLAIN) == "Anna ruft den Arzt an"
    assert clause.verb_last(PLAIN) == "Anna den Arzt anruft"
    clause.modal = Modal("can", None, ("kann",))
    assert clause.statement(PLAIN) == "Anna kann den Arzt anrufen"
    assert clause.verb_last(PLAIN) == "Anna den Arzt anrufen kann"
    clause.object = Pronoun("he")
    assert clause.statement(PLAIN) == "Anna kann ihn anrufen"


def test_negation() -> None:
    clause = replace(reads(), time=None, place=None, negation="not")
    assert clause.english() == "the old teacher did not read the book"
    assert clause.statement(PLAIN) == "der alte Lehrer hat das Buch nicht gelesen"
    clause.object = phrase("a book")
    assert clause.statement(PLAIN) == "der alte Lehrer hat kein Buch gelesen"
    clause.tense, clause.negation = "perfect", "not yet"
    assert clause.english() == "the old teacher has not read a book yet"
    assert clause.statement(PLAIN) == "der alte Lehrer hat noch kein Buch gelesen"
    clause.negation = "never"
    assert clause.statement(PLAIN) == "der alte Lehrer hat noch nie ein Buch gelesen"


def test_just_stands_before_what_is_known_or_after_it() -> None:
    clause = replace(reads("perfect"), time=None, adverb=Words("just", ("gerade",)))
    assert [clause.statement(Style(order=i)) for i in range(clause.orders())] == [
        "der alte Lehrer hat das Buch gerade im Garten gelesen",
        "der alte Lehrer hat gerade das Buch im Garten gelesen",
        "im Garten hat der alte Lehrer das Buch gerade gelesen",
    ]
    asked = clause.verb_first(Style(order=1))
    assert asked == "hat der alte Lehrer gerade das Buch im Garten gelesen"
    clause.object = Pronoun("he")
    assert clause.orders() == 2
    assert clause.verb_first(Style(order=1)) == "hat der alte Lehrer ihn gerade im Garten gelesen"


def test_when_asks_for_the_future_in_the_present_too() -> None:
    found = 0
    for level in LEVELS:
        task = TranslationTask(level=level, seed=6)
        for i in range(1500):
            example = task.example(i)
            if example.prompt.startswith("When will "):
                found += 1
                assert example.references[0].startswith(
                    ("Wann wird ", "Wann werden ", "Wann wirst ")
                )
                assert not all(re.match("Wann (wirst|werden|wird) ", r) for r in example.references)
    assert found > 5


def test_receivers_and_reflexives() -> None:
    gives = Clause(Pronoun("I"), frame("give", "geben"), "past", object=phrase("a book"))
    gives.receiver = phrase("the child")
    assert gives.english() == "I gave the child a book"
    assert gives.statement(PLAIN) == "ich habe dem Kind ein Buch gegeben"
    explains = replace(gives, frame=frame("explain", "erklären"), object=phrase("the rule"))
    assert explains.english() == "I explained the rule to the child"
    hopes = Clause(Pronoun("we"), frame("look", "freuen"), "present", object=phrase("the concert"))
    assert hopes.english() == "we look forward to the concert"
    assert hopes.statement(PLAIN) == "wir freuen uns auf das Konzert"
    you = replace(hopes, subject=Pronoun("you"))
    assert you.statement(PLAIN) == "du freust dich auf das Konzert"
    assert you.statement(Style(address=1)) == "Sie freuen sich auf das Konzert"


def test_two_way_prepositions() -> None:
    puts = Clause(Pronoun("she"), frame("put", "legen"), "past", object=phrase("the key"))
    puts.goal = PrepositionalPhrase(("on", "auf"), phrase("the table"), ACC)
    assert puts.english() == "she put the key on the table"
    assert puts.statement(PLAIN) == "sie hat den Schlüssel auf den Tisch gelegt"


def test_a_shared_auxiliary_is_said_once() -> None:
    one = replace(reads(), time=None, place=None)
    two = replace(one, frame=frame("sell", "verkaufen"), object=ThingPronoun(noun("book"), False))
    assert two.without_subject(PLAIN, one) == "es verkauft"
    assert two.without_subject(Style(tense=1), one) == "verkaufte es"
    separable = replace(two, frame=frame("throw", "wegwerfen"))
    assert separable.without_subject(Style(tense=1), one) == "warf es weg"


# --- numbers


@pytest.mark.parametrize(
    ("number", "english_word", "german_word"),
    [
        (2, "two", "zwei"),
        (12, "twelve", "zwölf"),
        (16, "sixteen", "sechzehn"),
        (17, "seventeen", "siebzehn"),
        (21, "twenty-one", "einundzwanzig"),
        (30, "thirty", "dreißig"),
        (66, "sixty-six", "sechsundsechzig"),
        (99, "ninety-nine", "neunundneunzig"),
    ],
)
def test_numbers(number: int, english_word: str, german_word: str) -> None:
    assert numbers.english_number(number) == english_word
    assert numbers.german_number(number) == german_word


def test_dates() -> None:
    assert numbers.date(3, 4) == ("on 3 May", ["am 3. Mai", "am dritten Mai"])
    assert numbers.date(21, 2, 1999, spelled=True) == (
        "on the twenty-first of March 1999",
        ["am einundzwanzigsten März 1999", "am 21. März 1999"],
    )


@pytest.mark.parametrize(
    ("number", "english_word", "german_word"),
    [
        (1, "first", "ersten"),
        (2, "second", "zweiten"),
        (3, "third", "dritten"),
        (7, "seventh", "siebten"),
        (8, "eighth", "achten"),
        (12, "twelfth", "zwölften"),
        (16, "sixteenth", "sechzehnten"),
        (19, "nineteenth", "neunzehnten"),
        (20, "twentieth", "zwanzigsten"),
        (31, "thirty-first", "einunddreißigsten"),
    ],
)
def test_ordinals(number: int, english_word: str, german_word: str) -> None:
    assert numbers.english_ordinal(number) == english_word
    assert numbers.german_ordinal(number) == german_word


def test_times_of_day() -> None:
    assert numbers.clock(8, 0) == ("at eight o'clock", ["um acht Uhr"])
    assert numbers.clock(1, 0)[1] == ["um ein Uhr"]
    assert numbers.clock(7, 30) == ("at half past seven", ["um halb acht"])
    assert numbers.clock(12, 30)[1] == ["um halb eins"]
    assert numbers.clock(12, 45) == ("at a quarter to one", ["um Viertel vor eins"])
    assert numbers.clock(1, 15)[1] == ["um Viertel nach eins"]
    assert numbers.clock(9, 5) == ("at 9:05", ["um 9:05 Uhr", "um 9.05 Uhr"])
