# cython: language_level=3, boundscheck=False, wraparound=False, binding=False
"""Python face of the native simulator: states as values, nothing else.

A `Simulator` belongs to one grammar; its lock serialises all native work, since scanners share one payload. The lock
is taken without holding the GIL whenever another thread has it, so a long parse never blocks the interpreter.
"""

from cpython.bytes cimport PyBytes_AsString, PyBytes_Size
from cpython.pycapsule cimport PyCapsule_GetPointer, PyCapsule_IsValid
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

cdef extern from "<pthread.h>" nogil:
    ctypedef struct pthread_mutex_t:
        pass
    int pthread_mutex_lock(pthread_mutex_t *)
    int pthread_mutex_trylock(pthread_mutex_t *)
    int pthread_mutex_unlock(pthread_mutex_t *)

cdef extern from "frontier.h" nogil:
    cdef enum:
        ABI_OLDEST
        ABI_NEWEST
        MARK_CLOSED
        MARK_FIRST
        MARK_TOP
        MARK_TOP_LIST
        MARK_ENDS_LINE
        MARK_DECIMAL
        MARK_JSON_NUMBER
        MARK_ARROW
        MARK_NAME
        MARK_TAG_NAME
        MARK_TAG_JOINT
        MARK_TAG_PART
        MARK_TOP_WORD
        MARK_TOP_REST
        MARK_OPENS
        MARK_SETTLES
        MARK_NAMED
        MARK_ESCAPE
        MARK_STARRED
        MARK_UNPACKED
        MARK_BARRIER
        MARK_ORDERED
        MARK_ITEM_WORD
        MARK_ITEM_START
        MARK_ITEM_REST
    ctypedef struct AbiSymbolInfo:
        bint visible
        bint named
    ctypedef struct AbiLanguage:
        uint32_t version
        uint32_t n_symbols
        uint32_t n_tokens
        uint32_t n_states
        const char *const *symbol_names
        const AbiSymbolInfo *symbol_info
    ctypedef enum RuleKind:
        RULE_PAIR
        RULE_IN_FRAME
        RULE_STANDS_ON
        RULE_BASE
        RULE_REDUCE
        RULE_STATEMENT
        RULE_DECIDED
        RULE_RESERVED
        RULE_APART
        RULE_GLUED
        RULE_BARRED
        RULE_ALONE
        RULE_ONLY
        RULE_UNFINISHED
    ctypedef struct LayoutRule:
        bint enabled
        uint16_t newline, indent, dedent, comment, string
    ctypedef struct TagRule:
        uint16_t opener, closer, end, opening
    ctypedef struct Tables:
        const AbiLanguage *abi
        uint8_t *banned_keyword
        uint16_t unbroken[8]
        uint16_t n_unbroken
        uint16_t one_line[8]
        uint16_t n_one_line
        LayoutRule layout
        TagRule tags
        uint32_t *marks
        uint32_t marks_used
        uint8_t escapes[128]
        uint16_t separator
    ctypedef struct Probes:
        uint32_t n_suffixes
    ctypedef struct Counters:
        uint64_t n_steps, n_refused, n_hangs, n_exhausted, n_searches
    ctypedef struct Arena:
        uint32_t n_nodes
    ctypedef struct Frontier:
        Arena *arena
        uint64_t hash
        uint32_t base
        uint32_t n_readings
        uint32_t n_tail
        uint8_t *tail
    ctypedef struct Lexer:
        uint32_t horizon
        bint hides_tokens
        bint serialises_all
    ctypedef struct Simulator_c "Simulator":
        Tables tables
        Lexer lexer
        Probes probes
        Counters counters
        pthread_mutex_t lock
    ctypedef struct Outcome:
        Frontier *state
        uint32_t error, error_token, last, seen, n_repairs
        uint64_t n_steps
    Simulator_c *simulator_new(const AbiLanguage *)
    void simulator_free(Simulator_c *)
    bint tables_add_rule(Tables *, RuleKind, uint16_t, uint16_t, uint16_t)
    bint simulator_prepare(Simulator_c *)
    bint probes_add_suffix(Probes *, const uint8_t *, uint32_t)
    void probes_prefer(Probes *, uint32_t)
    Frontier *frontier_start(Simulator_c *)
    void frontier_release(Frontier *)
    bint frontier_equal(const Simulator_c *, const Frontier *, const Frontier *)
    Frontier *frontier_step(Simulator_c *, const Frontier *, const uint8_t *, uint32_t)
    bint frontier_reads(Simulator_c *, const Frontier *, const uint8_t *, uint32_t)
    uint32_t frontier_reach(Simulator_c *, const Frontier *, const uint8_t *, uint32_t, bint)
    int64_t frontier_end_error(Simulator_c *, const Frontier *, uint32_t *)
    uint32_t frontier_depth(Simulator_c *, const Frontier *)
    uint32_t frontier_unfinished(Simulator_c *, const Frontier *)
    uint32_t frontier_stack(const Frontier *, uint32_t, uint16_t *, uint32_t)
    const char *frontier_scan(const Frontier *, uint32_t, uint32_t *)
    void frontier_expected(Simulator_c *, const Frontier *, uint8_t *)
    void frontier_repair(Simulator_c *, const Frontier *, const uint8_t *, uint32_t, Outcome *)
    size_t arena_size(const Arena *)

