#define _GNU_SOURCE /* memrchr */
#include "frontier.h"

#include <stdlib.h>
#include <string.h>

#include "ascii.h"
#include "recovery.h"
#include "witness.h"

/* Reading one token takes a few steps; this bounds grammars that reduce for ever and pathological forks. */
enum { STEPS_PER_BYTE = 64, STEPS_AT_LEAST = 20000 };

Simulator *simulator_new(const AbiLanguage *abi) {
    Simulator *self = calloc(1, sizeof *self);
    if (!self) return NULL;
    pthread_mutex_init(&self->lock, NULL);
    self->run.tables = &self->tables;
    self->run.lexer = &self->lexer;
    lexer_init(&self->lexer, &self->tables);
    if (!tables_init(&self->tables, abi)) {
        simulator_free(self);
        return NULL;
    }
    return self;
}

bool simulator_prepare(Simulator *self) { return probes_init(&self->probes, &self->lexer, &self->tables); }

void simulator_free(Simulator *self) {
    if (self->tables.abi) lexer_free(&self->lexer, &self->tables);
    probes_free(&self->probes);
    alike_free(&self->alike);
    if (self->tables.abi) tables_free(&self->tables);
    free(self->buffer);
    pthread_mutex_destroy(&self->lock);
    free(self);
}

bool simulator_reserve(Simulator *self, uint32_t length) {
    if (length <= self->cap_buffer) return true;
    uint32_t wanted = length + length / 2 + 4096;
    uint8_t *larger = realloc(self->buffer, wanted);
    if (!larger) return false;
    self->buffer = larger;
    self->cap_buffer = wanted;
    return true;
}

void simulator_begin(Simulator *self, Arena *arena, RunMode mode, Text text, uint32_t mark) {
    Run *run = &self->run;
    run->arena = arena;
    arena->failed = false;
    run->max_steps = STEPS_AT_LEAST + (uint64_t)STEPS_PER_BYTE * text.length;
    run_begin(run, mode, text, mark);
}

bool simulator_go(Simulator *self) {
    Run *run = &self->run;
    run_go(run);
    self->counters.n_steps += run->n_steps;
    self->counters.n_hangs = self->lexer.n_hangs;
    if (run->exhausted || run->arena->failed) {
        self->counters.n_exhausted++;
        return false;
    }
    return true;
}

/* The frontier of pending versions over `text`, whose first byte lies at `base`. Takes no ownership of the arena. */
Frontier *frontier_make(Arena *arena, const VersionSet *pending, const Text *text, uint32_t base) {
    uint32_t start = text->length;
    for (uint32_t i = 0; i < pending->n; i++)
        if (pending->at[i].offset < start) start = pending->at[i].offset;
    uint32_t n_tail = text->length - start;
    Frontier *self = malloc(sizeof *self + pending->n * sizeof(Reading) + n_tail);
    if (!self) return NULL;
    self->arena = arena;
    self->base = base + start;
    self->column = text_column(text, start);
    self->n_readings = pending->n;
    self->n_tail = n_tail;
    self->n_token = 0;
    self->readings = (Reading *)(self + 1);
    self->tail = (uint8_t *)(self->readings + pending->n);
    if (n_tail) memcpy(self->tail, text->bytes + start, n_tail);
    uint64_t hash = hash_bytes(self->tail, n_tail);
    for (uint32_t i = 0; i < pending->n; i++) {
        const Version *version = &pending->at[i];
        self->readings[i] = (Reading){version->node, version->scan, version->offset - start, version->last};
        uint64_t mixed = arena->nodes[version->node].hash ^ (arena->scans[version->scan].hash + version->offset - start);
        hash += hash_mix(mixed); /* a sum, so that the order of readings does not matter */
    }
    self->hash = hash;
    arena_retain(arena);
    return self;
}

Frontier *frontier_start(Simulator *simulator) {
    (void)simulator;
    Arena *arena = arena_new(ABI_START_STATE);
    if (!arena) return NULL;
    VersionSet start = {.n = 1, .at = {{.node = ARENA_ROOT, .scan = ARENA_NO_SCAN}}};
    Text text = {.at_file_start = true};
    Frontier *self = frontier_make(arena, &start, &text, 0);
    arena_release(arena);
    return self;
}

