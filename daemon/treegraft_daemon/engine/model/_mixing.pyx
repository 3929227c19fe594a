# cython: language_level=3, boundscheck=False, wraparound=False
"""Python face of the mixture's arithmetic (`mixing/mixing.h`). What it means is told in `mixture.py` and `tilt.py`."""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
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
    void mix(const CSources *sources, double *p, double *trust)
    void see(const CSources *sources, const CTokens *tokens, const CPlace *place, const double *p, const double *trust,
             CSight *sight)
    void tilt(const CNetwork *network, const CSources *sources, const CSight *sight, double *p)

cdef extern from "copying.h" nogil:
    int N_EXTRA, MOST_LEVELS
    ctypedef struct CPage "Page":
        const uint32_t *tokens
        const int64_t *line_keys
        const int64_t *above
        const int64_t *below
        int64_t n_tokens, n_vocabulary, cursor
        const double *weight_at
        int64_t n_weights
        int64_t *places
        int32_t *starts
        int32_t *ranks
    ctypedef struct CMatches "Matches":
        int64_t low, high
        const int64_t *lengths
    ctypedef struct CAround "Around":
        int64_t third, line_key, line_above, line_below
    void page_index(CPage *page)
    void lengthen(const CPage *page, const CMatches *earlier, int64_t low, int64_t high, int64_t longest, int64_t *lengths)
    int64_t skip_one(const CPage *page, const CMatches *earlier, int64_t *places)
    int64_t ways_at(CPage *page, const int64_t *places, int64_t n, int64_t *ids, int64_t *index)
    int64_t follow(const CPage *page, const CMatches *matches, const int64_t *index, int64_t n_ids, const CAround *around,
                   const int64_t *level_of, int64_t n_levels, int64_t *slots, int64_t *buckets, double *shares)
    int64_t follow_skipped(const CPage *page, const int64_t *places, const int64_t *index, int64_t n, int64_t n_ids,
                           double *shares)

cdef extern from "ngrams.h" nogil:
    ctypedef struct COrder "Order":
        const uint32_t *offsets
        const uint16_t *tags
        const void *sizes
        const uint8_t *buckets
        const uint16_t *entries
        const int64_t *starts
        const double *ratios
        int n_bits
        bint is_wide
    uint64_t extend(uint64_t key, uint64_t token)
    bint order_find(const COrder *order, uint64_t key, int64_t *bucket, int64_t *start, int64_t *n)
    void order_read(const COrder *order, int64_t start, int64_t n, int64_t *ids, double *shares)

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


cdef class Matches:
    """Where a page says the same as the last tokens, and how long; nowhere, when made anew. A value."""

    cdef CMatches at

    def __dealloc__(self):
        free(<void *>self.at.lengths)


