#include "witness.h"

#include <stdlib.h>
#include <string.h>

#include "ascii.h"

/* Bounds of the last resort, the search over characters that the lexers take in. */
enum { MAX_QUEUE = 3, MAX_PATH = 8, LONGEST_UNIT = 6 };

/* A long undecided tail is read again for every probe: the search ends after this many bytes, but not before as many
 * probes as usually suffice. */
enum { MAX_BYTES = 16 << 10, MIN_PROBES = 48, PREFERRED = 1, LONG_TEXT = 24, COSTLY_TEXT = 256 };

typedef struct {
    Simulator *simulator;
    Text text;          /* without probe */
    const VersionSet *pending; /* what probes are read from */
    const VersionSet *whole; /* not NULL: what a probe that helped must be read from, too */
    uint32_t from;      /* where the first undecided token begins */
    uint32_t n_probes;
    uint64_t n_bytes;
    bool is_confirmed;  /* the last probe helped, if not the whole */
    Ordinary ordinary;  /* before the last `n_after` bytes */
    uint32_t n_after;
    bool dead[256];     /* first bytes of probes that cannot help, whatever follows them */
} Search;

static bool reads(Search *self, const VersionSet *versions, Text text, uint32_t mark) {
    Simulator *simulator = self->simulator;
    simulator_begin(simulator, simulator->run.arena, RUN_WITNESS, text, mark);
    for (uint32_t i = 0; i < versions->n; i++) run_add(&simulator->run, versions->at[i]);
    simulator->lexer.touched_ever = false;
    return simulator_go(simulator) && simulator->run.witness;
}

/* A long undecided text is the inside of something that ends with a word, or of a comment or string. */
static bool is_long(const Search *self) { return self->text.length - self->from > LONG_TEXT; }

/* Whether the text followed by `probe` has a token that reaches beyond the text. */
static bool holds(Search *self, const uint8_t *probe, uint32_t length) {
    Text text = self->text;
    self->simulator->lexer.furthest = 0;
    if (self->dead[*probe] || length > WITNESS_PROBE || (self->n_bytes > MAX_BYTES && self->n_probes > MIN_PROBES)) return false;
    self->n_probes++;
    self->is_confirmed = false;
    self->n_bytes += text.length - self->from;
    memcpy((uint8_t *)text.bytes + text.length, probe, length);
    uint32_t mark = text.length + 1;
    text.length += length;
    if (!reads(self, self->pending, text, mark)) {
        /* All lexers had seen enough with this byte. */
        if (length == 1 && !self->simulator->lexer.touched_ever) self->dead[*probe] = true;
        return false;
    }
    self->is_confirmed = true;
    if (self->whole && !reads(self, self->whole, text, mark)) return false;
    if (is_long(self)) probes_close_with(&self->simulator->probes, probe, length);
    return true;
}

/* Single characters after which the lexers wanted more: paths to search on. */
enum { MAX_LIVE = 2 };

typedef struct {
    uint8_t bytes[MAX_LIVE];
    uint32_t n;
} Live;

/* Adds the least of the single characters in `among`: digits before letters. */
static void add_live(Live *live, const Probes *probes, const bool *among) {
    uint8_t least = 0xFF;
    for (uint32_t i = 0; i < probes->n_single; i++)
        if (among[i] && *probes->suffixes[i].bytes < least) least = *probes->suffixes[i].bytes;
    if (least < 0x7F && live->n < MAX_LIVE) live->bytes[live->n++] = least;
}

/* Letters beyond ASCII may be in words, too. */
static bool may_be_word(uint8_t c) { return is_word(c) || c >= 0x80; }

static bool completes(Search *self, uint32_t n_written, uint32_t from, uint32_t to) {
    for (uint32_t i = from; i < to; i++) {
        Piece literal = self->simulator->probes.literals[i];
        if (literal.length > n_written && holds(self, literal.bytes + n_written, literal.length - n_written)) return true;
    }
    return false;
}

