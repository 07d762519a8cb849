"""The two Executors of the example: one turns texts into vectors, one keeps and searches the vectors."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from docarray import BaseDoc, DocList
from docarray.typing import NdArray
from jina import Executor, requests
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer
from usearch.index import Index


class Passage(BaseDoc):
    """A docstring and the object that it documents."""

    name: str
    first_line: str
    text: str


class EncodedPassage(Passage):
    """A passage and its unit-length vector."""

    embedding: NdArray


class Query(BaseDoc):
    """A question in plain words."""

    text: str


class EncodedQuery(Query):
    """A question and its unit-length vector."""

    embedding: NdArray


class Hit(BaseDoc):
    """One answer. ``score`` is the cosine similarity, at most 1."""

    name: str
    first_line: str
    score: float


class Answer(BaseDoc):
    """A question and its best answers, best first."""

    text: str
    hits: DocList[Hit]


class Receipt(BaseDoc):
    """What the index holds after a request."""

    size: int


def words_of(text: str) -> list[str]:
    """Lower-case words; ``camelCase``, ``snake_case`` and dotted names fall into their parts."""
    text = re.sub(r'(?<=[a-z])(?=[A-Z])', ' ', text)
    return re.findall(r'[a-z]{2,}|[0-9]+', text.lower())


class TextEncoder(Executor):
    """Latent semantic analysis: TF-IDF over words, then a truncated SVD, fitted on the corpus.

    Args:
        dimensions: Length of the vectors.
        seed: Seed of the randomised SVD.
    """

    def __init__(self, dimensions: int = 384, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        words = TfidfVectorizer(analyzer=words_of, sublinear_tf=True)
        svd = TruncatedSVD(dimensions, n_iter=2, random_state=seed)
        self.model = make_pipeline(words, svd, Normalizer(copy=False))

    @requests(on='/fit')
    def fit(self, docs: DocList[Passage], **kwargs: Any) -> DocList[Passage]:
        """Learn the vocabulary and the projection from the whole corpus, sent as one request."""
        self.model.fit([searchable(doc) for doc in docs])
        return DocList[Passage]()

    @requests(on='/index')
    def encode_passages(self, docs: DocList[Passage], **kwargs: Any) -> DocList[EncodedPassage]:
        vectors = self.encode([searchable(doc) for doc in docs])
        return DocList[EncodedPassage](
            EncodedPassage(id=doc.id, name=doc.name, first_line=doc.first_line, text=doc.text, embedding=vector)
            for doc, vector in zip(docs, vectors, strict=True)
        )

    @requests(on='/search')
    def encode_queries(self, docs: DocList[Query], **kwargs: Any) -> DocList[EncodedQuery]:
        vectors = self.encode([doc.text for doc in docs])
        return DocList[EncodedQuery](
            EncodedQuery(id=doc.id, text=doc.text, embedding=vector) for doc, vector in zip(docs, vectors, strict=True)
        )

    def encode(self, texts: list[str]) -> np.ndarray[Any, np.dtype[np.float32]]:
        return np.asarray(self.model.transform(texts), dtype=np.float32)


def searchable(doc: Passage) -> str:
    """What is indexed of a passage: the words of the name and the start of the text."""
    return f'{doc.name} {doc.text[:2000]}'


class VectorIndexer(Executor):
    """Keeps vectors in a USearch index (cosine distance) and the texts in a list.

    Args:
        dimensions: Length of the vectors, as in :class:`TextEncoder`.
    """

    def __init__(self, dimensions: int = 384, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.index = Index(ndim=dimensions, metric='cos', dtype='f32')
        self.passages: list[tuple[str, str]] = []

    @requests(on='/index')
    def add(self, docs: DocList[EncodedPassage], **kwargs: Any) -> DocList[Receipt]:
        start = len(self.passages)
        self.passages.extend((doc.name, doc.first_line) for doc in docs)
        self.index.add(np.arange(start, len(self.passages)), np.stack([doc.embedding for doc in docs]))
        return DocList[Receipt]([Receipt(size=len(self.passages))])

    @requests(on='/search')
    def search(self, docs: DocList[EncodedQuery], parameters: dict[str, Any], **kwargs: Any) -> DocList[Answer]:
        top_k = int(parameters.get('top_k', 10))
        return DocList[Answer](Answer(id=doc.id, text=doc.text, hits=self.nearest(doc, top_k)) for doc in docs)

    def nearest(self, query: EncodedQuery, top_k: int) -> DocList[Hit]:
        matches = self.index.search(np.asarray(query.embedding), top_k)
        return DocList[Hit](
            Hit(
                name=self.passages[match.key][0],
                first_line=self.passages[match.key][1],
                score=1 - float(match.distance),
            )
            for match in matches
        )