void frontier_release(Frontier *self) {
    arena_release(self->arena);
    free(self);
}

static bool same_reading(const Frontier *a, const Reading *left, const Frontier *b, const Reading *right) {
    if (left->offset != right->offset || left->last != right->last) return false;
    if (a->arena == b->arena) return left->node == right->node && left->scan == right->scan;
    /* Between arenas: 64 bits of a structural hash; ids differ. */
    return a->arena->nodes[left->node].hash == b->arena->nodes[right->node].hash &&
           a->arena->scans[left->scan].hash == b->arena->scans[right->scan].hash;
}

bool frontier_equal(const Simulator *simulator, const Frontier *left, const Frontier *right) {
    if (left == right) return true;
    if (left->hash != right->hash || left->n_readings != right->n_readings || left->n_tail != right->n_tail) return false;
    if (simulator->lexer.uses_column && left->column != right->column) return false;
    if ((left->base == 0) != (right->base == 0)) return false;
    if (memcmp(left->tail, right->tail, left->n_tail)) return false;
    for (uint32_t i = 0; i < left->n_readings; i++) {
        uint32_t j = 0;
        while (j < right->n_readings && !same_reading(left, &left->readings[i], right, &right->readings[j])) j++;
        if (j == right->n_readings) return false;
    }
    return true;
}

/* Tail and data side by side in the buffer, with room for a probe. */
static bool join(Simulator *simulator, const Frontier *self, const uint8_t *data, uint32_t length, Text *text) {
    if (!simulator_reserve(simulator, self->n_tail + length + WITNESS_ROOM)) return false;
    memcpy(simulator->buffer, self->tail, self->n_tail);
    if (length) memcpy(simulator->buffer + self->n_tail, data, length);
    *text = (Text){simulator->buffer, self->n_tail + length, self->column, self->base == 0};
    return true;
}

void simulator_add_readings(Simulator *simulator, const Frontier *self) {
    for (uint32_t i = 0; i < self->n_readings; i++) {
        const Reading *it = &self->readings[i];
        run_add(&simulator->run, (Version){.node = it->node, .scan = it->scan, .offset = it->offset, .last = it->last});
    }
}

/* Reads tail + data; true if some continuation parses. The run then holds what is pending. */
static bool read_on(Simulator *simulator, const Frontier *self, const uint8_t *data, uint32_t length, Text *text) {
    if (!join(simulator, self, data, length, text)) return false;
    simulator_begin(simulator, self->arena, RUN_READ, *text, text->length);
    simulator_add_readings(simulator, self);
    simulator->run.lowest = 0;
    if (!simulator_go(simulator)) return false;
    if (simulator->run.witness) {
        /* It needs no end: anything that it goes on with will do. */
        if (self->n_token) probes_close_with(&simulator->probes, (const uint8_t *)"a", 1);
        return true;
    }
    return simulator->run.pending.n && witness_known(simulator, *text);
}

/* Lexers have no memory, so each check reads all of a long token again, 100 KB in a millisecond. What is cheap to know
 * about one is worth knowing. */
enum { LOOK_BACK = 256, FEW_WORDS = 24 };

/* What ends no long token: letters, digits and blanks, and of a very long one signs of prose. */
static bool is_plain(uint8_t c, bool is_very_long) {
    return c == ' ' || is_word(c) || (is_very_long && (c == ',' || c == '.'));
}

/* Signs that neither end a token nor begin what stands in the middle of a string (${a}), so that a word may follow them. */
static bool is_sign_in_prose(uint8_t c) { return c && strchr(".,:;-=+*?![", c); }

/* Whether the first word of the tail's last line has ended: words that end a heredoc stand alone in their line. */
static bool is_inside_line(const Frontier *self, bool is_very_long) {
    uint32_t from = self->n_tail > LOOK_BACK ? self->n_tail - LOOK_BACK : 0;
    const uint8_t *line = memrchr(self->tail + from, '\n', self->n_tail - from);
    if (!line && from) return true;
    const uint8_t *end = self->tail + self->n_tail;
    for (line = line ? line + 1 : self->tail; line < end && (*line == ' ' || *line == '\t'); line++) {}
    while (line < end && (is_word(*line) || !is_plain(*line, is_very_long))) line++;
    return line < end;
}