/* The text may end with the beginning of a literal, and the rest of it is what is missing. */
static bool by_overlap(Search *self) {
    const Probes *probes = &self->simulator->probes;
    uint32_t n_undecided = self->text.length - self->from;
    uint32_t longest = probes->max_literal < n_undecided ? probes->max_literal : n_undecided;
    for (uint32_t k = 1; k <= longest; k++) {
        const uint8_t *end = self->text.bytes + self->text.length - k;
        /* The middle of a word begins no literal; but a number may end in a name of a type (0f32). */
        bool is_inside = may_be_word(*end) && k < n_undecided && may_be_word(end[-1]);
        if (is_inside && !(is_digit(end[-1]) && is_letter(*end))) continue;
        uint32_t from, to;
        probes_range(probes, end, k, &from, &to);
        if (completes(self, k, from, to)) return true;
        probes_range_small(probes, end, k, &from, &to);
        if (completes(self, k, from, to)) return true;
    }
    return false;
}

/* A word at the end is whole as far as keywords go, but a number may have a suffix to be finished (42_usize). */
static bool is_number_end(const Search *self) {
    const uint8_t *bytes = self->text.bytes;
    uint32_t at = self->text.length, n_letters = 0, from = self->from;
    while (at > from && may_be_word(bytes[at - 1]) && !is_digit(bytes[at - 1])) at--, n_letters++;
    while (at > from && may_be_word(bytes[at - 1])) at--;
    return n_letters <= LONGEST_UNIT && at < self->text.length && is_digit(bytes[at]);
}

/* A general continuation that did not help: what its run asked the lexers. */
typedef struct {
    uint32_t idx;
    bool is_live;    /* the lexers took it in without coming to an end */
    bool is_general; /* what reads alike fails alike */
    Trace trace;
} Failure;

static Failure last_failure(const Search *self, uint32_t idx) {
    const Simulator *simulator = self->simulator;
    return (Failure){
        .idx = idx,
        .is_live = simulator->lexer.furthest == self->text.length + simulator->probes.suffixes[idx].length,
        .is_general = !self->is_confirmed && !simulator->run.denied_beyond,
        .trace = simulator->run.trace,
    };
}

/* Those that read like one that failed need not be tried. */
static void learn(Search *self, const Failure *failure, bool *alive, Live *live) {
    Simulator *simulator = self->simulator;
    bool struck[ALIKE_PROBES];
    memcpy(struck, alive, sizeof struck);
    Beginning beginning = {self->text, self->ordinary, self->n_after};
    if (failure->is_general)
        alike_strike(&simulator->alike, &simulator->lexer, &simulator->tables, simulator->run.arena, &simulator->probes,
                     &beginning, &failure->trace, failure->idx, alive, self->dead);
    if (!live || !failure->is_live) return;
    for (uint32_t i = 0; i < ALIKE_PROBES; i++) struck[i] &= !alive[i] || i == failure->idx;
    add_live(live, &simulator->probes, struck);
}

/* Nor those that give tokens which no state takes. */
static bool refuse(Search *self, bool learns, bool *alive, Live *live) {
    Simulator *simulator = self->simulator;
    const Probes *probes = &simulator->probes;
    Beginning beginning = {self->text, self->ordinary, self->n_after};
    Refusals it;
    if (!alike_refuse(&simulator->alike, &simulator->lexer, &simulator->tables, simulator->run.arena, probes, &beginning,
                      self->pending, learns, &it, alive, self->dead))
        return false;
    for (uint32_t place = 0; live && place < probes->n_suffixes; place++) {
        uint32_t idx = probes->order[place];
        if (idx >= ALIKE_PROBES || !it.is_refused[idx] || !it.takes_all[idx] || probes->suffixes[idx].length > 1) continue;
        bool among[ALIKE_PROBES];
        for (uint32_t i = 0; i < ALIKE_PROBES; i++) {
            among[i] = it.is_refused[i] && it.group[i] == it.group[idx];
            it.takes_all[i] &= !among[i];
        }
        add_live(live, probes, among);
    }
    return true;
}

/* Tries all general continuations, those that read alike once. `live`, if not NULL, is told of a few single characters that
 * the lexers took in without coming to an end. */
