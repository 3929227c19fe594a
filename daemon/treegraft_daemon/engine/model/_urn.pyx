# cython: language_level=3, boundscheck=False, wraparound=False
"""Python face of the urn (`urn/urn.h`). What it means is told in `draws.py`."""

from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport int32_t, int64_t

cdef extern from "urn.h" nogil:
    ctypedef enum Kind:
        LOGS_32
        LOGS_64
        MASSES_64
    ctypedef struct CUrn "Urn":
        pass
    CUrn *urn_new(const void *values, int64_t n, Kind kind, bint by_probability)
    void urn_free(CUrn *urn)
    bint urn_is_law(const CUrn *urn)
    int64_t urn_left(const CUrn *urn)
    double urn_log_total(const CUrn *urn)
    void urn_draw(CUrn *urn, const double *uniforms, int64_t n, int32_t *ids, double *logprobs)

cdef extern from *:
    """
    #ifndef TREEGRAFT_SOURCE_DIGEST
    #define TREEGRAFT_SOURCE_DIGEST ""
    #endif
    static const char treegraft_source_digest[] = TREEGRAFT_SOURCE_DIGEST;
    """
    const char *treegraft_source_digest

SOURCE_DIGEST = treegraft_source_digest.decode("ascii")


cdef class Urn:
    """The tokens of one law that are not drawn yet. Not for two threads at once."""

    cdef CUrn *urn
    cdef Py_buffer values
    cdef bint has_values

    def __cinit__(self, values, bint by_probability, bint masses=False):
        """values: contiguous float32 or float64 log-probabilities, or float64 `masses`; kept, and not to be changed.

        Raises ValueError for what is no law, and MemoryError.
        """
        cdef Py_ssize_t size = values.itemsize
        if values.dtype.kind != "f" or (size != 8 and (masses or size != 4)):
            raise ValueError(f"a law of {values.dtype} cannot be drawn from")
        PyObject_GetBuffer(values, &self.values, PyBUF_SIMPLE)
        self.has_values = True
        cdef int64_t n = self.values.len // size
        cdef Kind kind = MASSES_64 if masses else (LOGS_32 if size == 4 else LOGS_64)
        with nogil:
            self.urn = urn_new(self.values.buf, n, kind, by_probability)
        if self.urn == NULL:
            raise MemoryError
        if not urn_is_law(self.urn):
            raise ValueError("a law must hold log-probabilities: numbers or -inf")

    def __dealloc__(self):
        urn_free(self.urn)
        if self.has_values:
            PyBuffer_Release(&self.values)

    def left(self):
        """How many possible tokens are not drawn yet."""
        return urn_left(self.urn)

    def log_total(self):
        """Log of the mass of all tokens before the first draw; only where draws are at random."""
        return urn_log_total(self.urn)

    def draw(self, uniforms, ids, logprobs):
        """Draw as many tokens as `ids` (int32) and `logprobs` (float64) hold, at most `left()`.

        uniforms: float64 of [0, 1), one for each; not looked at where draws are by probability. Raises ValueError.
        """
        cdef Py_buffer given, found, told
        cdef int64_t n
        PyObject_GetBuffer(uniforms, &given, PyBUF_SIMPLE)
        try:
            PyObject_GetBuffer(ids, &found, PyBUF_WRITABLE)
            try:
                PyObject_GetBuffer(logprobs, &told, PyBUF_WRITABLE)
                try:
                    n = found.len // sizeof(int32_t)
                    if n > urn_left(self.urn) or told.len != n * 8 or given.len != n * 8:
                        raise ValueError("more draws than there are tokens, or buffers of different lengths")
                    urn_draw(self.urn, <const double *>given.buf, n, <int32_t *>found.buf, <double *>told.buf)
                finally:
                    PyBuffer_Release(&told)
            finally:
                PyBuffer_Release(&found)
        finally:
            PyBuffer_Release(&given)