/* Whether `data` goes on with the long token that the tail ends in. Words and blanks end no token that holds such already, in
 * any grammar, but for a word with a blank behind a backslash and short ones that are several words (not in). */
static bool keeps_in_token(const Frontier *self, const uint8_t *data, uint32_t length) {
    bool is_very_long = self->n_token >= LOOK_BACK;
    if (!self->n_token) return false;
    uint8_t last = self->tail[self->n_tail - 1];
    if (!is_plain(last, is_very_long) && !(is_sign_in_prose(last) && is_word(*data))) return false;
    for (uint32_t i = 0; i < length; i++)
        if (!is_plain(data[i], is_very_long)) return false;
    const uint8_t *token = self->tail + self->n_tail - self->n_token;
    if (self->n_token < FEW_WORDS && (is_word(*token) || *token >= 0x80)) return false;
    if (!is_very_long && (!memchr(token, ' ', self->n_token) || memchr(token, '\\', self->n_token))) return false;
    return is_inside_line(self, is_very_long);
}

/* The same when `data` may end it: reads on once, to the end that helped last. All of the text being in the token, it is
 * read to the end of the text without the probe, too, so nothing else is undecided. */
static bool stays_in_token(Simulator *simulator, const Frontier *self, const Text *text) {
    const Probes *probes = &simulator->probes;
    if (probes->n_closer == 0) return false;
    memcpy((uint8_t *)text->bytes + text->length, probes->closer, probes->n_closer);
    Text longer = *text;
    longer.length += probes->n_closer;
    simulator_begin(simulator, self->arena, RUN_WITNESS, longer, text->length + 1);
    simulator_add_readings(simulator, self);
    const Run *run = &simulator->run;
    bool is_read = simulator_go(simulator) && run->witness;
    return is_read && run->long_start == self->n_tail - self->n_token && run->long_end >= text->length;
}

/* What the lexer need not find out again about the token that the tail ends in, if it is long and all that the tail holds. */
static void begin_token(LongToken *long_token, const Frontier *self, const Text *text) {
    const Reading *it = &self->readings[0];
    if (self->n_token < FEW_WORDS) return;
    for (uint32_t i = it->offset; i < self->n_tail - self->n_token; i++)
        if (self->tail[i] > ' ') return;
    *long_token = (LongToken){.is_begun = true, .state = self->arena->nodes[it->node].state, .offset = it->offset,
                              .scan = it->scan, .n_undecided = self->n_tail,
                              .n_shared = text->length - utf8_partial(text->bytes, text->length)};
}

/* The frontier that a successful `read_on` leads to. */
static Frontier *after_reading(Simulator *simulator, const Frontier *self, const Text *text) {
    const Run *run = &simulator->run;
    Frontier *made = frontier_make(self->arena, &run->pending, text, self->base);
    if (made && run->pending.n == 1 && run->long_end >= text->length && run->long_start >= run->pending.at[0].offset)
        made->n_token = text->length - run->long_start;
    return made;
}

static Frontier *go_on(const Frontier *self, const Text *text) {
    VersionSet same;
    const Reading *it = &self->readings[0];
    same.n = 1;
    same.at[0] = (Version){.node = it->node, .scan = it->scan, .offset = it->offset, .last = it->last};
    Frontier *made = frontier_make(self->arena, &same, text, self->base);
    if (made) made->n_token = text->length - (self->n_tail - self->n_token);
    return made;
}

Frontier *frontier_step(Simulator *simulator, const Frontier *self, const uint8_t *data, uint32_t length) {
    Text text;
    LongToken *long_token = &simulator->lexer.long_token;
    if (self->n_token) {
        if (!join(simulator, self, data, length, &text)) return NULL;
        if (keeps_in_token(self, data, length)) return go_on(self, &text);
        begin_token(long_token, self, &text);
        if (long_token->is_begun && stays_in_token(simulator, self, &text)) {
            long_token->is_begun = false;
            return go_on(self, &text);
        }
    }
    bool is_read = read_on(simulator, self, data, length, &text);
    long_token->is_begun = false;
    if (!is_read) simulator->counters.n_refused++;
    return is_read ? after_reading(simulator, self, &text) : NULL;
}