static bool by_suffix(Search *self, Live *live) {
    Simulator *simulator = self->simulator;
    Probes *probes = &simulator->probes;
    bool alive[ALIKE_PROBES];
    Failure first;
    uint32_t n_failed = 0, n_patient = self->text.length - self->from > COSTLY_TEXT ? 16 : 2;
    memset(alive, true, sizeof alive);
    bool is_known = refuse(self, false, alive, live);
    for (uint32_t place = 0; place < probes->n_suffixes; place++) {
        uint32_t idx = probes->order[place];
        if (idx < ALIKE_PROBES && !alive[idx]) continue;
        Piece probe = probes->suffixes[idx];
        uint32_t n_probes = self->n_probes;
        if (holds(self, probe.bytes, probe.length)) {
            probes_prefer(probes, place);
            return true;
        }
        if (self->n_probes == n_probes) continue; /* known to be dead, or out of budget */
        Failure failure = last_failure(self, idx);
        /* One of the next often helps: till then nothing is read for the sake of others. */
        if (++n_failed < n_patient) {
            first = failure;
            continue;
        }
        if (n_failed == n_patient) {
            learn(self, &first, alive, live);
            if (!is_known) refuse(self, true, alive, live);
        }
        learn(self, &failure, alive, live);
    }
    if (n_failed && n_failed < n_patient) learn(self, &first, alive, live);
    return false;
}

/* Blanks at the end: any literal may come next. Where a word was refused, the states that refused it tell which. */
static bool by_literal(Search *self) {
    const Probes *probes = &self->simulator->probes;
    Run *run = &self->simulator->run;
    uint32_t idx = probes->single['a'];
    self->dead['a'] = false;
    if (holds(self, (const uint8_t *)"a", 1)) return true;
    /* It was the place that was wrong, not the word. */
    if (run->n_denied && run->n_denied >= run->dead.n) return false;
    uint16_t states[RUN_MAX_VERSIONS];
    uint32_t n_states = run->died_token >= self->text.length ? run->dead.n : 0;
    for (uint32_t i = 0; i < n_states; i++) states[i] = run->arena->nodes[run->dead.at[i].node].state;
    bool alive[ALIKE_PROBES] = {false}; /* only what is dead matters */
    Failure failure = last_failure(self, idx);
    learn(self, &failure, alive, NULL);
    for (uint32_t i = 0; i < probes->n_literals; i++) {
        Piece literal = probes->literals[i];
        bool may_fit = n_states == 0;
        for (uint32_t j = 0; j < n_states && !may_fit; j++)
            may_fit = tables_row(run->tables, states[j])[literal.symbol] != 0;
        if (may_fit && holds(self, literal.bytes, literal.length)) return true;
    }
    return false;
}

/* A copy, since probing may move the arena's bytes. */
static uint32_t copy_scan(const Search *self, uint32_t idx, uint8_t *bytes) {
    const Arena *arena = self->simulator->run.arena;
    const Scan *scan = &arena->scans[self->pending->at[idx].scan];
    if (scan->length) memcpy(bytes, arena->scan_bytes + scan->start, scan->length);
    return scan->length;
}

enum { LONGEST_WORD = 100 };

/* A word that a scanner remembers, as it may have to come: whole, or the rest of it. */
static bool with_word(Search *self, const uint8_t *word, uint32_t n) {
    static const char *const frames[][2] = {{"", ""},   {"\n", "\n"},    {"", ">"},      {")", "\""},     {"</", ">"},
                                            {"\n)", "\""}, {"a`\n", "\n"}, {"a}\n", "\n"}, {"a)\n", "\n"}};
    for (size_t i = 0; i < sizeof frames / sizeof *frames; i++) {
        uint8_t probe[LONGEST_WORD + 8];
        uint32_t before = (uint32_t)strlen(frames[i][0]), after = (uint32_t)strlen(frames[i][1]);
        memcpy(probe, frames[i][0], before);
        memcpy(probe + before, word, n);
        memcpy(probe + before + n, frames[i][1], after);
        if (holds(self, probe, before + n + after)) return true;
        /* The text may already hold the beginning of the word. */
        for (uint32_t k = 1; k < n; k++)
            if (k <= self->text.length - self->from && !memcmp(self->text.bytes + self->text.length - k, word, k) &&
                holds(self, probe + before + k, n + after - k))
                return true;
    }
    return false;
}

static bool is_visible(uint8_t c) { return c > ' ' && c < 0x7F; }

