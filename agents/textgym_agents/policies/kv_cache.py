"""Keys and values of a batch of growing contexts, in buffers that a step writes one column of.

A buffer row belongs to one context, and a column to one step: a step writes the newest token of
every row into the same column, so nothing is copied or concatenated. Which columns a row may
attend to is a matter of its mask, and where a token stands in its text a matter of its position
id; a column a row does not use costs it nothing but width.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers.cache_utils import Cache, CacheLayerMixin

_IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Write:
    """What a forward pass does with its new keys and values.

    Attributes:
        column: The first column it writes.
        attend_from: The first column it attends to; None: to its own tokens alone.
        attend_to: The column it attends up to, if it writes all rows; None: the last that it
            writes. Whole buffers are read several times faster than parts of each head's columns.
        rows: int64 ``[R]``, the rows it writes; None: all, in order.
        source: int64 ``[R]``, which sequence of the batch goes to each row; None: the ``i``-th
            to the ``i``-th.
    """

    column: int
    attend_from: int | None
    attend_to: int | None = None
    rows: Tensor | None = None
    source: Tensor | None = None


class BufferLayer(CacheLayerMixin):  # type: ignore[no-untyped-call]
    """One layer's buffers, ``[rows, heads, columns, head width]``.

    Attention reads a row's heads one after another, so a head's columns lie side by side.
    """

    is_sliding = False

    def __init__(self, num_rows: int, num_columns: int, dtype: torch.dtype) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._shape = (num_rows, num_columns)
        self._dtype = dtype
        self.write = Write(column=0, attend_from=None)

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
        write, new = self.write, self._kept(new)
        end = write.column + new.shape[2]
        if write.rows is None:
            buffer[:, :, write.column : end] = new
            return buffer[:, :, write.attend_from : write.attend_to or end]
        buffer[write.rows, :, write.column : end] = (
            new if write.source is None else new[write.source]
        )
        if write.attend_from is None:
            return new
        return buffer[write.rows, :, write.attend_from : end]

    def _kept(self, states: Tensor) -> Tensor:
        """In the type of the buffers: rotary embeddings make float32 keys under autocast."""
        return states.to(self._dtype) if states.is_floating_point() else states

    def relayout(self, rows: Tensor, columns: Tensor | slice, end: int, num_columns: int) -> None:
        """Move columns so that they end right before ``end``, into buffers of another size.

        Args:
            rows: int64 ``[R, 1]``, the old row of each new one.
            columns: int64 ``[R, C]``, the old columns of each; a slice: those of every row, and
                the rows stay as they are.
            end: The column after the last of them in the new buffers.
            num_columns: Of the new buffers.
        """
        self._shape = (len(rows), num_columns)
        if self.keys is not None and self.values is not None:
            self.keys = self._moved(self.keys, rows, columns, end)
            self.values = self._moved(self.values, rows, columns, end)

    def _moved(self, buffer: Tensor, rows: Tensor, columns: Tensor | slice, end: int) -> Tensor:
        if isinstance(columns, slice):
            live = buffer[:, :, columns]
        else:
            live = buffer[rows, :, columns].transpose(1, 2)
        start, shape = end - live.shape[2], self._shape
        moved = buffer.new_empty((shape[0], buffer.shape[1], shape[1], buffer.shape[3]))
        moved[:, :, :start], moved[:, :, start:end], moved[:, :, end:] = 0, live, 0
        return moved

    def drop(self, holes: Tensor, last: Tensor, count: int) -> None:
        """Keep ``count`` rows; see `KeyValueBuffer.drop`."""
        self._shape = (count, self._shape[1])
        if self.keys is not None and self.values is not None:
            for buffer in (self.keys, self.values):
                buffer[holes] = buffer[last]
            self.keys, self.values = self.keys[:count], self.values[:count]

    def get_seq_length(self) -> int:
        """The number of columns that the next token attends to, besides its own."""
        return 0 if self.write.attend_from is None else self.write.column - self.write.attend_from

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """The length and the offset of the mask that ``query_length`` new tokens need."""
        return self.get_seq_length() + query_length, 0

    def get_max_length(self) -> int:
        """The number of columns."""
        return self._shape[1]


def _zeros_like(states: Tensor, shape: tuple[int, int]) -> Tensor:
    rows, columns = shape
    return states.new_zeros((rows, states.shape[1], columns, states.shape[3]))


class KeyValueBuffer:
    """The buffers of all layers, the mask of each row, and the next free column.

    Args:
        num_layers: Decoder layers.
        num_rows: Contexts.
        num_columns: Columns to allocate.
        dtype: The floating-point type of keys, values and the mask.
        device: Where the buffers live.

    Attributes:
        head: The next column a step writes.
        bias: ``[rows, columns]``, what is added to the attention scores: 0 where a row has a
            token of its context, the lowest number elsewhere.
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
        self.cache = Cache(layers=list(self._layers))
        self.never = torch.finfo(dtype).min
        self.head = 0
        self.num_columns = num_columns
        self.bias = torch.full((num_rows, num_columns), self.never, dtype=dtype, device=device)

    def clear(self) -> None:
        """Forget everything, but keep the memory."""
        self.bias.fill_(self.never)
        self.head = 0

    def plan(self, write: Write) -> Cache:
        """The cache, which will do as ``write`` says in the next forward pass."""
        for layer in self._layers:
            layer.write = write
        return self.cache

    def show(self, rows: Tensor, first: _IntArray, lengths: _IntArray) -> None:
        """Let each of the ``rows`` attend to exactly ``lengths`` more columns from ``first``."""
        columns = np.arange(self.num_columns)
        shown = (columns >= first[:, None]) & (columns < (first + lengths)[:, None])
        old = self.bias[rows]
        self.bias[rows] = old.masked_fill(torch.from_numpy(shown).to(old.device), 0.0)

    def hide(self, rows: Tensor, from_column: _IntArray) -> None:
        """Let each of the ``rows`` attend to nothing at or after its ``from_column``."""
        hidden = np.arange(self.num_columns) >= from_column[:, None]
        old = self.bias[rows]
        self.bias[rows] = old.masked_fill(torch.from_numpy(hidden).to(old.device), self.never)

    def drop(self, holes: Tensor, last: Tensor, count: int) -> None:
        """Keep the first ``count`` rows, and the memory of the others until the next `relayout`.

        Args:
            holes: int64 ``[K]``, those of the first rows that are given up.
            last: int64 ``[K]``, the later rows that take their places.
            count: Rows that stay.
        """
        for layer in self._layers:
            layer.drop(holes, last, count)
        self.bias[holes] = self.bias[last]
        self.bias = self.bias[:count]

    def relayout(
        self, rows: _IntArray, columns: _IntArray, lengths: _IntArray, head: int, num_columns: int
    ) -> None:
        """Move the live columns so that each row's end right before the new head.

        Args:
            rows: ``[R]``, the old row of each new row.
            columns: ``[R, C]``, the old columns, right-aligned; any column where there is none.
            lengths: ``[R]``, how many of the ``C`` columns are live.
            head: The new head, at least ``C``.
            num_columns: The new number of columns, more than the head.
        """
        device = self.bias.device
        where = torch.from_numpy(rows).to(device)[:, None]
        index: Tensor | slice = torch.from_numpy(columns).to(device)
        size, all_rows = columns.shape[1], np.arange(len(self.bias))
        first = int(columns[0, 0]) if size else 0
        if np.array_equal(rows, all_rows) and (columns == first + np.arange(size)).all():
            index = slice(first, first + size)
        for layer in self._layers:
            layer.relayout(where, index, head, num_columns)
        self.head, self.num_columns = head, num_columns
        live = (np.arange(num_columns) >= (head - lengths)[:, None]) & (
            np.arange(num_columns) < head
        )
        self.bias = torch.full(
            live.shape, self.never, dtype=self.bias.dtype, device=device
        ).masked_fill_(torch.from_numpy(live).to(device), 0.0)
