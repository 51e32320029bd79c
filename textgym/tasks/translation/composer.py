"""Puts one clause together: a frame, who and what, and what surrounds them."""

from __future__ import annotations

from collections.abc import Sequence

from textgym.tasks import english
from textgym.tasks.translation import german, times
from textgym.tasks.translation.clause import Clause, Modal
from textgym.tasks.translation.lexicon import (
    Frame,
    Government,
    Lexicon,
    Saying,
    Words,
    load_lexicon,
)
from textgym.tasks.translation.phrases import (
    Described,
    NounPhrase,
    Phrase,
    PrepositionalPhrase,
    Pronoun,
)
from textgym.tasks.translation.writer import Writer

CAN_ALSO = Modal("", english.make_verb("be able"), ())
COULD_ALSO = Modal("", english.make_verb("be able"), (), past=True)
HAVE = english.make_verb("have", "had", "had")
NEED_TO = Modal("", english.make_verb("need"), ())
HAVE_TO = Modal("", HAVE, ("muss",), also=(Modal("must", None, ()),), denied=(NEED_TO,))
NOT_ALLOWED = Modal("", english.make_verb("be allowed"), ())
MUST_NOT = Modal("must", None, ("darf",), denied=(NOT_ALLOWED,))
LIKING = english.make_verb("like")
LIKE_TO = Modal("", LIKING, ("present",), also=(Modal("", LIKING, (), gerund=True),))
MAY = (Modal("may", None, ()),)
ALLOWED = Modal("", english.make_verb("be allowed"), ("darf",), also=MAY, denied=MAY)
MODALS = (
    Modal("can", None, ("kann",), also=(CAN_ALSO,), denied=(CAN_ALSO,)),
    Modal("should", None, ("sollte", "soll")),
    HAVE_TO,
    Modal("", english.make_verb("want"), ("will",)),
    ALLOWED,
)
WISHES = (
    Modal("must", None, ("muss",), also=(Modal("", HAVE, ()),)),
    Modal("would like to", None, ("möchte",)),
)
COULD = Modal("could", None, ("konnte",), also=(COULD_ALSO,), denied=(COULD_ALSO,))
MANAGED = Modal("", english.make_verb("be able"), ("konnte",), past=True, also=(COULD,))
PAST_MODALS = (
    COULD,
    Modal("", HAVE, ("musste",), past=True),
    Modal("", english.make_verb("want"), ("wollte",), past=True),
    Modal("", english.make_verb("be allowed"), ("durfte",), past=True),
)
GLADLY = Words("", ("gern", "gerne"))
WILLED = frozenset(("modal", "past modal", "like", "perfect", "future"))
UNNEGATED = frozenset(("like", "habit"))
COMPLETED = (Words("already", ("schon", "bereits")), Words("just", ("gerade",)))


def plain_frame(
    verb: english.Verb, governs: Government, flags: str, also: tuple[Saying, ...] = ()
) -> Frame:
    """Return a frame without objects or adverbials, for verbs with a syntax of their own."""
    return Frame(
        verb=verb,
        particle="",
        preposition="",
        people_act=True,
        subjects=(),
        object_tags=(),
        objects=(),
        has_receiver=False,
        goal="",
        german=(governs,),
        places=(),
        goals=(),
        towns=False,
        shopping=False,
        manners=(),
        flags=frozenset(flags.split()),
        reasons=(),
        sayings=(Saying(verb, "", ""), *also),
    )


BE = plain_frame(
    english.Verb("be", "is", "was", "been", "being"),
    Government(german.COPULA, "", german.ACCUSATIVE, -1, ""),
    "preterite",
)


def tense_choices(frame: Frame) -> tuple[str, ...]:
    """Return the tenses a frame may take, each as often as its weight."""
    flags = frame.flags
    if "st" in flags:
        going = ["progressive"] * 3 if "g" in flags else ["present"] * 5
        return (*going, "past", "past", "past")
    choices = ["past"] * 6
    if "inv" in flags:
        return (*choices, "perfect", "perfect")
    choices += ["future"] * 2
    if "hd" in flags or "hb" in flags:
        choices += ["habit"] * 2
    if "thing" in flags:
        return tuple(choices)
    choices += [] if "noperf" in flags else ["perfect"] * 2
    choices += ["modal"] * 4 + ["past modal"] * 2
    if "hb" in flags:
        choices += ["like"]
    if "g" in flags:
        choices += ["progressive"] * 2
    return tuple(choices)