/* Scanners remember what must come: heredoc words, names of open tags, delimiters of raw strings. */
static bool by_scanner_words(Search *self) {
    for (uint32_t i = 0; i < self->pending->n; i++) {
        uint8_t bytes[ABI_SERIALIZED_MAX], word[LONGEST_WORD];
        uint32_t n_bytes = copy_scan(self, i, bytes);
        for (uint32_t at = 0; at < n_bytes;) {
            uint32_t n = 0, length = 0;
            if (at >= sizeof length) memcpy(&length, bytes + at - sizeof length, sizeof length);
            /* Wide characters are serialised with zeros between them. */
            for (; at < n_bytes && n < LONGEST_WORD; at++) {
                uint8_t c = bytes[at];
                if (is_visible(c)) word[n++] = c;
                else if (c || (at + 1 < n_bytes && n == 0)) break;
            }
            at++;
            if (n && with_word(self, word, n)) return true;
            /* Of a long word only the beginning may be kept, behind the length of the whole. */
            uint32_t n_begun = n;
            while (n && n < length && length <= LONGEST_WORD) word[n++] = 'a';
            if (n > n_begun && with_word(self, word, n)) return true;
        }
        /* Lengths stand before words; that of a long word looks like a character of it. */
        for (uint32_t at = 0; at < n_bytes; at++) {
            uint32_t n = bytes[at], n_visible = 0;
            if (!is_visible(bytes[at]) || n > LONGEST_WORD || at + n >= n_bytes) continue;
            while (n_visible < n && is_visible(bytes[at + 1 + n_visible])) n_visible++;
            if (n_visible == n && with_word(self, bytes + at + 1, n)) return true;
        }
    }
    return false;
}

/* A closing tag ends as the open one did: one whose name is to come now, or one that is only beginning. */
static bool by_open_tags(Search *self, bool is_begun) {
    Run *run = &self->simulator->run;
    for (uint32_t i = 0; i < self->pending->n && run->tables->tags.closer; i++) {
        bool is_closing;
        uint32_t typed, open = run_open_tag(run, self->pending->at[i].node, &is_closing, &typed);
        if (is_closing != is_begun || open == ARENA_ANY || typed == ARENA_ANY) continue;
        uint8_t name[RUN_LONGEST_NAME];
        uint32_t n = run->arena->scans[open].length, n_typed = run->arena->scans[typed].length;
        if (n <= n_typed || n > LONGEST_WORD) continue;
        memcpy(name, run->arena->scan_bytes + run->arena->scans[open].start, n);
        if (with_word(self, name + n_typed, n - n_typed)) return true;
    }
    return false;
}

/* Breadth-first over characters that the lexers take in after the text. */
static bool by_search(Search *self, const Live *first) {
    uint8_t paths[MAX_QUEUE][MAX_PATH];
    uint32_t lengths[MAX_QUEUE], n = 0;
    for (uint32_t i = 0; i < first->n; i++) paths[n][0] = first->bytes[i], lengths[n++] = 1;
    uint32_t length = self->text.length;
    bool found = false;
    for (uint32_t at = 0; at < n && !found; at++) {
        memcpy((uint8_t *)self->text.bytes + length, paths[at], lengths[at]);
        self->text.length = length + lengths[at];
        self->n_after = lengths[at];
        memset(self->dead, 0, sizeof self->dead);
        Live live = {.n = 0};
        found = by_suffix(self, &live);
        for (uint32_t i = 0; i < live.n && n < MAX_QUEUE && lengths[at] < MAX_PATH; i++) {
            memcpy(paths[n], paths[at], lengths[at]);
            paths[n][lengths[at]] = live.bytes[i];
            lengths[n++] = lengths[at] + 1;
        }
    }
    self->text.length = length;
    self->n_after = 0;
    memset(self->dead, 0, sizeof self->dead);
    return found;
}

/* Blanks after a line break may be half an indentation. Columns that the scanner remembers are where the line may begin;
 * a column is a byte or two of its state, so every byte is tried that could be one. */
