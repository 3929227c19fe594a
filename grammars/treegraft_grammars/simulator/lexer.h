/* Reads one token of a text the way tree-sitter does, and tells whether later text could change it. */
#ifndef TREEGRAFT_LEXER_H
#define TREEGRAFT_LEXER_H

#include <setjmp.h>

#include "arena.h"
#include "tables.h"

/* A piece of the document: its first byte lies `column` code points after a line break. */
typedef struct {
    const uint8_t *bytes;
    uint32_t length;
    uint32_t column;
    bool at_file_start;
} Text;

typedef struct {
    uint16_t symbol;
    bool found;       /* false: no token can be read here */
    bool external;    /* read by the external scanner; `scan` is the state after it */
    bool keyword;     /* a keyword that was spelled like a word */
    bool touched;     /* reading it looked at the end of the text: more text may change it */
    uint32_t start, end;
    uint32_t scan;
} Token;

/* What is known about the token that begins at `offset` in `state` and `scan`, over texts that share their first `n_shared`
 * bytes, whole characters: it goes on for `n_undecided` of them at least; and once it was read and ends in what they share,
 * all of it. */
typedef struct {
    bool is_begun, is_read;
    uint16_t state, spelled;
    uint32_t offset, scan, n_undecided, n_shared, looked_at;
    bool scanner_touched, asked_state, asked_column;
    Token token;
} LongToken;

/* Tokens of texts that end at different places, but stay. Recovery reads the same places over and over. Keyed by place, mode
 * and state of the scanner. */
enum { SEEN_TOKENS = 1 << 12 };

typedef struct {
    const uint8_t *bytes;
    uint32_t length, offset, scan, looked_at;
    uint16_t lex_state, external_lex_state, spelled;
    bool scanner_touched;
    Token token; /* a word as such; whether it is a keyword the LR state tells */
} SeenToken;

typedef struct {
    AbiLexer abi; /* first: the grammar's functions are handed a pointer to it */
    Text text;
    uint32_t offset, size; /* place and width of the character looked at */
    uint32_t token_start, token_end;
    uint32_t column, column_at; /* what the grammar was told when it last asked for a column of this text, and where */
    uint32_t looked_at;    /* the last place that reading a token looked at */
    uint32_t furthest;     /* end of the last character that was consumed, not skipped */
    bool touched;
    bool scanner_touched;  /* of the last token read: the external scanner looked at the end of the text */
    bool main_touched;     /* the same of the main lexer */
    bool touched_ever;     /* since somebody last set it to false */
    bool asked_state;      /* the same: a token depended on the LR state beyond its lexing mode and keywords */
    bool asked_column;     /* the same: the grammar asked for a column */
    bool wants_taken;      /* the error state's token need not be told if the state cannot take it */
    bool is_quiet[2];      /* in the mode of the state, of the error state: the scanner is known to find nothing */
    uint16_t spelled;      /* the keyword that the last word is spelled like, whether it fits or not; 0 if none */
    uint32_t n_idle;       /* advances at the end of the text since `lexer_begin` */
    jmp_buf escape;
    bool can_escape;
    /* Sticky: the grammar has asked for a column, so equal stacks in different columns may read on differently. */
    bool uses_column;
    LongToken long_token;  /* whoever begins it takes it back when the text goes */
    SeenToken *seen;       /* SEEN_TOKENS slots, of one arena; whoever lends it takes it back when a text goes */
    bool hides_tokens;     /* the scanner finds some tokens only when it is asked for all there are */
    uint32_t horizon;      /* not 0: bytes behind a token's beginning that must tell what it is, see `lexer_read` */
    bool serialises_all;   /* the scanner keeps nothing that it does not serialise */
    void *payload;
    bool payload_made;
    uint32_t n_serialized; /* bytes of `serialized` that the payload is known to be in the state of; 0 if it is not known */
    char serialized[ABI_SERIALIZED_MAX];
    uint64_t n_hangs;
} Lexer;

void lexer_init(Lexer *self, const Tables *tables);
void lexer_free(Lexer *self, const Tables *tables);

/* Texts are lexed in place; the bytes must stay until the next call. */
void lexer_set_text(Lexer *self, Text text);

/* The token at `offset` in `state`, for a scanner in `scan`. */
Token lexer_read(Lexer *self, Tables *tables, Arena *arena, uint16_t state, uint32_t offset, uint32_t scan);

/* Whether a scanner had to be left since there were `n_hangs`: it never stops at the end of the text. The arena goes on. */
bool lexer_has_hung(const Lexer *self, Arena *arena, uint64_t n_hangs);

/* Whether the external scanner finds nothing at `offset` in the mode of `state`, whatever follows the text. */
bool lexer_finds_nothing(Lexer *self, Tables *tables, Arena *arena, uint16_t state, uint32_t offset, uint32_t scan);

/* Whether the main lexer in the mode of `state` makes an ordinary word of what it finds at `start`, read from `offset`. */
bool lexer_reads_word(Lexer *self, const Tables *tables, uint16_t state, uint32_t offset, uint32_t start);

/* Whether `letter` begins such a word whatever sign follows it, and is no business of the external scanner. Sets the text. */
bool lexer_reads_letter(Lexer *self, Tables *tables, Arena *arena, uint16_t state, uint32_t scan, bool is_behind_blank,
                        uint8_t letter);

/* Code points between the last line break before `offset` and `offset`. */
uint32_t text_column(const Text *text, uint32_t offset);

/* Length of the UTF-8 sequence cut off at the end of the bytes that more bytes could make whole; 0 if there is none. */
uint32_t utf8_partial(const uint8_t *bytes, uint32_t length);

/* The keyword that all of `data`, at least one character of ASCII, spells; 0 if none. `*advanced`: whether its last byte was
 * consumed at all. */
uint16_t keyword_spelled(const AbiLanguage *abi, const uint8_t *data, uint32_t length, bool *advanced);

/* The terminal that the main lexer makes of all of `data` where anything may come; 0 if none. */
uint16_t lexer_terminal(Lexer *self, const Tables *tables, const uint8_t *data, uint32_t length);

#endif
