# cython: language_level=3, boundscheck=False, wraparound=False
"""Python face of the mixture's arithmetic (`mixing/mixing.h`). What it means is told in `mixture.py` and `tilt.py`."""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

import numpy as np

cdef extern from "mixing.h" nogil:
    int N_BEST, N_LAST, MOST_SLOTS, N_KINDS, N_LANGUAGES, HIDDEN, SECOND
    int N_CANDIDATE(int n_slots)
    int N_PLACE(int n_slots)
    ctypedef struct CEvidence "Evidence":
        const int64_t *slots
        const int64_t *buckets
        const int64_t *ids
        const double *shares
        int64_t n_slots, n_ids
    ctypedef struct CSources "Sources":
        int64_t n_vocabulary, n_slots, n_buckets
        const double *base
        const double *weights
        const CEvidence *evidence
        int64_t n_evidence
    ctypedef struct CTokens "Tokens":
        const uint8_t *kinds
        const uint8_t *closes
        const float *lengths
    ctypedef struct CPlace "Place":
        const uint16_t *before
        const uint16_t *after
        int64_t last[5]
        int64_t first, below
        int deeper, bracket, depth, quote, n_tokens, language, has_siblings
    ctypedef struct CSight "Sight":
        int n_best
        int64_t ids[24]
        double log_p[24]
        double log_rest
        float candidates[24][1]
        float place[1]
    ctypedef struct CNetwork "Network":
        const float *candidate
        const float *place
        const float *bias
        const float *second
        const float *second_bias
        const float *out
        const float *rest
        const float *rest_bias
    ctypedef struct CMatches "Matches":
        const uint32_t *tokens
        const int64_t *line_keys
        const int64_t *above
        const int64_t *below
        const int64_t *places
        const int64_t *lengths
        const int64_t *index
        const double *weights
        const int64_t *level_of
        int64_t n, n_ids, n_orders
        int64_t third, line_key, line_above, line_below
    int N_EXTRA
    int64_t follow_c "follow"(const CMatches *matches, int64_t *slots, int64_t *buckets, double *shares)
    int64_t follow_skipped_c "follow_skipped"(const int64_t *index, const double *weights, int64_t n, int64_t n_ids,
                                              double *shares)
    void mix(const CSources *sources, double *p, double *trust)
    void see(const CSources *sources, const CTokens *tokens, const CPlace *place, const double *p, const double *trust,
             CSight *sight)
    void tilt(const CNetwork *network, const CSources *sources, const CSight *sight, double *p)

cdef extern from *:
    """
    #ifndef TREEGRAFT_SOURCE_DIGEST
    #define TREEGRAFT_SOURCE_DIGEST ""
    #endif
    static const char treegraft_source_digest[] = TREEGRAFT_SOURCE_DIGEST;
    """
    const char *treegraft_source_digest

SOURCE_DIGEST = treegraft_source_digest.decode("ascii")
CANDIDATES, LAST, KINDS, LANGUAGES = N_BEST, N_LAST, N_KINDS, N_LANGUAGES


def shapes(int n_slots):
    """Of the network's arrays, by name, for so many sources."""
    return {
        "candidate": (N_CANDIDATE(n_slots), HIDDEN), "place": (N_PLACE(n_slots), HIDDEN), "bias": (HIDDEN,),
        "second": (HIDDEN, SECOND), "second_bias": (SECOND,), "out": (SECOND,), "rest": (HIDDEN,), "rest_bias": (1,),
    }


cdef class Held:
    """Buffers of arrays, until it goes."""

    cdef Py_buffer *buffers
    cdef int n, most

    def __cinit__(self, int most):
        self.buffers = <Py_buffer *>calloc(most, sizeof(Py_buffer))
        self.most = most
        if self.buffers == NULL:
            raise MemoryError

    def __dealloc__(self):
        for k in range(self.n):
            PyBuffer_Release(&self.buffers[k])
        free(self.buffers)

    cdef void *take(self, array, str kind, int64_t n) except NULL:
        """The address of an array of `n` elements, or of any number if it is below 0. Raises ValueError for another one."""
        assert self.n < self.most
        if array.dtype.char != kind or (n >= 0 and array.size != n):
            raise ValueError(f"{array.size} elements of {array.dtype}, where {n} of {kind} are wanted")
        PyObject_GetBuffer(array, &self.buffers[self.n], PyBUF_SIMPLE)
        self.n += 1
        return self.buffers[self.n - 1].buf