static bool by_indentation(Search *self) {
    uint32_t length = self->text.length, start = length;
    while (start > 0 && (self->text.bytes[start - 1] == ' ' || self->text.bytes[start - 1] == '\t')) start--;
    bool at_line_start = start == 0 ? self->text.column == 0 : self->text.bytes[start - 1] == '\n';
    uint32_t column = 0;
    for (uint32_t i = start; i < length; i++) column += self->text.bytes[i] == '\t' ? 8 : 1;
    if (!at_line_start) {
        /* Or the line is still to come. */
        ((uint8_t *)self->text.bytes)[self->text.length++] = '\n';
        column = 0;
    }
    uint8_t seen[256] = {0};
    self->ordinary = (Ordinary){0};
    self->n_bytes = self->n_probes = 0; /* few columns, and each with few words: the search above must not use it up */
    bool found = false;
    uint32_t base = self->text.length;
    for (uint32_t i = 0; i < self->pending->n && !found; i++) {
        uint8_t bytes[ABI_SERIALIZED_MAX];
        uint32_t n_bytes = copy_scan(self, i, bytes), n_zeros = 0;
        while (n_zeros < n_bytes && bytes[n_zeros] == 0) n_zeros++;
        /* Nothing but zeros: counters of a scanner that knows no columns. */
        for (uint32_t at = n_zeros < n_bytes ? n_bytes : 0; at-- > 0 && !found;) {
            for (uint32_t more = 0; more < 2 && !found; more++) {
                uint32_t target = bytes[at] + more; /* one column more: a block that is still to be opened */
                if (target <= column || target > 200 || seen[target]) continue;
                seen[target] = 1;
                for (uint32_t wide = 0; wide < 2 && !found; wide++) {
                    uint32_t n = target - column;
                    if (wide && n % 8) continue;
                    if (wide) n /= 8;
                    memset((uint8_t *)self->text.bytes + base, wide ? '\t' : ' ', n);
                    self->text.length = base + n;
                    memset(self->dead, 0, sizeof self->dead);
                    found = by_literal(self);
                }
            }
        }
    }
    self->text.length = length;
    memset(self->dead, 0, sizeof self->dead);
    return found;
}

/* Whether what comes next is what a string holds. */
static bool are_in_strings(const Search *self) {
    Run *run = &self->simulator->run;
    uint32_t i = 0;
    for (; i < self->pending->n; i++) {
        uint16_t state = run->arena->nodes[self->pending->at[i].node].state;
        if (!tables_row(run->tables, state)[run->tables->layout.string]) return false;
    }
    return i;
}

/* Only where the undecided bytes hold a line break, and where the last line may be one that layout does not count, being
 * blank or a comment: elsewhere it would be tried in vain. */
static bool may_be_before_indentation(const Search *self) {
    const uint8_t *bytes = self->text.bytes + self->from;
    uint32_t n = self->text.length - self->from, n_last = 0;
    if (!self->simulator->tables.layout.enabled) return memchr(bytes, '\n', n) != NULL;
    if (are_in_strings(self)) return false;
    if (memchr(bytes, '#', n)) return true;
    while (n_last < n && (bytes[n - n_last - 1] == ' ' || bytes[n - n_last - 1] == '\t')) n_last++;
    return n_last < n && bytes[n - n_last - 1] == '\n';
}

/* What a long text could end with last. */
static bool by_closer(Search *self) {
    const Probes *probes = &self->simulator->probes;
    return probes->n_closer && holds(self, probes->closer, probes->n_closer);
}

/* What ends the grammar's long tokens is among the continuations of its own. */
static bool by_own(Search *self) {
    const Probes *probes = &self->simulator->probes;
    uint32_t i = probes->n_general;
    while (i < probes->n_suffixes && !holds(self, probes->suffixes[i].bytes, probes->suffixes[i].length)) i++;
    return i < probes->n_suffixes;
}

/* Whether what is undecided is a token as it stands. */
static bool is_whole(Search *self) {
    Run *run = &self->simulator->run;
    Lexer *lexer = &self->simulator->lexer;
    lexer_set_text(lexer, self->text);
    for (uint32_t i = 0; i < self->pending->n; i++) {
        const Version *version = &self->pending->at[i];
        uint64_t n_hangs = lexer->n_hangs;
        Token token = lexer_read(lexer, run->tables, run->arena, run->arena->nodes[version->node].state, version->offset, version->scan);
        if (lexer_has_hung(lexer, run->arena, n_hangs) || !token.found || token.end < self->text.length) return false;
    }
    return true;
}

