"""Keys and values of a batch of growing contexts, in buffers where each token has its own place.

A buffer row belongs to one context, and a column to one position: the token at position 7 of any
context stands in column 7. So nothing moves while contexts grow at paces of their own, and what a
token may attend to is the columns up to its own. Columns beyond are masked, and cost width alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from transformers.cache_utils import Cache, CacheLayerMixin


@dataclass(frozen=True, slots=True)
class Write:
    """What a forward pass of ``B`` sequences of ``q`` tokens does with its new keys and values.

    Attributes:
        rows: int64 ``[M]``, the row of each token that is stored.
        columns: int64 ``[M]``, its column.
        tokens: int64 ``[M]``, which of the ``B * q`` tokens it is; None: the ``i``-th of ``B``.
        width: How many columns to attend to; None: to the sequence's own tokens alone. Whole
            buffers are read several times faster than parts of each head's columns.
        sequences: int64 ``[B]``, the row of each sequence, or one of those that share it; None: all
            rows in order.
    """

    rows: Tensor
    columns: Tensor
    tokens: Tensor | None = None
    width: int | None = None
    sequences: Tensor | None = None


class BufferLayer(CacheLayerMixin):  # type: ignore[no-untyped-call]
    """One layer's buffers, ``[rows, heads, columns, head width]``.

    Attention reads a row's heads one after another, so a head's columns lie side by side.
    """

    is_sliding = False

    def __init__(self, num_rows: int, num_columns: int, dtype: torch.dtype) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._shape = (num_rows, num_columns)
        self._dtype = dtype
        self.write: Write | None = None

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Allocate the buffers; zeros, since whatever is masked must still be finite."""
        self.keys = _zeros_like(self._kept(key_states), self._shape)
        self.values = _zeros_like(self._kept(value_states), self._shape)
        self.is_initialized = True

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        """Store ``[B, heads, q, width]`` as `write` says; what to attend to, in that layout."""
        if self.keys is None or self.values is None:
            self.lazy_initialization(key_states, value_states)
        assert self.keys is not None and self.values is not None
        return self._store(self.keys, key_states), self._store(self.values, value_states)

    def _store(self, buffer: Tensor, new: Tensor) -> Tensor:
        write, new = self._planned, self._kept(new)
        if write.tokens is None:
            stored = new[:, :, 0]
        else:
            stored = new.transpose(1, 2).flatten(0, 1)[write.tokens]
        buffer[write.rows, :, write.columns] = stored
        if write.width is None:
            return new
        if write.sequences is None:
            return buffer[:, :, : write.width]
        return buffer[write.sequences, :, : write.width]

    @property
    def _planned(self) -> Write:
        assert self.write is not None, "KeyValueBuffer.plan comes before a forward pass"
        return self.write

    def _kept(self, states: Tensor) -> Tensor:
        """In the type of the buffers: rotary embeddings make float32 keys under autocast."""
        return states.to(self._dtype)

    def move(self, rows: Tensor | None, live: int, num_columns: int) -> None:
        """Move into buffers of another size; see `KeyValueBuffer.move`."""
        self._shape = (self._shape[0] if rows is None else len(rows), num_columns)
        if self.keys is not None and self.values is not None:
            self.keys = self._moved(self.keys, rows, live)
            self.values = self._moved(self.values, rows, live)

    def _moved(self, buffer: Tensor, rows: Tensor | None, live: int) -> Tensor:
        moved = buffer.new_empty((self._shape[0], buffer.shape[1], self._shape[1], buffer.shape[3]))
        kept = buffer[:, :, :live]
        moved[:, :, :live], moved[:, :, live:] = kept if rows is None else kept[rows], 0
        return moved

    def drop(self, holes: Tensor, last: Tensor, count: int) -> None:
        """Keep ``count`` rows; see `KeyValueBuffer.drop`."""
        self._shape = (count, self._shape[1])
        if self.keys is not None and self.values is not None:
            for buffer in (self.keys, self.values):
                buffer[holes] = buffer[last]
            self.keys, self.values = self.keys[:count], self.values[:count]

    def get_seq_length(self) -> int:
        """0, since masks and positions are given to the model."""
        return 0

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """The length and the offset of the mask that ``query_length`` new tokens need."""
        width = self._planned.width
        return (query_length if width is None else width), 0

    def get_max_length(self) -> int:
        """The number of columns."""
        return self._shape[1]


def _zeros_like(states: Tensor, shape: tuple[int, int]) -> Tensor:
    rows, columns = shape
    return states.new_zeros((rows, states.shape[1], columns, states.shape[3]))


class KeyValueBuffer:
    """The buffers of all layers.

    Args:
        num_layers: Decoder layers.
        num_rows: Contexts.
        num_columns: Columns to allocate.
        dtype: The floating-point type of keys, values and masks.
        device: Where the buffers live.

    Attributes:
        num_columns: Columns there are.
        cache: What a transformers model takes as ``past_key_values``.
    """

    def __init__(
        self,
        num_layers: int,
        num_rows: int,
        num_columns: int,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        self._layers = [BufferLayer(num_rows, num_columns, dtype) for _ in range(num_layers)]
        self._dtype, self._device = dtype, device
        self.cache = Cache(layers=list(self._layers))
        self.num_columns = num_columns

    def clear(self) -> None:
        """Put zeros everywhere: of weights that were NaN, even what is masked would show."""
        for layer in self._layers:
            for buffer in (layer.keys, layer.values):
                if buffer is not None:
                    buffer.zero_()

    def plan(self, write: Write) -> Cache:
        """The cache, which will do as ``write`` says in the next forward pass."""
        for layer in self._layers:
            layer.write = write
        return self.cache

    def mask(self, positions: Tensor, width: int) -> Tensor:
        """What to add to the attention scores of tokens that attend to ``width`` columns.

        Args:
            positions: int64 ``[B, q]``, those of the tokens.
            width: See there.

        Returns:
            ``[B, 1, q, width]``, 0 up to a token's own column, and the lowest number beyond.
        """
        beyond = torch.arange(width, device=self._device) > positions[:, None, :, None]
        nothing = torch.zeros((), dtype=self._dtype, device=self._device)
        return nothing.expand(beyond.shape).masked_fill(beyond, torch.finfo(self._dtype).min)

    def drop(self, holes: Tensor, last: Tensor, count: int) -> None:
        """Keep the first ``count`` rows, and the memory of the others until the next `move`.

        Args:
            holes: int64 ``[K]``, those of the first rows that are given up.
            last: int64 ``[K]``, the later rows that take their places.
            count: Rows that stay.
        """
        for layer in self._layers:
            layer.drop(holes, last, count)

    def move(self, rows: Tensor | None, live: int, num_columns: int) -> None:
        """Move the first ``live`` columns of ``rows`` into buffers of another size.

        Args:
            rows: int64 ``[R]``, the old row of each new one; None: the rows stay as they are.
            live: Columns that are kept.
            num_columns: Of the new buffers, at least ``live``.
        """
        for layer in self._layers:
            layer.move(rows, live, num_columns)
        self.num_columns = num_columns