def ordinary_frames(lexicon: Lexicon) -> tuple[Frame, ...]:
    """Return the frames that make a sentence of their own."""
    governing = {"that", "whether", "to"}
    return tuple(frame for frame in lexicon.frames if not frame.flags & governing)


FRAMES = ordinary_frames(load_lexicon())
ANYONE = tuple(f for f in FRAMES if f.anyone)
OTHERS = tuple(f for f in FRAMES if not f.anyone)
TENSES = {id(frame): tense_choices(frame) for frame in FRAMES}
DURATIVE = tuple(f for f in FRAMES if "g" in f.flags and "st" not in f.flags)
GOVERNING = {
    key: tuple(f for f in load_lexicon().frames if key in f.flags)
    for key in ("that", "whether", "to")
}
VOLITIONAL = tuple(f for f in FRAMES if not f.flags & {"inv", "st", "thing"} and f.people_act)


def _read_from_german(clause: Clause) -> None:
    """Set the tense and the modal that are the plain ones for what the German clause says."""
    if clause.tense == "perfect" and clause.adverb is None and not clause.negation:
        clause.tense = "past"
    elif clause.tense == "present" and "ing" in clause.frame.flags:
        clause.tense = "progressive"
    elif clause.modal is COULD and not clause.negation:
        clause.modal = MANAGED