static bool search(Search *self) {
    uint32_t length = self->text.length;
    uint8_t last = length ? self->text.bytes[length - 1] : ' ';
    bool is_blank = last == ' ' || last == '\n' || last == '\t' || last == '\r' || last == '\f';
    /* Tried last, what ends a heredoc would be beyond the bytes that may be read again. */
    if (is_long(self) && (by_closer(self) || by_own(self) || by_scanner_words(self))) return true;
    if (by_open_tags(self, true) || by_overlap(self)) return true;
    Live live = {.n = 0};
    if (by_suffix(self, &live)) return true;
    if (is_blank && by_literal(self)) return true;
    if (!is_long(self) && (by_scanner_words(self) || by_open_tags(self, false))) return true;
    if (may_be_before_indentation(self) && by_indentation(self)) return true;
    if (is_blank || (may_be_word(last) && !is_number_end(self))) return false;
    /* A whole token is seldom the beginning of one that neither the literals nor the general continuations end, but most
     * tokens that are refused are whole. */
    return !is_whole(self) && by_search(self, &live);
}

/* The search once more, from far before where the text was refused. With a horizon all of what it leaves undecided is read
 * again for each probe, and only what ends a long token may change how that is read. */
static bool search_again(Search *self) {
    const Simulator *simulator = self->simulator;
    const Probes *probes = &simulator->probes;
    if (!simulator->lexer.horizon) return search(self);
    if (by_own(self) || by_scanner_words(self)) return true;
    for (uint32_t place = 0; place < PREFERRED && place < probes->n_suffixes; place++) {
        Piece probe = probes->suffixes[probes->order[place]];
        if (holds(self, probe.bytes, probe.length)) return true;
    }
    return false;
}

/* The text ends inside a character: any character that begins with these bytes may be meant. */
static bool search_partial(Search *self, uint32_t n_partial) {
    uint8_t *at = (uint8_t *)self->text.bytes + self->text.length - n_partial;
    uint8_t partial[3] = {0};
    memcpy(partial, at, n_partial);
    uint32_t length = partial[0] < 0xE0 ? 2 : partial[0] < 0xF0 ? 3 : 4;
    self->text.length += length - n_partial;
    bool found = false;
    /* No token holds a byte order mark. */
    if (at == self->text.bytes && self->text.at_file_start && !memcmp(partial, "\xEF\xBB\xBF", n_partial)) {
        memcpy(at, "\xEF\xBB\xBF", length);
        found = search(self);
        memset(self->dead, 0, sizeof self->dead);
    }
    for (uint32_t i = 0; i < 64 && !found; i++) {
        /* Letters are most frequent in the middle of a block. */
        uint8_t varied = (uint8_t)(0x80 | ((i * 5 + 32) & 0x3F));
        memcpy(at, partial, n_partial);
        at[n_partial] = varied;
        for (uint32_t k = n_partial + 1; k < length; k++) at[k] = 0x81;
        if (utf8_partial(at, 2) == 0 && length > 2) continue;
        self->text.length -= 1;
        memset(self->dead, 0, sizeof self->dead);
        /* A token that reaches the end of the character is witness enough, so the mark is one byte before. */
        uint8_t final = at[length - 1];
        found = holds(self, &final, 1);
        self->text.length += 1;
        memset(self->dead, 0, sizeof self->dead);
        /* What ends a comment must fit the lines around it: for that, one character is as good as another. */
        if (!found && i % 16 == 0) found = i ? by_suffix(self, NULL) : search(self);
    }
    return found;
}

static void search_from(Search *self, const VersionSet *versions) {
    self->pending = versions;
    memset(self->dead, 0, sizeof self->dead);
    self->from = self->text.length;
    for (uint32_t i = 0; i < versions->n; i++)
        if (versions->at[i].offset < self->from) self->from = versions->at[i].offset;
}

/* Bytes that are read again for each probe: with more of them, most probes are tried from where the text was refused. */
enum { MAX_AGAIN = 24 };

static bool is_narrow(const Run *run, uint32_t from) {
    return run->dead.n && run->died_at > from + MAX_AGAIN && run->died_at <= run->text.length;
}

