"""Round trips, and streaming decode that equals full decode, for every kind of tokenizer."""

from __future__ import annotations

import copy
import json
import os
import pickle
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import tokenizers
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import GPT2Config, PreTrainedTokenizerFast

from textgym.tokenizers import HuggingFaceTokenizer, SymbolTokenizer, Tokenizer, load_tokenizer
from textgym.tokenizers.frames import SpecialTokens, frame_of

TEXTS = [
    "The quick brown fox doesn't jump over the lazy dog, does it? No. (It can't!)",
    "Zwei junge weiße Männer gehen über die Straße und grüßen einen Bäcker.",
    "Ein Mädchen liest ein Buch; die Mutter schläft.   Drei Leerzeichen, \n eine Zeile.",
    "low lower lowest new newer newest wide wider widest",
] * 3
ADVERSARIAL = "Grüße 你好 👩‍👩‍👧 e\u0301 \u0000\t\r\n  <|endoftext|></s>[SEP]<pad> \ufffd naïve"


def byte_level(specials: list[str]) -> tokenizers.Tokenizer:
    made = tokenizers.Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=340,
        special_tokens=specials,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    made.train_from_iterator(TEXTS, trainer)
    return made


def byte_fallback() -> tokenizers.Tokenizer:
    """Llama 2's kind: a BPE over "▁", bytes for what is not in it."""
    specials = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    made = tokenizers.Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    made.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    made.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    trainer = trainers.BpeTrainer(vocab_size=360, special_tokens=specials, show_progress=False)
    made.train_from_iterator(TEXTS, trainer)
    config = json.loads(made.to_str())  # the bytes were special to the trainer alone
    config["added_tokens"] = config["added_tokens"][:3]
    return tokenizers.Tokenizer.from_str(json.dumps(config))


def unigram() -> tokenizers.Tokenizer:
    """T5's kind: SentencePiece unigrams with "▁" for a space."""
    made = tokenizers.Tokenizer(models.Unigram())
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=200,
        special_tokens=["<pad>", "</s>", "<unk>"],
        unk_token="<unk>",
        show_progress=False,
    )
    made.train_from_iterator(TEXTS, trainer)
    return made


def wordpiece() -> tokenizers.Tokenizer:
    """BERT's kind: "##" joins, the decoder cleans up before punctuation, no EOS but [SEP]."""
    made = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=False)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.WordPiece()
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = trainers.WordPieceTrainer(
        vocab_size=250, special_tokens=specials, show_progress=False
    )
    made.train_from_iterator(TEXTS, trainer)
    return made


def word_ends() -> tokenizers.Tokenizer:
    """GPT-1's kind: "</w>" ends a word; no table decodes it, since the last token differs."""
    made = tokenizers.Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"))
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.BPEDecoder("</w>")
    trainer = trainers.BpeTrainer(
        vocab_size=200,
        special_tokens=["<unk>", "<eos>"],
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    made.train_from_iterator(TEXTS, trainer)
    return made


def slow_sentencepiece() -> Any:
    """A tokenizer in Python around the sentencepiece library."""
    import sentencepiece
    from transformers import SpeechT5Tokenizer

    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model.spm"
        with model.open("wb") as file:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=iter(TEXTS),
                model_writer=file,
                vocab_size=120,
                hard_vocab_limit=False,
                minloglevel=2,
            )
        return SpeechT5Tokenizer(str(model))