cdef class Index:
    """A page of tokens and where each of them is followed. Its calls keep the GIL: they share room, and are short."""

    cdef Held held
    cdef CPage page
    cdef const int64_t *level_of
    cdef int64_t n_levels, longest

    def __cinit__(self, tokens, line_keys, above, below, int64_t n_vocabulary, int64_t cursor, weight_at, level_of):
        """tokens: uint32; line_keys, above, below: int64, by place; cursor: a place, or -1; weight_at: float64, by distance
        from it; level_of: int64, of each length up to the longest. Raises ValueError."""
        self.held = Held(6)
        self.page.tokens = <const uint32_t *>self.held.take(tokens, "I", -1)
        self.page.n_tokens, self.page.n_vocabulary, self.page.cursor = len(tokens), n_vocabulary, cursor
        self.page.line_keys = <const int64_t *>self.held.take(line_keys, "l", len(tokens))
        self.page.above = <const int64_t *>self.held.take(above, "l", len(tokens))
        self.page.below = <const int64_t *>self.held.take(below, "l", len(tokens))
        self.page.weight_at = <const double *>self.held.take(weight_at, "d", -1)
        self.page.n_weights = len(weight_at)
        self.level_of = <const int64_t *>self.held.take(level_of, "l", -1)
        self.longest, self.n_levels = len(level_of) - 1, max(level_of) + 1
        if len(tokens) and tokens.max() >= n_vocabulary:
            raise ValueError(f"a token beyond the {n_vocabulary} of the vocabulary")
        if self.n_levels > MOST_LEVELS or not self.page.n_weights:
            raise ValueError("too many levels, or no weights")
        self.page.places = <int64_t *>malloc((len(tokens) + 1) * sizeof(int64_t))
        self.page.starts = <int32_t *>malloc((n_vocabulary + 1) * sizeof(int32_t))
        self.page.ranks = <int32_t *>calloc(n_vocabulary + 1, sizeof(int32_t))
        if self.page.places == NULL or self.page.starts == NULL or self.page.ranks == NULL:
            raise MemoryError
        page_index(&self.page)

    def __dealloc__(self):
        free(self.page.places)
        free(self.page.starts)
        free(self.page.ranks)

    def step(self, Matches earlier not None, int64_t token):
        """The matches after one more token."""
        cdef Matches found = Matches()
        cdef int64_t *lengths
        if not 0 <= token < self.page.n_vocabulary:
            raise ValueError(f"no token {token} in the vocabulary")
        found.at.low, found.at.high = self.page.starts[token], self.page.starts[token + 1]
        if found.at.low == found.at.high:
            return found
        lengths = <int64_t *>malloc((found.at.high - found.at.low) * sizeof(int64_t))
        if lengths == NULL:
            raise MemoryError
        found.at.lengths = lengths
        lengthen(&self.page, &earlier.at, found.at.low, found.at.high, self.longest, lengths)
        return found

    def follow(self, Matches matches not None, tuple around):
        """(slots, buckets, ids, shares) of what follows there, None if nothing does. around: the third last token, the
        line's key, the lines above and below."""
        cdef CAround here
        cdef int64_t n = matches.at.high - matches.at.low, n_slots = self.n_levels + N_EXTRA, n_ids
        if not n:
            return None
        cdef Held held = Held(4)
        here.third, here.line_key, here.line_above, here.line_below = around
        room = np.empty((2, n), np.int64)
        cdef int64_t *ids = <int64_t *>held.take(room, "l", -1)
        n_ids = ways_at(&self.page, self.page.places + matches.at.low, n, ids, ids + n)
        found, shares = np.empty((2, n_slots), np.int64), np.zeros((n_slots, n_ids))
        cdef int64_t *slots = <int64_t *>held.take(found, "l", -1)
        cdef double *told = <double *>held.take(shares, "d", -1)
        cdef int64_t n_found = follow(
            &self.page, &matches.at, ids + n, n_ids, &here, self.level_of, self.n_levels, slots, slots + n_slots, told
        )
        return found[0, :n_found], found[1, :n_found], room[0, :n_ids], shares[:n_found]

    def follow_skipped(self, Matches earlier not None):
        """The same for what follows two tokens after matches of one token ago, in the first slot behind the levels."""
        cdef int64_t n = earlier.at.high - earlier.at.low, n_ids
        if not n:
            return None
        cdef Held held = Held(2)
        room = np.empty((3, n), np.int64)
        cdef int64_t *places = <int64_t *>held.take(room, "l", -1)
        cdef int64_t n_places = skip_one(&self.page, &earlier.at, places)
        if not n_places:
            return None
        n_ids = ways_at(&self.page, places, n_places, places + n, places + 2 * n)
        shares = np.zeros((1, n_ids))
        cdef double *told = <double *>held.take(shares, "d", -1)
        bucket = follow_skipped(&self.page, places, places + 2 * n, n_places, n_ids, told)
        return np.array([self.n_levels]), np.array([bucket]), room[1, :n_ids], shares


cdef class Ngrams:
    """The contexts of several lengths, shortest first, and what follows them."""

    cdef Held held
    cdef COrder *orders
    cdef int n_orders

    def __cinit__(self, list orders, ratios):
        """orders: (offsets, tags, sizes, buckets, entries, starts) each, see `ngram.Order`; ratios: float64 [8]."""
        self.held = Held(6 * len(orders) + 1)
        self.orders = <COrder *>calloc(len(orders) + 1, sizeof(COrder))
        if self.orders == NULL:
            raise MemoryError
        cdef const double *given = <const double *>self.held.take(ratios, "d", 8)
        cdef COrder *it = self.orders
        for offsets, tags, sizes, buckets, entries, starts in orders:
            it.n_bits = (len(offsets) - 1).bit_length() - 1
            it.is_wide, it.ratios = sizes.dtype.char == "H", given
            it.offsets = <const uint32_t *>self.held.take(offsets, "I", (<int64_t>1 << it.n_bits) + 1)
            it.tags = <const uint16_t *>self.held.take(tags, "H", -1)
            it.sizes = self.held.take(sizes, "H" if it.is_wide else "B", len(tags))
            it.buckets = <const uint8_t *>self.held.take(buckets, "B", len(tags))
            it.entries = <const uint16_t *>self.held.take(entries, "H", -1)
            it.starts = <const int64_t *>self.held.take(starts, "l", len(offsets))
            it += 1
            self.n_orders += 1

    def __dealloc__(self):
        free(self.orders)

    def find(self, context):
        """(order, [bucket], ids, [shares]) of each order that knows the end of this context, the last token last."""
        cdef uint64_t key = 0
        cdef int64_t bucket, start, n
        cdef int k = 0
        cdef Held held
        found = []
        for token in reversed(context):
            if k == self.n_orders:
                break
            key = extend(key, token)
            if order_find(&self.orders[k], key, &bucket, &start, &n):
                held = Held(2)
                ids, shares = np.empty(n, np.int64), np.empty((1, n))
                order_read(&self.orders[k], start, n, <int64_t *>held.take(ids, "l", -1), <double *>held.take(shares, "d", -1))
                found.append((k, np.array([bucket]), ids, shares))
            k += 1
        return found


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