bool frontier_reads(Simulator *simulator, const Frontier *self, const uint8_t *data, uint32_t length) {
    Text text;
    return read_on(simulator, self, data, length, &text);
}

/* What was learnt about suffixes: places between tokens where a single version stood, and how much was left unread. */
enum { MAX_NOTES = 64, VERDICT_SLOTS = 4096 };

typedef struct {
    uint32_t tail;
    bool is_lenient;
    Arena *arena;
    uint64_t keys[MAX_NOTES];
    uint32_t n_keys;
    bool known;
    uint32_t verdict;
} Notes;

static uint64_t place_key(const Version *version, uint32_t left) {
    uint64_t stack = (uint64_t)version->node << 32 | version->scan;
    return hash_mix(stack * 0x9e3779b97f4a7c15u ^ hash_mix((uint64_t)version->last << 32 | (left + 1)));
}

static bool note_place(Run *run, const Version *version) {
    Notes *notes = run->listener;
    if (version->offset < notes->tail || notes->n_keys == MAX_NOTES) return false;
    const Arena *arena = notes->arena;
    uint32_t left = run->text.length - version->offset;
    uint64_t key = place_key(version, left) ^ notes->is_lenient;
    if (notes->n_keys && notes->keys[notes->n_keys - 1] == key) return false;
    const Verdict *verdict = &arena->verdicts[key & (VERDICT_SLOTS - 1)];
    bool is_valid = verdict->epoch == arena->epoch || (verdict->epoch >= arena->oldest_epoch && left <= arena->shared);
    if (verdict->key == key && is_valid) {
        notes->known = true;
        notes->verdict = verdict->value;
        return true;
    }
    notes->keys[notes->n_keys++] = key;
    return false;
}

/* Bytes that both end with. */
static uint32_t common_end(const uint8_t *a, uint32_t n_a, const uint8_t *b, uint32_t n_b) {
    uint32_t most = n_a < n_b ? n_a : n_b;
    if (!most || !memcmp(a + n_a - most, b + n_b - most, most)) return most;
    uint32_t n = 0;
    while (a[n_a - n - 1] == b[n_b - n - 1]) n++;
    return n;
}

/* Makes the arena remember this suffix. Places are told by what is left of it, so what was learnt stays true in the end
 * that it shares with the suffixes before: a key typed before it, or taken from it, costs nothing. */
static bool keep_suffix(Arena *arena, const uint8_t *suffix, uint32_t length) {
    if (!arena->verdicts) {
        arena->verdicts = calloc(VERDICT_SLOTS, sizeof *arena->verdicts);
        if (!arena->verdicts) return false;
        arena->n_verdicts = VERDICT_SLOTS;
    }
    uint32_t n_common = common_end(arena->suffix, arena->suffix_length, suffix, length);
    if (n_common == length && n_common == arena->suffix_length) return true;
    uint8_t *copy = realloc(arena->suffix, length ? length : 1);
    if (!copy) {
        arena->suffix_length = 0;
        return false;
    }
    memcpy(copy, suffix, length);
    arena->suffix = copy;
    arena->suffix_length = length;
    arena->epoch++;
    if (n_common < arena->shared) arena->shared = n_common;
    if (arena->shared < length / 2) {
        arena->oldest_epoch = arena->epoch;
        arena->shared = length;
    }
    return true;
}

uint32_t frontier_reach(Simulator *simulator, const Frontier *self, const uint8_t *suffix, uint32_t length,
                        bool is_lenient) {
    Text text;
    if (!join(simulator, self, suffix, length, &text)) return 0;
    Run *run = &simulator->run;
    simulator_begin(simulator, self->arena, RUN_WHOLE, text, 0);
    if (is_lenient) run->lenient_from = self->n_tail;
    simulator_add_readings(simulator, self);
    Notes notes = {.tail = self->n_tail, .is_lenient = is_lenient, .arena = self->arena};
    /* Equal stacks read on equally, unless the grammar looks at columns: then only the plain parse is certain. */
    if (length && !simulator->lexer.uses_column && keep_suffix(self->arena, suffix, length)) {
        run->between = note_place;
        run->listener = &notes;
    }
    begin_token(&simulator->lexer.long_token, self, &text);
    bool is_sure = simulator_go(simulator);
    simulator->lexer.long_token.is_begun = false;
    uint32_t reach = notes.known ? length + 1 - notes.verdict : run->accepted ? length + 1 : 0;
    if (!run->accepted && run->died_at > self->n_tail + reach) reach = run->died_at - self->n_tail;
    if (!is_sure) return 0;
    for (uint32_t i = 0; i < notes.n_keys; i++)
        self->arena->verdicts[notes.keys[i] & (VERDICT_SLOTS - 1)] =
            (Verdict){.key = notes.keys[i], .value = length + 1 - reach, .epoch = self->arena->epoch};
    return reach;
}