@cache
def original(kind: str) -> Any:
    """A Hugging Face tokenizer of a kind, as its users hold it."""
    from transformers import ByT5Tokenizer, PreTrainedTokenizerFast

    eot = "<|endoftext|>"
    if kind == "byt5":
        return ByT5Tokenizer()
    if kind == "sentencepiece":
        return slow_sentencepiece()
    options = {
        "gpt2": (byte_level([eot]), {"eos_token": eot, "bos_token": eot, "unk_token": eot}),
        "gpt2-padded": (byte_level([eot]), {"eos_token": eot, "pad_token": eot}),
        "llama": (
            byte_fallback(),
            {"eos_token": "</s>", "bos_token": "<s>", "unk_token": "<unk>"},
        ),
        "t5": (unigram(), {"eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}),
        "bert": (
            wordpiece(),
            {
                "unk_token": "[UNK]",
                "sep_token": "[SEP]",
                "pad_token": "[PAD]",
                "cls_token": "[CLS]",
                "mask_token": "[MASK]",
            },
        ),
        "gpt1": (word_ends(), {"eos_token": "<eos>", "unk_token": "<unk>"}),
    }
    backend, tokens = options[kind]
    return PreTrainedTokenizerFast(tokenizer_object=backend, **tokens)


@cache
def adapted(kind: str) -> Tokenizer:
    if kind == "bundled":
        return load_tokenizer()
    if kind == "symbols":
        return load_tokenizer("symbols:a b c d")
    return load_tokenizer(original(kind))


HUGGING_FACE = ["gpt2", "gpt2-padded", "llama", "t5", "bert", "gpt1", "byt5", "sentencepiece"]
KINDS = ["bundled", "symbols", *HUGGING_FACE]
ANY_TEXT = ["bundled", "gpt2", "llama", "byt5"]

THOROUGH = settings(deadline=None, max_examples=300)
raw_ids = st.lists(st.integers(0, 10**6), max_size=40)


def ids_of(tokenizer: Tokenizer, raw: list[int]) -> list[int]:
    return [number % tokenizer.vocab_size for number in raw]


@pytest.mark.parametrize("kind", KINDS)
@THOROUGH
@given(raw=raw_ids)
def test_stream_equals_decode_up_to_an_unfinished_character(kind: str, raw: list[int]) -> None:
    tokenizer = adapted(kind)
    ids = ids_of(tokenizer, raw)
    stream, text = tokenizer.stream(), ""
    for count, token_id in enumerate(ids, start=1):
        text += stream.append(token_id)
        full = tokenizer.decode(ids[:count])
        assert full.startswith(text)
        assert set(full[len(text) :]) <= {"\ufffd"} and len(full) - len(text) <= 3
    assert text + stream.flush() == tokenizer.decode(ids)


@pytest.mark.parametrize("kind", KINDS)
@THOROUGH
@given(texts=st.lists(raw_ids, max_size=5))
def test_a_batch_decodes_like_its_texts(kind: str, texts: list[list[int]]) -> None:
    tokenizer = adapted(kind)
    ids = [[*ids_of(tokenizer, raw), tokenizer.pad_id] for raw in texts]
    joined = np.array([i for text in ids for i in text], np.int64)
    decoded = tokenizer.decode_batch(joined, [len(text) for text in ids])
    assert decoded == [tokenizer.decode(text) for text in ids]
    assert tokenizer.decode_batch(joined[:0], [0, 0]) == ["", ""]
    with pytest.raises(ValueError, match="no token id -7"):
        tokenizer.decode_batch(np.array([-7]), [1])


@pytest.mark.parametrize("kind", ANY_TEXT)
@THOROUGH
@example(text=ADVERSARIAL)
@given(text=st.text(max_size=60))
def test_any_text_round_trips(kind: str, text: str) -> None:
    if kind == "llama":
        text = text.replace("▁", "")  # its own sign for a space
    tokenizer = adapted(kind)
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert not tokenizer.illegal_ids.intersection(ids) and tokenizer.eos_id not in ids
    stream = tokenizer.stream()
    assert "".join([*map(stream.append, ids), stream.flush()]) == text


@pytest.mark.parametrize("kind", ["t5", "bert", "gpt1", "sentencepiece"])
def test_text_of_known_words_round_trips(kind: str) -> None:
    tokenizer = adapted(kind)
    for text in ("low newer widest", "Ein Buch"):
        assert tokenizer.decode(tokenizer.encode(text)) == text


@pytest.mark.parametrize("kind", ["gpt2", "t5", "bert", "gpt1", "byt5", "sentencepiece"])
@THOROUGH
@given(raw=raw_ids)
def test_decode_equals_hugging_face(kind: str, raw: list[int]) -> None:
    tokenizer = adapted(kind)
    ids = ids_of(tokenizer, raw)
    assert tokenizer.decode(ids) == original(kind).decode(
        ids, skip_special_tokens=True, clean_up_tokenization_spaces=False
    )


@THOROUGH
@given(raw=raw_ids, text=st.text(max_size=20))
def test_byte_fallback_equals_hugging_face_where_bytes_are_text(raw: list[int], text: str) -> None:
    tokenizer = adapted("llama")
    words = [i for i in ids_of(tokenizer, raw) if not 3 <= i < 259]
    ids = words + tokenizer.encode(text) + words
    assert tokenizer.decode(ids) == original("llama").decode(ids, skip_special_tokens=True)


def test_byte_fallback_keeps_characters_that_came_before_a_bad_byte() -> None:
    tokenizer = adapted("llama")
    ids = [3 + byte for byte in "你".encode()]
    assert tokenizer.decode([*ids, 3 + 0xFF]) == "你\ufffd"
    stream = tokenizer.stream()
    assert [stream.append(i) for i in [*ids, 3 + 0xFF]] == ["", "", "你", "\ufffd"]


def test_long_streams_of_bad_bytes_stay_exact_and_bounded() -> None:
    tokenizer = adapted("gpt1")
    ids = [2 + (7 * i) % (tokenizer.vocab_size - 2) for i in range(500)]
    stream = tokenizer.stream()
    text = "".join([*map(stream.append, ids), stream.flush()])
    assert text == original("gpt1").decode(ids, skip_special_tokens=True)
    assert len(stream._window) <= 16


@pytest.mark.parametrize("kind", KINDS)
def test_vocabulary(kind: str) -> None:
    tokenizer = adapted(kind)
    assert 0 <= tokenizer.eos_id < tokenizer.vocab_size
    assert tokenizer.eos_id not in tokenizer.illegal_ids
    assert all(0 <= i < tokenizer.vocab_size for i in tokenizer.illegal_ids)
    assert tokenizer.pad_id == tokenizer.vocab_size or tokenizer.pad_id in tokenizer.illegal_ids
    if kind in HUGGING_FACE:
        assert tokenizer.vocab_size == len(original(kind))
    assert tokenizer.decode([tokenizer.eos_id, tokenizer.pad_id]) == ""


def test_special_tokens_of_each_kind() -> None:
    assert adapted("gpt2").pad_id == adapted("gpt2").vocab_size  # it has no padding token
    assert adapted("gpt2").illegal_ids == frozenset()  # bos, unk and eos are one token
    assert adapted("gpt2-padded").pad_id == adapted("gpt2-padded").vocab_size  # pad is EOS
    assert adapted("t5").pad_id == 0 and adapted("t5").eos_id == 1
    assert adapted("t5").illegal_ids == {0, 2}
    assert adapted("bert").eos_id == 3  # [SEP], for want of an EOS
    assert adapted("bert").illegal_ids == {0, 1, 2, 4}
    assert adapted("llama").illegal_ids == {0, 1}
    assert adapted("bundled").illegal_ids == {adapted("bundled").pad_id}


def test_bundled_size_and_streaming_within_a_character() -> None:
    tokenizer = adapted("bundled")
    assert 1000 <= tokenizer.vocab_size <= 2000
    ids = [tokenizer.encode(chr(0x1F469))[0]]
    stream = tokenizer.stream()
    assert stream.append(ids[0]) == "" and stream.flush() == "\ufffd"


@pytest.mark.parametrize("kind", ["bundled", "gpt2", "t5", "bert", "gpt1", "byt5", "symbols"])
def test_copies_work_alike(kind: str) -> None:
    tokenizer = adapted(kind)
    text = "a b" if kind == "symbols" else "low <|endoftext|> newer </s>"
    ids = tokenizer.encode(text)
    for other in (copy.deepcopy(tokenizer), pickle.loads(pickle.dumps(tokenizer))):
        assert other.encode(text) == ids
        assert other.decode(ids) == tokenizer.decode(ids)
        assert other.illegal_ids == tokenizer.illegal_ids


@pytest.mark.parametrize("kind", ["bundled", "llama", "gpt1", "symbols"])
def test_streams_can_be_copied_in_the_middle(kind: str) -> None:
    tokenizer = adapted(kind)
    ids = ids_of(tokenizer, list(range(1, 900, 29)))
    stream = tokenizer.stream()
    head = "".join(map(stream.append, ids[:13]))
    for other in (copy.deepcopy(stream), pickle.loads(pickle.dumps(stream))):
        tail = "".join([*map(other.append, ids[13:]), other.flush()])
        assert head + tail == tokenizer.decode(ids)


def test_users_padding_and_truncation_stay_out() -> None:
    backend = byte_level(["<|endoftext|>"])
    backend.enable_truncation(3)
    backend.enable_padding(length=8)
    tokenizer = load_tokenizer(backend)
    assert tokenizer.decode(tokenizer.encode(ADVERSARIAL)) == ADVERSARIAL
    assert backend.truncation is not None  # the user's object is left as it was


def test_files_and_folders(tmp_path: Path) -> None:
    fast = original("t5")
    fast.save_pretrained(tmp_path)
    for spec in (tmp_path, str(tmp_path), tmp_path / "tokenizer.json"):
        tokenizer = load_tokenizer(spec)
        assert (tokenizer.eos_id, tokenizer.pad_id) == (1, 0)
        assert tokenizer.name == str(spec)
    assert load_tokenizer(tmp_path) is load_tokenizer(tmp_path)
    path = tmp_path / "tokenizer.json"
    before = load_tokenizer(path)
    time_ns = path.stat().st_mtime_ns + 10**9
    byte_level(["<|endoftext|>"]).save(str(path))
    os.utime(path, ns=(time_ns, time_ns))
    assert load_tokenizer(path).vocab_size != before.vocab_size


def test_a_prompt_has_around_it_what_the_tokenizer_puts_there() -> None:
    """As transformers' own call gives it; an answer and a reply have none of it."""
    template = processors.TemplateProcessing(
        single="<s> $A </s> </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    backend = byte_fallback()
    backend.post_processor = template
    wrap: Any = PreTrainedTokenizerFast
    names = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    for made in (backend, wrap(tokenizer_object=backend, **names)):
        tokenizer = load_tokenizer(made)
        assert isinstance(tokenizer, HuggingFaceTokenizer)
        frame = tokenizer.frame
        assert isinstance(frame, SpecialTokens)
        assert (frame.before, frame.after) == ((1,), (2, 2))
        options = {"task": [{"prompt": "low lower", "reference": "new"}], "tokenizer": tokenizer}
        options["demonstrations"] = True
        length = len(tokenizer.encode("low lower\n")) + 3
        for limit in (length, length - 2):
            envs = gym.make_vec(
                "textgym:textgym/Text-v0",
                2,
                **options,
                max_prompt_tokens=limit,
                prompt_overflow="truncate",
            )
            shown, infos = envs.reset(seed=0)
            body = tokenizer.encode("low lower\n")[length - limit :]
            assert shown[0, :limit].tolist() == [1, *body, 2, 2]
            assert infos["expert_action"][0] == tokenizer.encode("new")[0]
    framed = wrap(tokenizer_object=backend, **names)("low lower\n").input_ids
    assert framed == [1, *tokenizer.encode("low lower\n"), 2, 2]
    assert not frame_of(adapted("bundled")).ids
    assert not frame_of(SymbolTokenizer("ab")).ids


def test_special_tokens_are_found_around_whatever_the_tokenizer_knows() -> None:
    """Though not a letter a, and no token for what is unknown."""
    bases = tokenizers.Tokenizer(models.BPE({"<s>": 0, "</s>": 1, "A": 2, "C": 3, "G": 4}, []))
    bases.add_special_tokens(["<s>", "</s>"])
    ends = [("<s>", 0), ("</s>", 1)]
    bases.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=ends)
    assert frame_of(load_tokenizer(bases)).prompt("CAG") == [0, 3, 2, 4, 1]
    moves = tokenizers.Tokenizer(models.WordLevel({"up": 0, "down": 1, "</s>": 2}))
    moves.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    assert frame_of(load_tokenizer(moves)).prompt("down up") == [1, 0]


def test_a_padding_token_that_stands_before_prompts_is_none() -> None:
    backend = byte_fallback()
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 1)]
    )
    names = {"bos_token": "<s>", "pad_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    wrap: Any = PreTrainedTokenizerFast
    tokenizer = load_tokenizer(wrap(tokenizer_object=backend, **names))
    assert tokenizer.pad_id == tokenizer.vocab_size and 1 in tokenizer.illegal_ids


@pytest.mark.parametrize("kind", ["bundled", *HUGGING_FACE])
def test_what_is_saved_is_what_transformers_finds(kind: str, tmp_path: Path) -> None:
    tokenizer = adapted(kind)
    assert isinstance(tokenizer, HuggingFaceTokenizer)
    tokenizer.save_pretrained(tmp_path)
    again = load_tokenizer(tmp_path)
    assert (again.eos_id, again.vocab_size) == (tokenizer.eos_id, tokenizer.vocab_size)
    assert again.encode("low lower") == tokenizer.encode("low lower")


def test_a_folder_without_a_tokenizer_is_no_tokenizer(tmp_path: Path) -> None:
    """Of a model's folder AutoTokenizer makes an empty one."""
    GPT2Config(vocab_size=50).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"has no tokens but special ones.*save_pretrained"):
        load_tokenizer(tmp_path)


