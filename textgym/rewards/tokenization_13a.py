"""The 13a tokenisation of mteval-v13a and sacreBLEU (Post 2018), whole or as a text grows."""

from __future__ import annotations

import re

_SYMBOLS = re.compile(r"([{-~\[-` -&(-+:-@/])")
_AFTER_NON_DIGIT = re.compile(r"([^0-9])([.,])")
_BEFORE_NON_DIGIT = re.compile(r"([.,])([^0-9])")
_DASH_AFTER_DIGIT = re.compile(r"([0-9])(-)")


def tokenize_13a(text: str) -> list[str]:
    """The tokens of a text whose trailing whitespace has been stripped, as sacreBLEU makes them."""
    words = text.split()
    if "".join(words).isalnum():  # none of the rules below applies
        return words
    text = text.replace("<skipped>", "").replace("-\n", "").replace("\n", " ")
    if "&" in text:
        text = text.replace("&quot;", '"').replace("&amp;", "&")
        text = text.replace("&lt;", "<").replace("&gt;", ">")
    text = _SYMBOLS.sub(r" \1 ", f" {text} ")
    text = _AFTER_NON_DIGIT.sub(r"\1 \2 ", text)
    text = _BEFORE_NON_DIGIT.sub(r" \1 \2", text)
    text = _DASH_AFTER_DIGIT.sub(r"\1 \2 ", text)
    return text.split()


def split_13a(text: str) -> tuple[list[str], list[str], str]:
    """Tell the tokens that no further text can change from those it can.

    Returns:
        The final tokens, the tentative tokens, and the text the tentative ones came from.
    """
    if text.isalnum():
        return [], [text], text
    end = _final_length(text)
    if not end:
        return [], tokenize_13a(text.rstrip()), text
    unread = text[end:]
    return tokenize_13a(text[:end]), tokenize_13a(unread.rstrip()), unread


def split_13a_lowercase(text: str) -> tuple[list[str], list[str], str]:
    """Like `split_13a`, for the lower-cased text.

    Lower-casing looks across letters (a final sigma), but never across whitespace, where a text
    is cut; so the unread text is kept as it came.
    """
    end = _final_length(text)
    unread = text[end:]
    return tokenize_13a(text[:end].lower()), tokenize_13a(unread.lower().rstrip()), unread


def _final_length(text: str) -> int:
    r"""How much of a text further text cannot change.

    The rules look at neighbouring characters only, so a text may be cut where a non-space
    follows whitespace. But a hyphen and a line feed join what they stand between (seen once
    "<skipped>" is gone), and trailing whitespace stays unread, since sacreBLEU strips it:
    "foo-\n" is "foo-", while "foo-\nbar" is "foobar".
    """
    while last := text.rsplit(None, 1)[-1:]:
        end = text.rfind(last[0])
        if not (end and text[end - 1] == "\n" and _ends_in_hyphen(text[: end - 1])):
            return end
        text = text[:end]
    return 0


def _ends_in_hyphen(text: str) -> bool:
    while text[-9:].lower() == "<skipped>":
        text = text[:-9]
    return text.endswith("-")
