"""Features of nodes: vectors of their texts by a frozen encoder, computed once and mapped into memory.

A vector's key is the model's hash and the text's: another model, or the same one with other weights, never finds it.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import attrs
import numpy as np

from prodmatch_core.components.encoder import Encoder
from prodmatch_core.data.corpus import Corpus
from prodmatch_core.errors import ConfigError
from prodmatch_core.locking import exclusive
from prodmatch_core.training.embedding import Embedder

CHUNK = 16_384
"Texts computed before the store is written to: what an interrupted computation loses at the most."

Compute = Callable[[np.ndarray], np.ndarray]
"Positions in a list of texts, (n,) int64 -> their vectors, (n, width) float32."


@attrs.frozen(eq=False)
class Features:
    """Vectors of nodes: rows of a table that may be a file mapped into memory."""

    table: np.ndarray
    "(rows, width) float32."
    rows: np.ndarray
    "(nodes,) int64 row of each node."

    @classmethod
    def of(cls, table: np.ndarray) -> Features:
        """Return the features of nodes that are the rows of a table."""
        return cls(table, np.arange(len(table)))

    @property
    def width(self) -> int:
        """Return the size of a vector."""
        return self.table.shape[1]

    def take(self, nodes: np.ndarray) -> np.ndarray:
        """Return the vectors of nodes, (n, width) float32, read now."""
        return np.asarray(self.table[self.rows[nodes]])


def model_hash(encoder: Encoder) -> str:
    """Return a hash of an encoder: of its class, its weights and whatever else it saves."""
    digest = hashlib.sha256(f"{type(encoder).__module__}.{type(encoder).__qualname__}".encode())
    for name, tensor in sorted(encoder.state_dict().items()):
        array = tensor.detach().cpu().numpy()
        digest.update(f"{name}{array.dtype}{array.shape}".encode() + np.ascontiguousarray(array).tobytes())
    with tempfile.TemporaryDirectory() as folder:
        encoder.save_assets(Path(folder))
        for file in sorted(path for path in Path(folder).rglob("*") if path.is_file()):
            digest.update(str(file.relative_to(folder)).encode() + file.read_bytes())
    return digest.hexdigest()


def text_hashes(texts: Sequence[str]) -> np.ndarray:
    """Return a 64-bit hash of each text, (n,) uint64."""
    words = b"".join(hashlib.blake2b(text.encode(), digest_size=8).digest() for text in texts)
    return np.frombuffer(words, dtype="<u8")


@attrs.frozen
class FeatureStore:
    """A folder of vectors: below it, one folder a model with `vectors.bin` and `texts.bin`, row by row.

    Rows are appended and never changed, vectors before hashes, so that what an interruption cuts off is not there.
    """

    folder: Path

    def vectors(self, texts: Sequence[str], model: str, width: int, compute: Compute) -> Features:
        """Return the vectors of texts, mapped into memory, computing those that are not there.

        Args:
            texts: in any order; equal ones are one row of the store.
            model: what `model_hash` says of the model that `compute` asks.
            width: size of a vector.
            compute: called for texts that the store lacks, at most CHUNK at a time.

        Raises:
            ConfigError: the folder cannot be made or written to.
            RunError: another process is writing to it.
        """
        folder = self.folder.expanduser() / model[:32]
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with exclusive(folder / "lock", f"the store of node features {folder}"):
                keys, wanted = self._whole(folder, width), text_hashes(texts)
                missing = np.flatnonzero(~np.isin(wanted, keys))
                missing = missing[np.unique(wanted[missing], return_index=True)[1]]
                for start in range(0, len(missing), CHUNK):
                    rows = missing[start : start + CHUNK]
                    _append(folder / "vectors.bin", compute(rows).astype("<f4"))
                    _append(folder / "texts.bin", wanted[rows])
                keys = self._whole(folder, width)
        except OSError as error:
            raise ConfigError(
                f"{folder}: node features cannot be kept there: {error.strerror}. Name another folder as store, or "
                "none."
            ) from error
        if not len(wanted):
            return Features.of(np.empty((0, width), dtype=np.float32))
        table = np.memmap(folder / "vectors.bin", "<f4", "r", shape=(len(keys), width))
        order = np.argsort(keys)
        return Features(table, order[np.searchsorted(keys, wanted, sorter=order)])

    @staticmethod
    def _whole(folder: Path, width: int) -> np.ndarray:
        """Return the hashes of the rows that are whole in both files, and cut off what is not."""
        sizes = {"texts.bin": 8, "vectors.bin": 4 * width}
        paths = [folder / name for name in sizes]
        rows = min(
            path.stat().st_size // size if path.exists() else 0
            for path, size in zip(paths, sizes.values(), strict=True)
        )
        for path, size in zip(paths, sizes.values(), strict=True):
            if path.exists() and path.stat().st_size != rows * size:
                with path.open("r+b") as stream:
                    stream.truncate(rows * size)
        return np.fromfile(paths[0], "<u8") if rows else np.empty(0, dtype="<u8")


def _append(path: Path, rows: np.ndarray) -> None:
    with path.open("ab") as stream:
        stream.write(np.ascontiguousarray(rows).tobytes())
        stream.flush()


def node_features(encoder: Encoder, texts: Corpus, fields: Sequence[str], store: str) -> Features:
    """Return the vectors of the nodes' texts, queries after products as nodes are numbered.

    Args:
        encoder: frozen; gives embeddings.
        texts: a row a node: products, then queries.
        fields: what the encoder reads of a product, for the keys of the store.
        store: folder of the store, or "".
    """
    embedder = Embedder(encoder, encoder.prepare(texts))
    products = texts.products.height

    def compute(rows: np.ndarray) -> np.ndarray:
        found = np.empty((len(rows), encoder.width), dtype=np.float32)
        is_product = rows < products
        found[is_product] = embedder.products(rows[is_product])
        found[~is_product] = embedder.queries(rows[~is_product] - products)
        return found

    if not store:
        return Features.of(compute(np.arange(products + texts.queries.height)))
    # The side is part of a text's key: an encoder may read a query in another way than a title.
    keys = [f"p\n{text}" for text in texts.product_texts(fields)]
    keys += [f"q\n{text}" for text in texts.query_texts(fields)]
    return FeatureStore(Path(store)).vectors(keys, model_hash(encoder), encoder.width, compute)