def test_ids_with_gaps(tmp_path: Path) -> None:
    backend = tokenizers.Tokenizer(models.WordLevel({"a": 0, "<eos>": 5, "b": 3}, unk_token="a"))
    backend.add_special_tokens(["<eos>"])
    tokenizer = load_tokenizer(backend)
    assert tokenizer.vocab_size == 6 and tokenizer.illegal_ids == {1, 2, 4}
    assert tokenizer.decode([0, 3, 1, 0]) == "a b a"  # joined by spaces, there is no decoder


def test_eos_can_be_named() -> None:
    backend = tokenizers.Tokenizer(models.WordLevel({"a": 0, "stop": 1}, unk_token="a"))
    with pytest.raises(ValueError, match=r"no end-of-text token: set tokenizer\.eos_token"):
        load_tokenizer(backend)
    with pytest.raises(ValueError, match="no end-of-text token 'halt'"):
        HuggingFaceTokenizer(backend, eos_token="halt")
    assert HuggingFaceTokenizer(backend, eos_token="stop").eos_id == 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("token_id", [-1, 10**6])
def test_unknown_ids_are_named(kind: str, token_id: int) -> None:
    with pytest.raises(ValueError, match=rf"no token id {token_id}: its ids are 0\.\."):
        adapted(kind).decode([token_id])
    with pytest.raises((LookupError, ValueError), match=str(token_id)):
        adapted(kind).stream().append(token_id)


