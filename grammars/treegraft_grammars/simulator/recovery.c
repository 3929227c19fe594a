#include "recovery.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "witness.h"

enum { HORIZON = 400, MAX_REPAIRS = 200, MAX_POPS = 24, MAX_SOURCES = 4, COST_SKIP = 10, COST_INSERT = 8, COST_PER_BYTE = 6 };
enum { MAX_NEAR_REPAIRS = 12, NEAR = 300 };
enum { BEAM = 16, MARGIN = 150 };

/* About 50 ms: a text that needs more is not worth it. Reading it to its end once is always paid for. */
enum { MAX_STEPS = 1000000, MAX_STEPS_PER_BYTE = 16 };

typedef struct {
    Simulator *simulator;
    Arena *arena;
    Text text;
    /* The best ways to go on, best first. Which one is meant often shows only later: all of them are read on. */
    Version best[BEAM];
    int64_t scores[BEAM];
    uint32_t n_best;
} Repair;

static Version at_offset(Version version, uint32_t offset) {
    version.offset = offset;
    version.guessing = false;
    return version;
}

/* How far the text reads from here before the next error, up to the horizon. */
static uint32_t look_ahead(Repair *self, Version version, uint32_t origin) {
    Text text = self->text;
    uint32_t end = origin + HORIZON;
    if (end < text.length) text.length = end;
    if (version.offset >= text.length) return text.length;
    simulator_begin(self->simulator, self->arena, RUN_READ, text, text.length);
    run_add(&self->simulator->run, version);
    if (!simulator_go(self->simulator)) return version.offset;
    Run *run = &self->simulator->run;
    if (run->witness) return text.length;
    /* Without a witness the pending token may still be half a word; it counts only where the text was cut. */
    if (run->pending.n && text.length < self->text.length) return text.length;
    return run->died_at;
}

static void consider(Repair *self, Version version, uint32_t origin, uint32_t cost) {
    uint32_t reached = look_ahead(self, version, origin);
    int64_t score = (int64_t)reached - COST_PER_BYTE * (int64_t)cost;
    if (reached <= origin && version.offset <= origin) return;
    for (uint32_t i = 0; i < self->n_best; i++) {
        const Version *it = &self->best[i];
        if (it->node == version.node && it->scan == version.scan && it->offset == version.offset) return;
    }
    uint32_t at = self->n_best;
    while (at > 0 && self->scores[at - 1] < score) at--;
    if (at == BEAM) return;
    if (self->n_best < BEAM) self->n_best++;
    for (uint32_t i = self->n_best - 1; i > at; i--) self->best[i] = self->best[i - 1], self->scores[i] = self->scores[i - 1];
    self->best[at] = version;
    self->scores[at] = score;
}

static Token next_token(Repair *self, Version version) {
    Arena *arena = self->arena;
    Lexer *lexer = &self->simulator->lexer;
    lexer_set_text(lexer, self->text);
    uint16_t state = arena->nodes[version.node].state;
    if (tables_lex_mode(&self->simulator->tables, state).lex_state == ABI_NO_LOOKAHEAD) return (Token){0};
    return lexer_read(lexer, &self->simulator->tables, arena, state, version.offset, version.scan);
}

static bool fits(Repair *self, Version version) {
    Token token = next_token(self, version);
    return token.found && run_can_shift(&self->simulator->run, version.node, token.symbol);
}

static void skip_token(Repair *self, Version version) {
    Token token = next_token(self, version);
    uint32_t origin = version.offset;
    if (token.found && (token.end > origin || token.scan != version.scan)) {
        Version next = at_offset(version, token.end);
        if (token.external) next.scan = token.scan;
        consider(self, next, origin, COST_SKIP);
    }
    if (token.found && !token.external) return;
    uint32_t offset = token.start > origin ? token.start : origin;
    if (offset >= self->text.length) return;
    do offset++;
    while (offset < self->text.length && (self->text.bytes[offset] & 0xC0) == 0x80);
    consider(self, at_offset(version, offset), origin, COST_SKIP);
}

