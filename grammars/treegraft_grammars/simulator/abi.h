/* The published layout of a compiled tree-sitter grammar, ABI 13 to 15, in our own words.
 *
 * Only fields that the simulator reads have telling names; the others keep their place. Everything after
 * `external` is absent or different below ABI 14 (primary_states) and below ABI 15 (the rest): read it only
 * after checking `version`.
 */
#ifndef TREEGRAFT_ABI_H
#define TREEGRAFT_ABI_H

#include <stdbool.h>
#include <stdint.h>

enum { ABI_OLDEST = 13, ABI_NEWEST = 15, ABI_RESERVED_WORDS = 15 };
enum { ABI_SYMBOL_END = 0, ABI_ERROR_STATE = 0, ABI_START_STATE = 1, ABI_NO_LOOKAHEAD = 0xFFFF };
enum { ABI_SERIALIZED_MAX = 1024 };

typedef struct AbiLexer AbiLexer;
struct AbiLexer {
    int32_t lookahead;
    uint16_t result_symbol;
    void (*advance)(AbiLexer *, bool skip);
    void (*mark_end)(AbiLexer *);
    uint32_t (*get_column)(AbiLexer *);
    bool (*is_at_included_range_start)(const AbiLexer *);
    bool (*eof)(const AbiLexer *);
    void (*log)(const AbiLexer *, const char *, ...);
};

typedef enum { ABI_SHIFT, ABI_REDUCE, ABI_ACCEPT, ABI_RECOVER } AbiActionType;

typedef union {
    uint8_t type;
    struct {
        uint8_t type;
        uint16_t state;
        bool extra;
        bool repetition;
    } shift;
    struct {
        uint8_t type;
        uint8_t child_count;
        uint16_t symbol;
        int16_t dynamic_precedence;
        uint16_t production_id;
    } reduce;
} AbiAction;

/* A list of actions is one `head` followed by `head.count` actions. */
typedef union {
    AbiAction action;
    struct {
        uint8_t count;
        bool reusable;
    } head;
} AbiActionEntry;

typedef struct {
    uint16_t lex_state;
    uint16_t external_lex_state;
} AbiLexModeOld;

typedef struct {
    uint16_t lex_state;
    uint16_t external_lex_state;
    uint16_t reserved_set;
} AbiLexMode;

typedef struct {
    bool visible;
    bool named;
    bool supertype;
} AbiSymbolInfo;

typedef struct {
    uint32_t version;
    uint32_t n_symbols;
    uint32_t n_aliases;
    uint32_t n_tokens;
    uint32_t n_external_tokens;
    uint32_t n_states;
    uint32_t n_large_states;
    uint32_t n_productions;
    uint32_t n_fields;
    uint16_t max_alias_sequence_length;
    const uint16_t *large_table;
    const uint16_t *small_table;
    const uint32_t *small_table_map;
    const AbiActionEntry *actions;
    const char *const *symbol_names;
    const char *const *field_names;
    const void *field_map_slices;
    const void *field_map_entries;
    const AbiSymbolInfo *symbol_info;
    const uint16_t *public_symbols;
    const uint16_t *alias_map;
    const uint16_t *alias_sequences;
    const void *lex_modes; /* AbiLexModeOld[] below ABI 15, AbiLexMode[] from 15 */
    bool (*lex)(AbiLexer *, uint16_t state);
    bool (*keyword_lex)(AbiLexer *, uint16_t state);
    uint16_t keyword_capture;
    struct {
        const bool *states;
        const uint16_t *symbols;
        void *(*create)(void);
        void (*destroy)(void *);
        bool (*scan)(void *, AbiLexer *, const bool *valid);
        unsigned (*serialize)(void *, char *);
        void (*deserialize)(void *, const char *, unsigned);
    } external;
    const uint16_t *primary_states;
    const char *name;
    const uint16_t *reserved_words;
    uint16_t reserved_set_size;
} AbiLanguage;

#endif