int64_t frontier_end_error(Simulator *simulator, const Frontier *self, uint32_t *token) {
    Text text;
    *token = self->base;
    if (!join(simulator, self, NULL, 0, &text)) return self->base;
    simulator_begin(simulator, self->arena, RUN_WHOLE, text, 0);
    simulator_add_readings(simulator, self);
    if (simulator_go(simulator) && simulator->run.accepted) return -1;
    *token = self->base + simulator->run.died_token;
    return (int64_t)self->base + simulator->run.died_at;
}

/* Where the readings stand once the pending tokens are taken as they are; left in `run.reached`, or in `run.pending`
 * where the tail holds no whole token. */
static const VersionSet *read_tail(Simulator *simulator, const Frontier *self) {
    Text text;
    Run *run = &simulator->run;
    if (!join(simulator, self, NULL, 0, &text)) return &run->reached;
    simulator_begin(simulator, self->arena, RUN_READ, text, text.length);
    run->keeps_reached = true;
    simulator_add_readings(simulator, self);
    simulator_go(simulator);
    return run->reached.n ? &run->reached : &run->pending;
}

/* The least that is counted on any reading's stack. */
static uint32_t least_of(Simulator *simulator, const Frontier *self, uint32_t count(const Tables *, const Arena *, uint32_t)) {
    const VersionSet *versions = read_tail(simulator, self);
    uint32_t least = UINT32_MAX;
    for (uint32_t i = 0; i < versions->n; i++) {
        uint32_t n = count(&simulator->tables, self->arena, versions->at[i].node);
        if (n < least) least = n;
    }
    return least == UINT32_MAX ? 0 : least;
}

static uint32_t whole_depth(const Tables *tables, const Arena *arena, uint32_t node) {
    return stack_depth(tables, arena, node, UINT32_MAX);
}

uint32_t frontier_depth(Simulator *simulator, const Frontier *self) { return least_of(simulator, self, whole_depth); }

uint32_t frontier_unfinished(Simulator *simulator, const Frontier *self) {
    return simulator->tables.marks_used & MARK_OPENS ? least_of(simulator, self, stack_unfinished) : 0;
}

uint32_t frontier_stack(const Frontier *self, uint32_t idx, uint16_t *states, uint32_t cap) {
    uint32_t n = 0;
    for (uint32_t node = self->readings[idx].node; n < cap; node = arena_links(self->arena, node)[0]) {
        states[n++] = self->arena->nodes[node].state;
        if (!self->arena->nodes[node].n_links) break;
    }
    return n;
}

const char *frontier_scan(const Frontier *self, uint32_t idx, uint32_t *length) {
    const Scan *scan = &self->arena->scans[self->readings[idx].scan];
    *length = scan->length;
    return scan->length ? self->arena->scan_bytes + scan->start : "";
}

void frontier_expected(Simulator *simulator, const Frontier *self, uint8_t *symbols) {
    const VersionSet *versions = read_tail(simulator, self);
    for (uint32_t i = 0; i < versions->n; i++) {
        uint32_t node = versions->at[i].node;
        const uint16_t *row = tables_row(&simulator->tables, self->arena->nodes[node].state);
        for (uint32_t symbol = 0; symbol < simulator->tables.abi->n_tokens; symbol++)
            if (!symbols[symbol] && row[symbol] && run_can_shift(&simulator->run, node, (uint16_t)symbol))
                symbols[symbol] = 1;
    }
}

void frontier_repair(Simulator *simulator, const Frontier *from, const uint8_t *data, uint32_t length, Outcome *outcome) {
    Text text;
    if (join(simulator, from, data, length, &text)) recover(simulator, from, text, outcome);
}