def follow(tuple page, places, lengths, index, weights, int64_t n_ids, levels, int64_t n_orders, tuple cursor):
    """(slots, buckets, shares) of what follows where a page says the same, see `Matches` in `mixing.h`.

    page: its tokens (uint32), line keys, lines above and below (int64); cursor: third token, line key, lines above and below.
    """
    cdef Held held = Held(12)
    cdef CMatches it
    tokens, line_keys, above, below = page
    cdef int64_t n_page = len(tokens), n_slots = n_orders + N_EXTRA
    it.n, it.n_ids, it.n_orders = len(places), n_ids, n_orders
    it.third, it.line_key, it.line_above, it.line_below = cursor
    it.tokens = <const uint32_t *>held.take(tokens, "I", -1)
    it.line_keys = <const int64_t *>held.take(line_keys, "l", n_page)
    it.above, it.below = <const int64_t *>held.take(above, "l", n_page), <const int64_t *>held.take(below, "l", n_page)
    it.places, it.lengths = <const int64_t *>held.take(places, "l", -1), <const int64_t *>held.take(lengths, "l", it.n)
    it.index, it.weights = <const int64_t *>held.take(index, "l", it.n), <const double *>held.take(weights, "d", it.n)
    it.level_of = <const int64_t *>held.take(levels, "l", -1)
    slots, buckets, shares = np.empty(n_slots, np.int64), np.empty(n_slots, np.int64), np.zeros((n_slots, n_ids))
    cdef int64_t *found = <int64_t *>held.take(slots, "l", -1)
    cdef int64_t *kinds = <int64_t *>held.take(buckets, "l", -1)
    cdef double *told = <double *>held.take(shares, "d", -1)
    cdef int64_t n
    with nogil:
        n = follow_c(&it, found, kinds, told)
    return slots[:n], buckets[:n], shares[:n]


def follow_skipped(index, weights, int64_t n_ids):
    """(bucket, shares) of places that only the tokens before the last one agree on."""
    cdef Held held = Held(3)
    shares = np.zeros((1, n_ids))
    cdef const int64_t *places = <const int64_t *>held.take(index, "l", -1)
    cdef const double *given = <const double *>held.take(weights, "d", len(index))
    return follow_skipped_c(places, given, len(index), n_ids, <double *>held.take(shares, "d", -1)), shares


cdef class Network:
    """The weights of a tilt, and what it is to know of the vocabulary."""

    cdef Held held
    cdef CNetwork network
    cdef CTokens tokens
    cdef int64_t n_vocabulary, n_slots

    def __cinit__(self, dict weights, kinds, closes, lengths, int n_slots):
        """weights: float32, see `shapes`; none to see with only. kinds, closes: uint8; lengths: float32; all by token."""
        self.held = Held(16)
        self.n_vocabulary, self.n_slots = len(kinds), n_slots
        self.tokens.kinds = <const uint8_t *>self.held.take(kinds, "B", -1)
        self.tokens.closes = <const uint8_t *>self.held.take(closes, "B", self.n_vocabulary)
        self.tokens.lengths = <const float *>self.held.take(lengths, "f", self.n_vocabulary)
        if not weights:
            return
        wanted = shapes(n_slots)
        found = {name: <object>weights[name] for name in wanted}
        for name, shape in wanted.items():
            if found[name].shape != shape:
                raise ValueError(f"{name} of shape {found[name].shape}, where {shape} is wanted")
        self.network.candidate = <const float *>self.held.take(found["candidate"], "f", -1)
        self.network.place = <const float *>self.held.take(found["place"], "f", -1)
        self.network.bias = <const float *>self.held.take(found["bias"], "f", -1)
        self.network.second = <const float *>self.held.take(found["second"], "f", -1)
        self.network.second_bias = <const float *>self.held.take(found["second_bias"], "f", -1)
        self.network.out = <const float *>self.held.take(found["out"], "f", -1)
        self.network.rest = <const float *>self.held.take(found["rest"], "f", -1)
        self.network.rest_bias = <const float *>self.held.take(found["rest_bias"], "f", -1)


