#include "recovery.h"

#include <stdlib.h>
#include <string.h>

#include "witness.h"

/* A repair that leads no further counts for many. */
enum { HORIZON = 400, MAX_REPAIRS = 200, STUCK = 25, MAX_POPS = 24, MAX_SOURCES = 4, COST_SKIP = 10, COST_INSERT = 8, COST_PER_BYTE = 6 };
enum { MAX_NEAR_REPAIRS = 12, NEAR = 300 };
enum { BEAM = 16, MARGIN = 150 };
enum { MAX_LINES = 5, MAX_LINE_VERSIONS = 4, COST_LINE = 12, COST_LINE_BACK = 4, LONGEST_LINE = 1000 };
enum { MAX_BACK = 12 };

/* Behind a repair this much text must read before it stands, as an error that comes sooner may show that another one was
 * meant. No less than what it is chosen by. */
enum { CALM = HORIZON };

/* Perl has hundreds of terminals that may come next. */
enum { MAX_READ = 16000 };

/* About 50 ms: a text that needs more is not worth it. Reading it to its end once is always paid for. */
enum { MAX_STEPS = 1000000, MAX_STEPS_PER_BYTE = 16 };

/* What a repair does. Each kind has its own beam: there are often many terminals to think in that read on equally well. */
typedef enum { LEAVE_OUT, THINK_IN, THINK_IN_TWO, SKIP_LINES, N_KINDS } Kind;

typedef struct {
    Version best[BEAM];
    int64_t scores[BEAM];
    uint32_t n;
} Beam;

typedef struct {
    Simulator *simulator;
    Arena *arena;
    Text text;
    /* The best ways to go on, best first. Which one is meant often shows only later: all of them are read on. */
    Beam beams[N_KINDS];
    Trail trail;
    SeenToken *seen;
    uint64_t last_step;
    uint32_t n_read; /* tokens that were read to choose this repair */
} Repair;

static Version at_offset(Version version, uint32_t offset) {
    version.offset = offset;
    version.guessing = false;
    return version;
}

static uint32_t horizon_of(const Repair *self, uint32_t origin) {
    return self->text.length - origin > HORIZON ? origin + HORIZON : self->text.length;
}

static bool witness_unknown(Simulator *simulator, Text text) { return witness_search(simulator, text, (Ordinary){0}); }

/* A search writes behind the text, so no tokens may be remembered of it, and what stood there must come back. */
static bool is_witnessed(Repair *self, Text text, bool (*search)(Simulator *, Text)) {
    Lexer *lexer = &self->simulator->lexer;
    uint8_t behind[WITNESS_ROOM];
    memcpy(behind, text.bytes + text.length, sizeof behind);
    lexer->seen = NULL;
    bool result = search(self->simulator, text);
    lexer->seen = self->seen;
    memcpy((uint8_t *)text.bytes + text.length, behind, sizeof behind);
    return result;
}

/* How far the text reads from here before the next error, up to the horizon. */
static uint32_t look_ahead(Repair *self, Version version, uint32_t origin) {
    Text text = self->text;
    text.length = horizon_of(self, origin);
    if (version.offset >= text.length) return text.length;
    simulator_begin(self->simulator, self->arena, RUN_READ, text, text.length);
    Run *run = &self->simulator->run;
    version.height = 0; /* what is remembered of the search for a witness tells how far down it depends on the stack */
    run->lowest = 0;
    run_add(run, version);
    if (!simulator_go(self->simulator)) return version.offset;
    if (run->witness) return text.length;
    /* Without a witness the pending token may still be half a word; it counts only where the text was cut. */
    if (run->pending.n && text.length < self->text.length) return text.length;
    uint32_t died_at = run->died_at;
    return run->pending.n && is_witnessed(self, text, witness_known) ? text.length : died_at;
}

static bool is_blank(const Text *text, uint32_t from, uint32_t to) {
    if (to - from > LONGEST_LINE) return false;
    for (; from < to; from++)
        if (text->bytes[from] > ' ') return false;
    return true;
}

static uint32_t line_start(const Text *text, uint32_t at) {
    uint32_t least = at > LONGEST_LINE ? at - LONGEST_LINE : 0;
    while (at > least && text->bytes[at - 1] != '\n') at--;
    return at;
}