cdef extern from *:
    """
    #ifndef TREEGRAFT_SOURCE_DIGEST
    #define TREEGRAFT_SOURCE_DIGEST ""
    #endif
    static const char treegraft_source_digest[] = TREEGRAFT_SOURCE_DIGEST;
    """
    const char *treegraft_source_digest

SOURCE_DIGEST = treegraft_source_digest.decode("ascii")

cdef enum:
    MAX_TEXT = 0x7FFFFFF0


class UnsupportedAbi(Exception):
    """The grammar was compiled for an ABI that this module does not read."""


cdef inline void take(Simulator_c *native):
    if pthread_mutex_trylock(&native.lock) != 0:
        with nogil:
            pthread_mutex_lock(&native.lock)


cdef class Simulator:
    """The native side of one grammar."""

    cdef Simulator_c *native
    cdef object capsule

    def __cinit__(self, capsule: object, uint32_t horizon = 0, bint hides_tokens = False, bint serialises_all = False):
        cdef AbiLanguage *abi
        if PyCapsule_IsValid(capsule, b"tree_sitter.Language"):
            abi = <AbiLanguage *> PyCapsule_GetPointer(capsule, b"tree_sitter.Language")
        elif isinstance(capsule, int):
            abi = <AbiLanguage *> <size_t> capsule
        else:
            raise TypeError("a grammar is a capsule named tree_sitter.Language or the address of one")
        if abi == NULL or abi.version < ABI_OLDEST or abi.version > ABI_NEWEST:
            raise UnsupportedAbi(f"grammar has ABI {0 if abi == NULL else abi.version}, we read {ABI_OLDEST} to {ABI_NEWEST}")
        self.capsule = capsule
        self.native = simulator_new(abi)
        if self.native == NULL:
            raise MemoryError("no memory for the tables of a grammar")
        self.native.lexer.horizon = horizon
        self.native.lexer.hides_tokens = hides_tokens
        self.native.lexer.serialises_all = serialises_all

    def __dealloc__(self):
        if self.native != NULL:
            simulator_free(self.native)

    def prepare(self) -> None:
        """Collect what to probe with; after the overlay's rules are in, before the first state."""
        if not simulator_prepare(self.native):
            raise MemoryError("no memory for the spellings of a grammar")

    def probe(self, bytes data not None) -> None:
        """A continuation to try behind an undecided text, before all others; after `prepare`."""
        if not probes_add_suffix(&self.native.probes, <const uint8_t *> PyBytes_AsString(data), len(data)):
            raise MemoryError("no memory for the spellings of a grammar")
        probes_prefer(&self.native.probes, self.native.probes.n_suffixes - 1)

    def _symbols(self, name: str) -> list[int]:
        cdef const AbiLanguage *abi = self.native.tables.abi
        cdef bytes spelled = name.encode()
        return [i for i in range(1, abi.n_tokens) if abi.symbol_names[i] != NULL and abi.symbol_names[i] == spelled]

    def _any_symbols(self, name: str) -> list[int]:
        cdef const AbiLanguage *abi = self.native.tables.abi
        cdef bytes spelled = name.encode()
        return [i for i in range(1, abi.n_symbols) if abi.symbol_names[i] != NULL and abi.symbol_names[i] == spelled]

    def ban_keyword(self, name: str) -> int:
        """Treat the keyword `name` as an ordinary word; how many symbols that concerned."""
        symbols = self._symbols(name)
        for symbol in symbols:
            self.native.tables.banned_keyword[<int> symbol] = 1
        return len(symbols)

    def rule(self, kind: str, a: str, b: str, c: str) -> int:
        """A rule of a kind of tables.h over all symbols so named ("" for none); how many triples that concerned."""
        kinds = {
            "pair": RULE_PAIR, "in_frame": RULE_IN_FRAME, "stands_on": RULE_STANDS_ON, "base": RULE_BASE, "reduce": RULE_REDUCE,
            "statement": RULE_STATEMENT, "reserved": RULE_RESERVED, "decided": RULE_DECIDED,
            "apart": RULE_APART, "glued": RULE_GLUED, "barred": RULE_BARRED, "alone": RULE_ALONE, "only": RULE_ONLY,
            "unfinished": RULE_UNFINISHED,
        }
        n = 0
        # Pairs are of terminals: a phrase of that name would be no use of theirs.
        symbols_of = self._symbols if kind == "pair" else self._any_symbols
        firsts = symbols_of(a)
        if kind == "statement":
            # `object` is a phrase of TypeScript and a keyword of it; the states of keywords may be shared.
            firsts = [symbol for symbol in firsts if symbol >= self.native.tables.abi.n_tokens] or firsts
        for first in firsts:
            for second in symbols_of(b) if b else [0]:
                for third in symbols_of(c) if c else [0]:
                    if not tables_add_rule(&self.native.tables, kinds[kind], first, second, third):
                        raise MemoryError
                    n += 1
        return n

    def mark(self, kind: str, name: str) -> int:
        """A mark of tables.h on all symbols so named; how many that concerned."""
        marks = {
            "closed": MARK_CLOSED, "first": MARK_FIRST, "top": MARK_TOP, "top_list": MARK_TOP_LIST,
            "top_word": MARK_TOP_WORD, "top_rest": MARK_TOP_REST,
            "ends_line": MARK_ENDS_LINE, "decimal": MARK_DECIMAL, "json_number": MARK_JSON_NUMBER, "arrow": MARK_ARROW,
            "name": MARK_NAME, "tag_name": MARK_TAG_NAME, "tag_joint": MARK_TAG_JOINT, "tag_part": MARK_TAG_PART,
            "named": MARK_NAMED, "starred": MARK_STARRED, "unpacked": MARK_UNPACKED, "barrier": MARK_BARRIER, "ordered": MARK_ORDERED,
            "item_word": MARK_ITEM_WORD, "item_start": MARK_ITEM_START, "item_rest": MARK_ITEM_REST,
            "opens": MARK_OPENS, "settles": MARK_SETTLES, "escape": MARK_ESCAPE,
        }
        symbols = self._any_symbols(name)
        for symbol in symbols:
            self.native.tables.marks[<int> symbol] |= <uint32_t> marks[kind]
            self.native.tables.marks_used |= <uint32_t> marks[kind]
        return len(symbols)

    def escape_with(self, characters: str) -> None:
        """What may stand behind a backslash where the mark "escape" is, of ASCII."""
        for character in characters.encode("ascii"):
            self.native.tables.escapes[<int> character] = 1

    def keep_unbroken(self, name: str) -> int:
        """Where `name` may come, a line break is never skipped; how many symbols that concerned."""
        cdef Tables *tables = &self.native.tables
        symbols = self._symbols(name)
        if tables.n_unbroken + len(symbols) > 8:
            raise OverflowError("an overlay has room for 8 unbroken symbols")
        for symbol in symbols:
            tables.unbroken[tables.n_unbroken] = symbol
            tables.n_unbroken += 1
        return len(symbols)

    def keep_on_one_line(self, name: str) -> int:
        """No `name` holds a line break; how many symbols that concerned."""
        cdef Tables *tables = &self.native.tables
        symbols = self._symbols(name)
        if tables.n_one_line + len(symbols) > 8:
            raise OverflowError("an overlay has room for 8 symbols on one line")
        for symbol in symbols:
            tables.one_line[tables.n_one_line] = symbol
            tables.n_one_line += 1
        return len(symbols)

    def lay_out(self, newline: str, indent: str, dedent: str, comment: str, string: str) -> int:
        """Lines begin after these tokens only, in the scanner's column; how many of the five names were found."""
        cdef LayoutRule *layout = &self.native.tables.layout
        names = [self._symbols(name) for name in (newline, indent, dedent, comment, string)]
        if all(names):
            layout.newline, layout.indent, layout.dedent, layout.comment, layout.string = [symbols[0] for symbols in names]
            layout.enabled = True
        return sum(1 for symbols in names if symbols)

    def pair_tags(self, opener: str, closer: str, end: str, opening: str) -> int:
        """What stands from `closer` to `end` has the name of the last `opening`; how many of the four names were found."""
        cdef TagRule *tags = &self.native.tables.tags
        names = [self._symbols(name) for name in (opener, closer, end)] + [self._any_symbols(opening)]
        if all(names):
            tags.opener, tags.closer, tags.end, tags.opening = [symbols[0] for symbols in names]
        return sum(1 for symbols in names if symbols)

    def separate(self, name: str) -> int:
        """`name` stands between items that have an order; how many symbols that concerned."""
        symbols = self._symbols(name)
        self.native.tables.separator = symbols[0] if symbols else 0
        return len(symbols)

    def start(self) -> ParseState:
        """The state before the first byte, in an arena of its own."""
        take(self.native)
        cdef Frontier *made = frontier_start(self.native)
        pthread_mutex_unlock(&self.native.lock)
        return wrap(self, made)

    def stats(self) -> dict[str, int]:
        """Counters since the grammar was loaded."""
        cdef Counters it = self.native.counters
        return {
            "steps": it.n_steps,
            "refused": it.n_refused,
            "searches": it.n_searches,
            "hanging_scanners": it.n_hangs,
            "exhausted_budgets": it.n_exhausted,
        }

    @property
    def abi(self) -> int:
        return self.native.tables.abi.version