bool witness_search(Simulator *simulator, Text text, Ordinary ordinary) {
    Run *run = &simulator->run;
    VersionSet pending, dead;
    versions_copy(&pending, &run->pending);
    Search self = {.simulator = simulator, .text = text, .ordinary = ordinary};
    search_from(&self, &pending);
    simulator->counters.n_searches++;
    uint32_t n_partial = utf8_partial(text.bytes, text.length);
    uint8_t saved[4];
    memcpy(saved, text.bytes + text.length - n_partial, n_partial);
    bool found = false;
    bool is_again = is_narrow(run, self.from);
    if (is_again) {
        versions_copy(&dead, &run->dead);
        search_from(&self, &dead);
        self.whole = &pending;
        found = n_partial ? search_partial(&self, n_partial) : search(&self);
        /* What was refused there may still be read in another way: for that the first probes must do. */
        search_from(&self, &pending);
        self.text = text;
        self.whole = NULL;
        self.n_probes = 0;
        self.n_bytes = MAX_BYTES + 1;
    }
    if (!found) found = n_partial ? search_partial(&self, n_partial) : is_again ? search_again(&self) : search(&self);
    memcpy((uint8_t *)text.bytes + text.length - n_partial, saved, n_partial);
    versions_copy(&run->pending, &pending);
    return found;
}

static bool takes_any(Tables *tables, const Probes *probes, uint16_t state, uint32_t from, uint32_t to) {
    const uint16_t *row = tables_row(tables, state);
    while (from < to && !row[probes->literals[from].symbol]) from++;
    return from < to;
}

/* Whether a version at a name is of no use: whatever follows, that becomes a name or a keyword, and its state takes neither. */
static bool is_refused_name(Simulator *simulator, const Version *version, Text text, uint32_t n_name) {
    Tables *tables = &simulator->tables;
    const Probes *probes = &simulator->probes;
    Lexer *lexer = &simulator->lexer;
    Arena *arena = simulator->run.arena;
    const uint8_t *name = text.bytes + text.length - n_name;
    uint16_t state = arena->nodes[version->node].state;
    uint32_t from, to;
    if (tables_row(tables, state)[tables->abi->keyword_capture]) return false;
    probes_range(probes, name, n_name, &from, &to);
    if (takes_any(tables, probes, state, from, to)) return false;
    probes_range_small(probes, name, n_name, &from, &to);
    if (takes_any(tables, probes, state, from, to)) return false;
    for (uint32_t i = 0; i < probes->n_endless; i++)
        if (tables_row(tables, state)[probes->endless[i]]) return false;
    uint64_t n_hangs = lexer->n_hangs;
    lexer_set_text(lexer, text);
    bool is_quiet = lexer_finds_nothing(lexer, tables, arena, state, version->offset, version->scan);
    return !lexer_has_hung(lexer, arena, n_hangs) && is_quiet;
}

static bool are_refused_names(Simulator *simulator, Text text, uint32_t n_name) {
    const VersionSet *pending = &simulator->run.pending;
    if (n_name == 0 || simulator->probes.n_endless > MOST_ENDLESS) return false;
    uint32_t i = 0;
    while (i < pending->n && is_refused_name(simulator, &pending->at[i], text, n_name)) i++;
    return i == pending->n;
}

bool witness_known(Simulator *simulator, Text text) {
    Run *run = &simulator->run;
    MemoQuestion question;
    if (!memo_ask(&simulator->memo, &simulator->lexer, &simulator->tables, &simulator->probes, run->arena, &run->pending, text,
                  &question))
        return witness_search(simulator, text, (Ordinary){0});
    int known = memo_recall(&simulator->memo, &question);
    if (known >= 0) return known;
    uint32_t from = text.length;
    int32_t top = INT16_MIN;
    for (uint32_t i = 0; i < run->pending.n; i++) {
        if (run->pending.at[i].offset < from) from = run->pending.at[i].offset;
        if (run->pending.at[i].height > top) top = run->pending.at[i].height;
    }
    Lexer *lexer = &simulator->lexer;
    lexer->asked_column = lexer->uses_column;
    if (!is_narrow(run, from)) {
        /* The search begins at the pending versions: what was looked at to get there does not matter. */
        for (uint32_t i = 0; i < run->pending.n; i++) run->pending.at[i].height = 0;
        run->lowest = top = 0;
        lexer->asked_column = false;
    }
    uint64_t n_exhausted = simulator->counters.n_exhausted;
    bool found = !are_refused_names(simulator, text, question.n_name) && witness_search(simulator, text, question.ordinary);
    /* A search that hit a bound says nothing about other places. */
    if (simulator->counters.n_exhausted == n_exhausted)
        memo_learn(&simulator->memo, &question, (uint32_t)(top - run->lowest), lexer->asked_column, found);
    return found;
}