def test_load_errors_name_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no file or folder .*missing\.json"):
        load_tokenizer(tmp_path / "missing.json")
    broken = tmp_path / "broken.json"
    broken.write_text("{}")
    with pytest.raises(ValueError, match=r"broken\.json is not a tokenizer\.json"):
        load_tokenizer(broken)
    with pytest.raises(TypeError, match="expected a tokenizer"):
        load_tokenizer(3)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(ValueError, match=r"could not be loaded by transformers"):
        load_tokenizer(empty)


def test_loaded_tokenizers_are_passed_through() -> None:
    tokenizer = SymbolTokenizer("xyz")
    assert load_tokenizer(tokenizer) is tokenizer
    assert load_tokenizer() is load_tokenizer("bundled")


def test_symbols() -> None:
    tokenizer = SymbolTokenizer("abc")
    assert tokenizer.encode("c a =") == [2, 0, 4]
    assert tokenizer.decode([2, 0, 4, 3, 5]) == "c a ="
    assert (tokenizer.eos_id, tokenizer.vocab_size, tokenizer.pad_id) == (3, 5, 5)
    assert tokenizer.illegal_ids == {4}
    with pytest.raises(ValueError, match="'d' in 'a d' is not a symbol"):
        tokenizer.encode("a d")
    for symbols in ("aa", ["a b"], [""], "", ["="]):
        with pytest.raises(ValueError, match="symbols must be distinct"):
            SymbolTokenizer(symbols)


@pytest.mark.slow
@pytest.mark.xfail(
    strict=True,
    reason="the training splits have been drawn otherwise since it was made: 1,697 of its 1,726 "
    "merges are the script's of today; another one would need another bundled model",
)
def test_the_bundled_tokenizer_is_what_the_script_makes(tmp_path: Path) -> None:
    import subprocess
    import sys

    import textgym

    package = Path(textgym.__file__).parent
    script = Path(__file__).parents[2] / "scripts" / "train_tokenizer.py"
    if not script.exists():
        pytest.skip("scripts/ is not part of an installed package")
    output = tmp_path / "bpe.json"
    code = f"import sys, runpy; sys.path.insert(0, {str(package.parent)!r}); "
    code += f"sys.argv = ['x', '--output', {str(output)!r}]; "
    code += f"runpy.run_path({str(script)!r}, run_name='__main__')"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)
    assert output.read_bytes() == (package / "data" / "bpe.json").read_bytes()