cdef ParseState wrap(Simulator simulator, Frontier *native):
    if native == NULL:
        raise MemoryError("no memory for a parse state")
    cdef ParseState state = ParseState.__new__(ParseState)
    state.simulator = simulator
    state.native = native
    return state


cdef class ParseState:
    """Where a text stands in its grammar; an immutable, hashable value."""

    cdef Simulator simulator
    cdef Frontier *native
    cdef object __weakref__

    def __dealloc__(self):
        if self.native != NULL:
            frontier_release(self.native)

    def __init__(self) -> None:
        raise TypeError("states come from Grammar.start, Grammar.parse and ParseState.step")

    def __hash__(self) -> int:
        return <Py_hash_t> self.native.hash

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ParseState):
            return NotImplemented
        cdef ParseState that = other
        return that.simulator is self.simulator and frontier_equal(self.simulator.native, self.native, that.native)

    def __repr__(self) -> str:
        return f"<ParseState at byte {self.offset}, {self.native.n_readings} readings, pending {self.pending!r}>"

    @property
    def pending(self) -> bytes:
        """The bytes at the end whose tokens later text may still change."""
        return self.native.tail[:self.native.n_tail]

    @property
    def offset(self) -> int:
        """How many bytes of text led here."""
        return self.native.base + self.native.n_tail

    def step(self, bytes data not None) -> ParseState | None:
        """The state after `data`, or None when no continuation could parse."""
        cdef Frontier *made
        cdef Simulator_c *native = self.simulator.native
        cdef Py_ssize_t length = PyBytes_Size(data)
        cdef const uint8_t *text = <const uint8_t *> PyBytes_AsString(data)
        if length == 0:
            return self
        if not self.has_room(length):
            return None
        take(native)
        # Letting go of the GIL costs more than a short check.
        if length + self.native.n_tail > 2048:
            with nogil:
                made = frontier_step(native, self.native, text, <uint32_t> length)
                pthread_mutex_unlock(&native.lock)
        else:
            made = frontier_step(native, self.native, text, <uint32_t> length)
            pthread_mutex_unlock(&native.lock)
        return None if made == NULL else wrap(self.simulator, made)

    cdef bint has_room(self, Py_ssize_t length):
        return length <= MAX_TEXT - <Py_ssize_t> self.native.base - <Py_ssize_t> self.native.n_tail

    def reads(self, bytes suffix not None) -> bool:
        """Whether `suffix` is read to its end without error and something could follow."""
        cdef Simulator_c *native = self.simulator.native
        cdef bint result
        cdef Py_ssize_t length = PyBytes_Size(suffix)
        cdef const uint8_t *text = <const uint8_t *> PyBytes_AsString(suffix)
        if length == 0:
            return True
        if not self.has_room(length):
            return False
        take(native)
        with nogil:
            result = frontier_reads(native, self.native, text, <uint32_t> length)
            pthread_mutex_unlock(&native.lock)
        return result

    cdef uint32_t how_far(self, bytes suffix, bint lenient):
        cdef Simulator_c *native = self.simulator.native
        cdef uint32_t result
        cdef Py_ssize_t length = PyBytes_Size(suffix)
        cdef const uint8_t *text = <const uint8_t *> PyBytes_AsString(suffix)
        if not self.has_room(length):
            return 0
        take(native)
        with nogil:
            result = frontier_reach(native, self.native, text, <uint32_t> length, lenient)
            pthread_mutex_unlock(&native.lock)
        return result

    def reach(self, bytes suffix not None, lenient: bool = True) -> int:
        """Bytes of `suffix` read before the first error; len(suffix) + 1 if the document may end after it.

        lenient: what is `unfinished` here is no error, but still to be written.
        """
        return self.how_far(suffix, lenient)

    def meets(self, bytes suffix not None) -> bool:
        """Whether the document may be this text followed by exactly `suffix`, as far as `reach` tells."""
        return self.how_far(suffix, True) > <uint32_t> PyBytes_Size(suffix)

    def complete(self) -> bool:
        """Whether the text may end here."""
        return self.end_error() is None

    def end_error(self) -> tuple[int, int] | None:
        """If the text cannot end here: where reading stops, and where the token begins that cannot be read."""
        cdef uint32_t token
        take(self.simulator.native)
        cdef int64_t place = frontier_end_error(self.simulator.native, self.native, &token)
        pthread_mutex_unlock(&self.simulator.native.lock)
        return None if place < 0 else (place, max(token, place))

    def depth(self) -> int:
        """Number of open bracket frames."""
        take(self.simulator.native)
        cdef uint32_t result = frontier_depth(self.simulator.native, self.native)
        pthread_mutex_unlock(&self.simulator.native.lock)
        return result

    def unfinished(self) -> int:
        """Number of statements that are open and lack what must follow: what is tried has no handler yet."""
        take(self.simulator.native)
        cdef uint32_t result = frontier_unfinished(self.simulator.native, self.native)
        pthread_mutex_unlock(&self.simulator.native.lock)
        return result

    def expected(self) -> list[str]:
        """Names of the terminals that may come next, after the last decided token."""
        return sorted({name for name, _ in self.alternatives()})

    def alternatives(self) -> list[tuple[str, bool]]:
        """What `expected` names, and whether each is spelled as it is named (a keyword or sign, not `identifier`)."""
        cdef const AbiLanguage *abi = self.simulator.native.tables.abi
        cdef bytearray marks = bytearray(abi.n_tokens)
        cdef uint8_t[::1] view = marks
        take(self.simulator.native)
        frontier_expected(self.simulator.native, self.native, &view[0])
        pthread_mutex_unlock(&self.simulator.native.lock)
        names = {
            (abi.symbol_names[i].decode("utf-8", "replace"), not abi.symbol_info[i].named)
            for i in range(1, abi.n_tokens)
            if marks[i] and abi.symbol_info[i].visible
        }
        return sorted(names)

    def repair(
        self, bytes data not None, uint32_t last, uint32_t n_repairs, uint64_t n_steps
    ) -> tuple[ParseState | None, int, int, int, int, int, int]:
        """Read past an error in `data`, which goes to the end of the text: a state behind it, at the end or before.

        None where that is hopeless. Then the places of the error, of its token, of the last repair, and of the end of the
        text that the state depends on; and how many repairs and steps there were. The last place and these numbers go on
        from what they were before. Without a new repair `data` was read to its end.
        """
        cdef Outcome outcome
        cdef Simulator_c *native = self.simulator.native
        cdef Py_ssize_t length = PyBytes_Size(data)
        cdef const uint8_t *text = <const uint8_t *> PyBytes_AsString(data)
        if not self.has_room(length):
            raise OverflowError("text is longer than 2 GiB")
        outcome.state, outcome.error, outcome.error_token, outcome.seen = NULL, 0, 0, 0
        outcome.last, outcome.n_repairs, outcome.n_steps = last, n_repairs, n_steps
        take(native)
        with nogil:
            frontier_repair(native, self.native, text, <uint32_t> length, &outcome)
            pthread_mutex_unlock(&native.lock)
        state = None if outcome.state == NULL else wrap(self.simulator, outcome.state)
        places = outcome.error, outcome.error_token, outcome.last, outcome.seen
        return (state, *places, outcome.n_repairs, outcome.n_steps)

    def stacks(self) -> list[tuple[list[int], bytes]]:
        """Each reading's stack of LR states from the top, and the scanner's state. For people who debug."""
        cdef uint16_t states[256]
        cdef uint32_t n, length
        cdef const char *scan
        result = []
        for idx in range(self.native.n_readings):
            n = frontier_stack(self.native, idx, states, 256)
            scan = frontier_scan(self.native, idx, &length)
            result.append(([states[i] for i in range(n)], scan[:length]))
        return result

    def arena_bytes(self) -> int:
        """Memory held by the stacks that this state shares with its relatives."""
        return arena_size(self.native.arena)
