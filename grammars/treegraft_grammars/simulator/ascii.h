/* Kinds of characters; those beyond ASCII are of none. */
#ifndef TREEGRAFT_ASCII_H
#define TREEGRAFT_ASCII_H

#include <stdbool.h>
#include <stdint.h>

static inline bool is_digit(uint8_t c) { return c >= '0' && c <= '9'; }
static inline bool is_letter(uint8_t c) { return (c | 32) >= 'a' && (c | 32) <= 'z'; }

/* A letter, a digit or _. */
static inline bool is_word(uint8_t c) { return c == '_' || is_digit(c) || is_letter(c); }

static inline bool begins_word(uint8_t c) { return is_word(c) && !is_digit(c); }

static inline uint8_t to_small(uint8_t c) { return c >= 'A' && c <= 'Z' ? (uint8_t)(c - 'A' + 'a') : c; }

#endif