static uint32_t line_end(const Text *text, uint32_t at) {
    uint32_t n = text->length - at < LONGEST_LINE ? text->length - at : LONGEST_LINE;
    const uint8_t *found = memchr(text->bytes + at, '\n', n);
    return found ? (uint32_t)(found - text->bytes) : at + n;
}

static void consider(Repair *self, Kind kind, Version version, uint32_t origin, uint32_t cost) {
    Beam *beam = &self->beams[kind];
    for (uint32_t i = 0; i < beam->n; i++) {
        const Version *it = &beam->best[i];
        if (it->node == version.node && it->scan == version.scan && it->offset == version.offset) return;
    }
    int64_t price = COST_PER_BYTE * (int64_t)cost, most = horizon_of(self, origin) - price;
    if (beam->n == BEAM && beam->scores[BEAM - 1] >= most) return;
    if (self->simulator->counters.n_steps >= self->last_step) return;
    uint32_t reached = look_ahead(self, version, origin);
    int64_t score = reached - price;
    if (reached <= origin && version.offset <= origin) return;
    uint32_t at = beam->n;
    while (at > 0 && beam->scores[at - 1] < score) at--;
    if (at == BEAM) return;
    if (beam->n < BEAM) beam->n++;
    for (uint32_t i = beam->n - 1; i > at; i--) beam->best[i] = beam->best[i - 1], beam->scores[i] = beam->scores[i - 1];
    beam->best[at] = version;
    beam->scores[at] = score;
}

static Token token_of(Repair *self, Text text, Version version) {
    Arena *arena = self->arena;
    Lexer *lexer = &self->simulator->lexer;
    lexer_set_text(lexer, text);
    self->n_read++;
    uint16_t state = arena->nodes[version.node].state;
    if (tables_lex_mode(&self->simulator->tables, state).lex_state == ABI_NO_LOOKAHEAD) return (Token){0};
    return lexer_read(lexer, &self->simulator->tables, arena, state, version.offset, version.scan);
}

static Token next_token(Repair *self, Version version) { return token_of(self, self->text, version); }

/* Whether anything at all can be read there: in a string, in a comment. */
static bool is_free(Repair *self, Version version) {
    static const uint8_t junk[] = "\1\1 \1\1 ";
    Text text = {.bytes = junk, .length = sizeof junk - 1};
    Token token = token_of(self, text, at_offset(version, 0));
    return token.found && token.end && run_can_shift(&self->simulator->run, version.node, token.symbol);
}

static bool ends_in_line(Repair *self, Version version) {
    Token token = next_token(self, version);
    return token.found && token.end < line_end(&self->text, token.start);
}

/* Whether the next token can be read there. What a string would swallow whole says nothing: anything fits into one. */
static bool fits(Repair *self, Version version) {
    Token token = next_token(self, version);
    if (!token.found || !run_can_shift(&self->simulator->run, version.node, token.symbol)) return false;
    const uint8_t *start = self->text.bytes + token.start;
    uint32_t length = token.end - token.start;
    if (memchr(start, '\n', length)) return false;
    return token.end < self->text.length || !memchr(start, ' ', length);
}

static void skip_token(Repair *self, Version version, uint32_t origin) {
    Token token = next_token(self, version);
    if (token.found && (token.end > version.offset || token.scan != version.scan)) {
        Version next = at_offset(version, token.end);
        if (token.external) next.scan = token.scan;
        consider(self, LEAVE_OUT, next, origin, COST_SKIP);
    }
    if (token.found && !token.external) return;
    uint32_t offset = token.start > version.offset ? token.start : version.offset;
    if (offset >= self->text.length) return;
    do offset++;
    while (offset < self->text.length && (self->text.bytes[offset] & 0xC0) == 0x80);
    consider(self, LEAVE_OUT, at_offset(version, offset), origin, COST_SKIP);
}

static void pop_entries(Repair *self, Version version) {
    Arena *arena = self->arena;
    uint32_t node = version.node;
    for (uint32_t k = 1; k <= MAX_POPS && arena->nodes[node].n_links; k++) {
        node = arena_links(arena, node)[0];
        Version next = at_offset(version, version.offset);
        next.node = node;
        if (fits(self, next)) consider(self, LEAVE_OUT, next, version.offset, 3 * k + 4);
    }
}