static void pop_entries(Repair *self, Version version) {
    Arena *arena = self->arena;
    uint32_t node = version.node;
    for (uint32_t k = 1; k <= MAX_POPS && arena->nodes[node].n_links; k++) {
        node = arena_links(arena, node)[0];
        Version next = at_offset(version, version.offset);
        next.node = node;
        if (fits(self, next)) consider(self, next, version.offset, 3 * k + 4);
    }
}

static void insert_token(Repair *self, Version version) {
    Arena *arena = self->arena;
    Tables *tables = &self->simulator->tables;
    for (uint32_t symbol = 1; symbol < tables->abi->n_tokens; symbol++) {
        if (!tables_row(tables, arena->nodes[version.node].state)[symbol]) continue;
        uint32_t node = run_shift(&self->simulator->run, version.node, (uint16_t)symbol);
        if (node == ARENA_NONE || node == version.node) continue;
        Version next = at_offset(version, version.offset);
        next.node = node;
        if (fits(self, next)) consider(self, next, version.offset, COST_INSERT);
    }
}

static double confidence_of(uint32_t n_clean, uint32_t n_repairs) {
    double clean = (double)n_clean / (n_clean + 40.0);
    return clean * pow(0.99, n_repairs > 1 ? n_repairs - 1 : 0);
}

void recover(Simulator *simulator, const Frontier *from, Text text, Outcome *outcome) {
    Repair self = {.simulator = simulator, .arena = from->arena, .text = text};
    Run *run = &simulator->run;
    bool is_first = true, is_near = false;
    uint32_t n_repairs = 0, n_near = 0, last = 0;
    uint64_t last_step = simulator->counters.n_steps + MAX_STEPS + (uint64_t)MAX_STEPS_PER_BYTE * text.length;
    while (n_repairs <= MAX_REPAIRS && n_near <= MAX_NEAR_REPAIRS && simulator->counters.n_steps < last_step) {
        simulator_begin(simulator, from->arena, RUN_READ, text, text.length);
        if (is_first) simulator_add_readings(simulator, from);
        else
            for (uint32_t i = 0; i < self.n_best && self.scores[i] + MARGIN >= self.scores[0]; i++)
                run_add(run, self.best[i]);
        if (!simulator_go(simulator)) break;
        /* A search in vain leaves the deaths of its own last guess behind. */
        VersionSet dead = run->dead;
        uint32_t died_at = run->died_at, died_token = run->died_token;
        if (run->witness || (run->pending.n && witness_search(simulator, text, 0))) {
            outcome->state = frontier_make(from->arena, &run->pending, &text, from->base);
            outcome->confidence = confidence_of(text.length - last, n_repairs);
            return;
        }
        if (dead.n == 0) {
            /* Only half tokens at the very end and nothing that could complete them. */
            for (uint32_t i = 0; i < run->pending.n; i++) versions_add(&dead, from->arena, run->pending.at[i]);
            if (dead.n == 0) break;
            died_at = dead.at[0].offset;
        }
        if (is_first) {
            outcome->first_error = (int64_t)from->base + died_at;
            outcome->error_token = from->base + (died_token > died_at ? died_token : died_at);
        }
        is_first = false;
        last = died_at;
        self.n_best = 0;
        for (uint32_t i = 0; i < dead.n && i < MAX_SOURCES; i++) {
            skip_token(&self, dead.at[i]);
            pop_entries(&self, dead.at[i]);
            insert_token(&self, dead.at[i]);
        }
        if (self.n_best == 0) break;
        n_repairs++;
        is_near = last + NEAR > text.length;
        n_near += is_near;
    }
    /* Hopeless: the caller goes on without a constraint. The state is a valid one, but not of this text. */
    outcome->confidence = 0.0;
    Text nothing = {.at_file_start = true};
    VersionSet start = {.n = 1, .at = {{.node = ARENA_ROOT, .scan = ARENA_NO_SCAN}}};
    outcome->state = frontier_make(from->arena, &start, &nothing, 0);
}
