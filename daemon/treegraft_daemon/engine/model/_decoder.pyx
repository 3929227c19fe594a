# cython: language_level=3, boundscheck=False, wraparound=False
"""Python face of the native decoder: addresses in, logits out. Who owns the memory is in `int8_network.py`."""

from libc.stdint cimport int8_t, int32_t, int64_t, uintptr_t
from libc.stdlib cimport calloc, free

cdef extern from "decoder.h" nogil:
    int GROUP_ "GROUP"
    ctypedef struct Matrix:
        const int8_t *codes
        const float *scales
        const float *bias
        int rows
        int columns
    ctypedef struct Layer:
        const float *attention_norm
        const float *mlp_norm
        Matrix q
        Matrix k
        Matrix v
        Matrix o
        Matrix gate
        Matrix up
        Matrix down
    ctypedef struct Model:
        int vocab
        int hidden
        int inner
        int n_layers
        int n_heads
        int n_kv_heads
        int head_dim
        float eps
        const float *frequencies
        const float *norm
        Matrix embedding
        Matrix head
        Layer *layers
    ctypedef struct Memory:
        float *prefix_k
        float *prefix_v
        float *tail_k
        float *tail_v
    ctypedef struct Part:
        int n_rows
        const Memory *layers
        int64_t capacity
        int64_t slots
        int n_prefix
        int n_before
        int first_row
    ctypedef struct Step:
        const int32_t *ids
        int n_rows
        int n_tokens
        const Part *parts
        int n_parts
        int n_last
        float *logits
    ctypedef struct CDecoder "Decoder":
        pass
    ctypedef enum Loops:
        LOOPS_FOR_ANY, LOOPS_FOR_AVX2, LOOPS_FOR_THIS
    bint decoder_packs(Loops loops)
    CDecoder *decoder_new(const Model *model, int n_threads, Loops loops)
    void decoder_free(CDecoder *decoder)
    bint decoder_step(CDecoder *decoder, const Step *step)
    void c_quantise "quantise"(const float *weights, int64_t n, int8_t *codes, float *scales)

cdef extern from *:
    """
    #ifndef TREEGRAFT_SOURCE_DIGEST
    #define TREEGRAFT_SOURCE_DIGEST ""
    #endif
    static const char treegraft_source_digest[] = TREEGRAFT_SOURCE_DIGEST;
    """
    const char *treegraft_source_digest

SOURCE_DIGEST = treegraft_source_digest.decode("ascii")
GROUP = GROUP_
FOR_ANY, FOR_AVX2, FOR_THIS = LOOPS_FOR_ANY, LOOPS_FOR_AVX2, LOOPS_FOR_THIS


def packs(int loops):
    """Whether matrices must be packed for these loops (one of FOR_...) on this CPU: see packed.h."""
    return bool(decoder_packs(<Loops>loops))


def quantise(uintptr_t weights, int64_t n, uintptr_t codes, uintptr_t scales):
    """float32 [n] to int8 [n] and float32 [n / GROUP], each at its address."""
    with nogil:
        c_quantise(<const float *>weights, n, <int8_t *>codes, <float *>scales)


cdef Matrix matrix_of(tuple given):
    cdef Matrix matrix
    matrix.codes = <const int8_t *><uintptr_t>given[0]
    matrix.scales = <const float *><uintptr_t>given[1]
    matrix.bias = <const float *><uintptr_t>given[2]
    matrix.rows, matrix.columns = given[3], given[4]
    return matrix


cdef class NativeDecoder:
    """Steps of one model. Not for two threads at once; the arrays behind the addresses must outlive it."""

    cdef CDecoder *decoder
    cdef int n_layers

    def __cinit__(self, tuple sizes, float eps, uintptr_t frequencies, uintptr_t norm, tuple embedding, tuple head,
                  list layers, int n_threads, int loops):
        """sizes: vocab, hidden, inner, n_heads, n_kv_heads, head_dim. A matrix: codes, scales, bias or 0, rows, columns.

        layers: (attention norm, mlp norm, q, k, v, o, gate, up, down) each. loops: one of FOR_.... Raises MemoryError.
        """
        cdef Model model
        cdef int i
        model.vocab, model.hidden, model.inner, model.n_heads, model.n_kv_heads, model.head_dim = sizes
        model.eps = eps
        model.frequencies = <const float *>frequencies
        model.norm = <const float *>norm
        model.embedding, model.head = matrix_of(embedding), matrix_of(head)
        self.n_layers = model.n_layers = len(layers)
        model.layers = <Layer *>calloc(len(layers), sizeof(Layer))
        if model.layers != NULL:
            for i, (attention_norm, mlp_norm, q, k, v, o, gate, up, down) in enumerate(layers):
                model.layers[i].attention_norm = <const float *><uintptr_t>attention_norm
                model.layers[i].mlp_norm = <const float *><uintptr_t>mlp_norm
                model.layers[i].q, model.layers[i].k = matrix_of(q), matrix_of(k)
                model.layers[i].v, model.layers[i].o = matrix_of(v), matrix_of(o)
                model.layers[i].gate, model.layers[i].up = matrix_of(gate), matrix_of(up)
                model.layers[i].down = matrix_of(down)
            self.decoder = decoder_new(&model, n_threads, <Loops>loops)
        free(model.layers)
        if self.decoder == NULL:
            raise MemoryError

    def __dealloc__(self):
        decoder_free(self.decoder)

    def step(self, uintptr_t ids, int n_tokens, list parts, int n_last, uintptr_t logits):
        """See decoder.h. A part: rows, addresses of a Memory of each layer, capacity, slots, n_prefix, n_before, first row.

        Raises MemoryError. Releases the GIL.
        """
        cdef Step step
        cdef int i, n
        cdef Memory *memory
        cdef bint worked = False
        cdef Part *native = <Part *>calloc(len(parts), sizeof(Part))
        cdef Memory *memories = <Memory *>calloc(len(parts) * self.n_layers, sizeof(Memory))
        try:
            if native != NULL and memories != NULL:
                step.ids, step.n_rows, step.n_tokens = <const int32_t *>ids, 0, n_tokens
                step.n_last, step.logits = n_last, <float *>logits
                step.parts, step.n_parts = native, len(parts)
                for i, (n_rows, layers, capacity, slots, n_prefix, n_before, first_row) in enumerate(parts):
                    native[i].n_rows, native[i].layers = n_rows, memories + i * self.n_layers
                    native[i].capacity, native[i].slots = capacity, slots
                    native[i].n_prefix, native[i].n_before, native[i].first_row = n_prefix, n_before, first_row
                    step.n_rows += native[i].n_rows
                    for n, (prefix_k, prefix_v, tail_k, tail_v) in enumerate(layers):
                        memory = memories + i * self.n_layers + n
                        memory.prefix_k, memory.prefix_v = <float *><uintptr_t>prefix_k, <float *><uintptr_t>prefix_v
                        memory.tail_k, memory.tail_v = <float *><uintptr_t>tail_k, <float *><uintptr_t>tail_v
                with nogil:
                    worked = decoder_step(self.decoder, &step)
        finally:
            free(native)
            free(memories)
        if not worked:
            raise MemoryError