/* Thinks in as many tokens; the last of them makes the next one fit that the text has. What begins a
 * string or a comment only where the text ends it on the same line: else whatever follows would do. */
static void insert_tokens(Repair *self, Version version, uint32_t n, uint32_t cost) {
    bool was_free = is_free(self, version);
    Arena *arena = self->arena;
    Tables *tables = &self->simulator->tables;
    for (uint32_t symbol = 1; symbol < tables->abi->n_tokens && self->n_read < MAX_READ; symbol++) {
        if (!tables_row(tables, arena->nodes[version.node].state)[symbol]) continue;
        uint32_t node = run_shift(&self->simulator->run, version.node, (uint16_t)symbol);
        if (node == ARENA_NONE || node == version.node) continue;
        Version next = at_offset(version, version.offset);
        next.node = node;
        if (!was_free && is_free(self, next)) {
            while (next.offset < self->text.length && self->text.bytes[next.offset] <= ' ') next.offset++;
            if (!ends_in_line(self, next)) continue;
        }
        bool does_fit = fits(self, next);
        if (n > 1 && !does_fit) insert_tokens(self, next, n - 1, cost + COST_INSERT);
        if (n == 1 && does_fit) consider(self, cost ? THINK_IN_TWO : THINK_IN, next, version.offset, cost + COST_INSERT);
    }
}

/* An error may lie before the place where it shows: leaves out one of the tokens before. */
static void skip_before(Repair *self, uint32_t origin) {
    const Trail *trail = &self->trail;
    for (uint32_t i = trail->n, n = 0; i > 0 && trail->n - i < RUN_TRAIL && n < MAX_BACK; i--) {
        Version version = trail->at[(i - 1) % RUN_TRAIL];
        if (version.offset >= origin) continue;
        skip_token(self, version, origin);
        n++;
    }
}

/* Where a bracket ends the line, it; else its end. */
static uint32_t last_opener(const Text *text, uint32_t start, uint32_t end) {
    uint32_t last = end;
    while (last > start && text->bytes[last - 1] <= ' ') last--;
    return last > start && memchr("{[(", text->bytes[last - 1], 3) ? last - 1 : end;
}

/* Leaves out a line, or all from it to the one where the error shows: a lost quote shows only where the next string ends.
 * A bracket that is open at the end of the line is kept, since it is closed later. */
static void skip_lines(Repair *self, uint32_t origin) {
    const Trail *trail = &self->trail;
    const Text *text = &self->text;
    uint32_t start = line_start(text, origin), last_end = line_end(text, origin);
    for (uint32_t n = 0; n < MAX_LINES; n++) {
        uint32_t end = line_end(text, start), opener = last_opener(text, start, end), n_found = 0;
        for (uint32_t i = trail->n > RUN_TRAIL ? trail->n - RUN_TRAIL : 0; i < trail->n && n_found < MAX_LINE_VERSIONS; i++) {
            Version version = trail->at[i % RUN_TRAIL];
            if (version.offset > start || !is_blank(text, version.offset, start)) continue;
            n_found++;
            uint32_t cost = COST_LINE + COST_LINE_BACK * n;
            if (opener < end) consider(self, SKIP_LINES, at_offset(version, opener), origin, cost);
            consider(self, SKIP_LINES, at_offset(version, end), origin, cost);
            if (n) consider(self, SKIP_LINES, at_offset(version, last_end), origin, cost + COST_LINE * n);
        }
        if (start == 0) break;
        start = line_start(text, start - 1);
    }
}

/* The best of all kinds. */
static VersionSet find_best(Repair *self) {
    VersionSet found = {0};
    int64_t best = INT64_MIN;
    for (uint32_t i = 0; i < N_KINDS; i++)
        if (self->beams[i].n && self->beams[i].scores[0] > best) best = self->beams[i].scores[0];
    for (uint32_t i = 0; i < N_KINDS; i++)
        for (uint32_t j = 0; j < self->beams[i].n && self->beams[i].scores[j] + MARGIN >= best; j++)
            versions_add(&found, self->arena, self->beams[i].best[j]);
    return found;
}