class Composer:
    """Draws clauses with one writer."""

    def __init__(self, writer: Writer) -> None:
        self.writer = writer

    def clause(
        self,
        frame: Frame,
        tense: str,
        *,
        subject: NounPhrase | None = None,
        avoid: NounPhrase | None = None,
        adverbials: int = 1,
        timed: bool = True,
        negation: float = 0.0,
        goal: Phrase | None = None,
        place: PrepositionalPhrase | None = None,
        among: Sequence[Frame] = (),
    ) -> Clause:
        """Draw a clause.

        Args:
            frame: The verb and what goes with it.
            tense: One of `tense_choices`, or a tense of `Clause`.
            subject: The subject; drawn if None.
            avoid: A phrase whose noun is not to be the subject.
            adverbials: How many adverbials at most.
            timed: Whether a time may be one of them.
            negation: The chance of a negation.
            goal: Where to, if that is settled.
            place: Where, if that is settled.
            among: Verbs that would do as well, where `frame` is of another split.
        """
        writer = self.writer
        if subject is None:
            subject = writer.subject(frame, avoid=avoid)
        if frame.people_act:  # the others have so few subjects that each would weigh too much
            animal = isinstance(subject, Described) and not subject.noun.sex
            frame = writer.settle(subject, frame, () if animal else among)
        if isinstance(subject, Described) and subject.noun.kind == "animal" and tense in WILLED:
            tense = "past"
        manner = {"habit": "bare" if "hb" in frame.flags else "known", "like": "bare"}
        obj = writer.object(frame, subject, manner.get(tense, self._plain(frame, tense)))
        receiver = writer.receiver(subject) if frame.has_receiver else None
        if isinstance(receiver, Pronoun) and isinstance(subject, Pronoun):
            receiver = writer.person(avoid=subject, indefinite=False)
        clause = Clause(subject, frame, tense, object=obj, receiver=receiver, place=place)
        clause.goal = goal
        if frame.goal and goal is None:
            clause.goal = self._goal(frame, subject, obj)
        self._set_tense(clause, tense)
        if tense not in UNNEGATED and writer.chance(negation):
            self._negate(clause)
        self._surround(clause, tense, adverbials, timed)
        if writer.to_english:
            _read_from_german(clause)
        return clause

    def _plain(self, frame: Frame, tense: str) -> str:
        if "st" in frame.flags and "indef" not in frame.flags and tense == "present":
            return "bare" if frame.verb.base == "like" and self.writer.chance(0.5) else "known"
        return "plain"

    def _goal(
        self, frame: Frame, subject: NounPhrase, obj: NounPhrase | Words | None
    ) -> PrepositionalPhrase:
        writer = self.writer
        if frame.goal == "to":
            if frame.towns and (not frame.goals or writer.chance(0.5)):
                return writer.town(to=True)
            return writer.to(frame.goals, subject)
        if frame.goal == "inside":
            return writer.inside(german.ACCUSATIVE)
        assert isinstance(obj, Described)
        if frame.goal == "hook":
            return writer.hook(obj.noun)
        return writer.position(obj.noun, moving=True)

    def _set_tense(self, clause: Clause, tense: str) -> None:
        writer = self.writer
        if tense == "modal":
            clause.modal = writer.pick(MODALS + WISHES)
        elif tense == "past modal":
            clause.modal, clause.tense = writer.pick(PAST_MODALS), "modal"
        elif tense == "like":
            clause.modal, clause.tense, clause.adverb = LIKE_TO, "modal", writer.noted(GLADLY)
        elif tense == "habit":
            clause.tense = "present"

    def _negate(self, clause: Clause) -> None:
        """Negate a clause where the negation has one clear place in both languages."""
        obj, modal = clause.object, clause.modal
        if isinstance(obj, Described) and obj.count is not None:
            return
        if clause.tense == "perfect":
            clause.negation = self.writer.pick(("not yet", "never"))
            return
        if modal is not None and modal in WISHES:
            clause.modal = MUST_NOT
        clause.negation = "not"

    def _surround(self, clause: Clause, tense: str, adverbials: int, timed: bool) -> None:
        """Add time, manner, company, duration and place, as many as asked for."""
        writer, frame = self.writer, clause.frame
        if tense == "perfect" and not clause.negation and writer.chance(0.75):
            clause.adverb = writer.noted(writer.pick(COMPLETED))
        if "place" in frame.flags:
            clause.place = (
                writer.town(to=False)
                if writer.chance(0.6)
                else writer.at(frame.places, clause.subject)
            )
            return
        if "manner" in frame.flags:
            clause.manner = writer.words(frame.manners[0])
            return
        left = adverbials
        timed = timed and "untimed" not in frame.flags
        if timed and left and (writer.chance(0.75) or tense == "habit"):
            left -= self._add_time(clause, tense)
        if clause.negation:
            return
        free = clause.adverb is None and clause.manner is None
        if left and frame.manners and free and writer.chance(0.45):
            left -= self._add_manner(clause)
        if left and clause.place is None and writer.chance(0.6):
            self._add_place(clause)

    def _add_time(self, clause: Clause, tense: str) -> int:
        writer, flags = self.writer, clause.frame.flags
        memorable, clock = "y" in flags, "c" in flags and not clause.negation
        if tense == "habit":
            if "thing" in flags:
                clause.time = times.time_of_day(writer)
                return 1
            if writer.chance(0.4):
                clause.adverb = writer.words("often")
                if "early" in clause.frame.manners:
                    clause.manner = writer.words(writer.pick(("early", "late")))
                return 1
            clause.time = writer.words("habit")
        elif tense in ("past", "past modal") and "st" not in flags:
            clause.time = times.past_time(
                writer, memorable=memorable, clock=clock, routine="r" in flags
            )
        elif tense in ("future", "modal"):
            clause.time = times.future_time(
                writer, memorable=memorable, clock=clock, routine="r" in flags
            )
        elif tense == "progressive" and "st" not in flags and not clause.negation:
            clause.time = writer.words("now")
        if clause.time is None:
            return 0
        clause.time_first = writer.chance(0.3)
        return 1

    def _add_manner(self, clause: Clause) -> int:
        writer, frame = self.writer, clause.frame
        key = writer.pick(frame.manners)
        timed = clause.time is not None and " at " in f" {clause.time.english}"
        if key == "dur":
            if timed or clause.tense in ("perfect", "present", "progressive"):
                return 0
            clause.duration = times.duration(writer)
            return 1
        if key in ("early", "late") and timed:
            return 0
        if key in ("together", "alone"):
            plural = clause.subject.person in (3, 4)
            if (key == "together" and not plural) or writer.chance(0.4):
                return self._add_company(clause)
        clause.manner = writer.words(key)
        return 1

    def _add_company(self, clause: Clause) -> int:
        obj = clause.object
        if clause.frame.preposition == "with":
            return 0
        person = self.writer.companion(clause.subject)
        known = isinstance(obj, Described) and obj.noun.sex
        if (
            known
            or isinstance(obj, Pronoun)
            or (clause.subject.person == 2 and (clause.subject.subject == "who"))
        ):
            return 0
        clause.company = PrepositionalPhrase(("with", "mit"), person, german.DATIVE)
        return 1

    def _add_place(self, clause: Clause) -> None:
        frame, writer = clause.frame, self.writer
        places: Sequence = frame.places  # type: ignore[type-arg]
        if frame.shopping and isinstance(clause.object, Described):
            noun = clause.object.noun
            placed = writer.lexicon.placed
            places = placed.get(f"shop_{noun.kind}", ())
            if "baked" in noun.tags and writer.chance(0.5):
                places = placed["shop_baked"]
        if places:
            clause.place = writer.at(places, clause.subject)
