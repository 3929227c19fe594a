/* A ring buffer of bytes with one reader and one writer. */

#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

struct ring {
    unsigned char *bytes;
    size_t capacity;
    size_t head;
    size_t count;
};

bool ring_init(struct ring *self, size_t capacity) {
    self->bytes = malloc(capacity);
    if (self->bytes == NULL) {
        return false;
    }
    self->capacity = capacity;
    self->head = 0;
    self->count = 0;
    return true;
}

void ring_free(struct ring *self) {
    free(self->bytes);
    self->bytes = NULL;
    self->capacity = 0;
}

bool ring_push(struct ring *self, unsigned char byte) {
    if (self->count == self->capacity) {
        return false;
    }
    self->bytes[(self->head + self->count) % self->capacity] = byte;
    self->count++;
    return true;
}

bool ring_pop(struct ring *self, unsigned char *byte) {
    if (self->count == 0) {
        return false;
    }
    *byte = self->bytes[self->head];
    self->head = (self->head + 1) % self->capacity;
    self->count--;
    return true;
}