static uint32_t max(uint32_t a, uint32_t b) { return a > b ? a : b; }

/* Up to the end of the first line behind calm text. */
static Text until_calm(const Text *text, uint32_t from) {
    Text result = *text;
    if (text->length - from > CALM) result.length = line_end(text, from + CALM);
    return result;
}

static void find_repairs(Repair *self, const VersionSet *dead, uint32_t origin) {
    for (uint32_t i = 0; i < N_KINDS; i++) self->beams[i].n = 0;
    self->n_read = 0;
    for (uint32_t i = 0; i < dead->n && i < MAX_SOURCES; i++) {
        skip_token(self, dead->at[i], origin);
        pop_entries(self, dead->at[i]);
        /* Two, as the `) {` of a head that was cut short. */
        for (uint32_t n = 1; n <= 2; n++) insert_tokens(self, dead->at[i], n, 0);
    }
    skip_before(self, origin);
    skip_lines(self, origin);
}

static void repair(Repair *self, const Frontier *from, Outcome *outcome) {
    Simulator *simulator = self->simulator;
    Run *run = &simulator->run;
    Text text = self->text, until = text;
    VersionSet chosen = {0};
    uint32_t n_before = outcome->n_repairs, n_near = 0, behind = 0;
    uint64_t most = MAX_STEPS + (uint64_t)MAX_STEPS_PER_BYTE * (from->base + text.length);
    uint64_t began = simulator->counters.n_steps - outcome->n_steps;
    self->last_step = began + most;
    while (outcome->n_repairs <= MAX_REPAIRS && n_near <= MAX_NEAR_REPAIRS && simulator->counters.n_steps < self->last_step) {
        bool is_first = outcome->n_repairs == n_before, is_cut = until.length < text.length;
        simulator_begin(simulator, from->arena, RUN_READ, until, until.length);
        if (is_first) simulator_add_readings(simulator, from);
        for (uint32_t i = 0; i < chosen.n; i++) run_add(run, chosen.at[i]);
        run->trail = &self->trail;
        if (!simulator_go(simulator)) break;
        /* A search in vain leaves the deaths of its own last guess behind. */
        VersionSet dead = run->dead;
        uint32_t died_at = run->died_at, died_token = run->died_token;
        if (run->witness || (run->pending.n && is_witnessed(self, until, witness_unknown))) {
            until.length = is_cut ? behind : text.length;
            outcome->state = frontier_make(from->arena, is_cut ? &chosen : &run->pending, &until, from->base);
            outcome->n_steps = simulator->counters.n_steps - began;
            return;
        }
        if (dead.n == 0 && is_cut) {
            until = text;
            continue;
        }
        if (dead.n == 0) {
            /* Only half tokens at the very end and nothing that could complete them. */
            for (uint32_t i = 0; i < run->pending.n; i++) versions_add(&dead, from->arena, run->pending.at[i]);
            if (dead.n == 0) break;
            died_at = dead.at[0].offset;
        }
        if (is_first) {
            outcome->error = from->base + died_at;
            outcome->error_token = from->base + max(died_token, died_at);
        }
        find_repairs(self, &dead, died_at);
        chosen = find_best(self);
        if (chosen.n == 0) break;
        behind = died_at;
        for (uint32_t i = 0; i < chosen.n; i++) behind = max(behind, chosen.at[i].offset);
        until = until_calm(&text, behind);
        bool is_stuck = outcome->n_repairs && from->base + died_at <= outcome->last;
        outcome->last = from->base + died_at;
        outcome->seen = max(outcome->seen, from->base + max(until.length, line_end(&text, died_at)));
        outcome->n_repairs += is_stuck ? STUCK : 1;
        n_near += died_at + NEAR > text.length;
    }
}

void recover(Simulator *simulator, const Frontier *from, Text text, Outcome *outcome) {
    Repair self = {.simulator = simulator, .arena = from->arena, .text = text};
    self.seen = simulator->lexer.seen = calloc(SEEN_TOKENS, sizeof *self.seen);
    repair(&self, from, outcome);
    simulator->lexer.seen = NULL;
    free(self.seen);
}