cdef class Mixture:
    """One place as its sources see it, and their mixture there."""

    cdef Held held
    cdef CSources sources
    cdef CEvidence *evidence
    cdef double trust[48]
    cdef readonly object p

    def __cinit__(self, base, weights, list evidence):
        """base: float64 [vocabulary]; weights: float64 [slots, buckets]; evidence: (slots, buckets, ids, shares) each, the
        first three int64, ids None for the whole vocabulary; shares: float64 [slots, ids]. Raises ValueError."""
        self.held = Held(4 * len(evidence) + 3)
        self.evidence = <CEvidence *>calloc(len(evidence) + 1, sizeof(CEvidence))
        if self.evidence == NULL:
            raise MemoryError
        self.sources.evidence, self.sources.n_evidence = self.evidence, len(evidence)
        self.sources.n_vocabulary = len(base)
        self.sources.n_slots, self.sources.n_buckets = weights.shape
        if self.sources.n_slots > MOST_SLOTS:
            raise ValueError(f"more than {MOST_SLOTS} sources")
        self.sources.base = <const double *>self.held.take(base, "d", -1)
        self.sources.weights = <const double *>self.held.take(weights, "d", -1)
        cdef CEvidence *one = self.evidence
        for slots, buckets, ids, shares in evidence:
            one.n_slots, one.n_ids = len(slots), len(base) if ids is None else len(ids)
            one.slots = <const int64_t *>self.held.take(slots, "l", -1)
            one.buckets = <const int64_t *>self.held.take(buckets, "l", one.n_slots)
            one.ids = NULL if ids is None else <const int64_t *>self.held.take(ids, "l", one.n_ids)
            one.shares = <const double *>self.held.take(shares, "d", one.n_slots * one.n_ids)
            one += 1
        self.p = np.empty(len(base))
        cdef double *p = <double *>self.held.take(self.p, "d", -1)
        with nogil:
            mix(&self.sources, p, self.trust)

    def __dealloc__(self):
        free(self.evidence)

    def tilted(self, Network network, tuple place):
        """The mixture as the network tilts it. place: see `tilt.place_of`."""
        cdef CSight *sight = self._see(network, place)
        cdef Held held = Held(1)
        cdef double *p
        try:
            if network.network.candidate == NULL:
                raise ValueError("a network without weights cannot tilt")
            tilted = self.p.copy()
            p = <double *>held.take(tilted, "d", -1)
            with nogil:
                tilt(&network.network, &self.sources, sight, p)
            return tilted
        finally:
            free(sight)

    def seen(self, Network network, tuple place):
        """(ids, log_p, log_rest, candidates, place): the best candidates, their logs and that of all else, what the network sees."""
        cdef CSight *sight = self._see(network, place)
        cdef Held held = Held(4)
        cdef int n = sight.n_best, n_candidate = N_CANDIDATE(network.n_slots), n_place = N_PLACE(network.n_slots), c
        cdef float *rows
        try:
            ids, log_p = np.empty(n, dtype=np.int64), np.empty(n)
            candidates, there = np.empty((n, n_candidate), dtype=np.float32), np.empty(n_place, dtype=np.float32)
            memcpy(held.take(ids, "l", -1), sight.ids, n * sizeof(int64_t))
            memcpy(held.take(log_p, "d", -1), sight.log_p, n * sizeof(double))
            rows = <float *>held.take(candidates, "f", -1)
            for c in range(n):
                memcpy(rows + c * n_candidate, sight.candidates[c], n_candidate * sizeof(float))
            memcpy(held.take(there, "f", -1), sight.place, n_place * sizeof(float))
            return ids, log_p, sight.log_rest, candidates, there
        finally:
            free(sight)

    cdef CSight *_see(self, Network network, tuple place) except NULL:
        cdef CPlace here
        cdef Held held = Held(2)
        if network.n_vocabulary != self.sources.n_vocabulary or network.n_slots != self.sources.n_slots:
            raise ValueError("a network for another vocabulary or other sources")
        before, after, last, first, below, here.deeper, here.bracket, here.depth, here.quote, here.n_tokens, \
            here.language, here.has_siblings = place
        here.before = <const uint16_t *>held.take(before, "H", network.n_vocabulary)
        here.after = <const uint16_t *>held.take(after, "H", network.n_vocabulary)
        here.first, here.below = first, below
        for k in range(N_LAST):
            here.last[k] = last[k]
        for token in (first, below, *last):
            if not 0 <= token < network.n_vocabulary:
                raise ValueError(f"no token {token} in the vocabulary")
        cdef const double *p = <const double *>self.held.buffers[self.held.n - 1].buf  # the last one taken
        cdef CSight *sight = <CSight *>calloc(1, sizeof(CSight))
        if sight == NULL:
            raise MemoryError
        with nogil:
            see(&self.sources, &network.tokens, &here, p, self.trust, sight)
        return sight
