#include "names.h"

#include <stdint.h>
#include <string.h>

#include "wire.h"

enum { MOST = 4096, SLOTS = 4 * MOST, LONGEST = 64 };

static char names[MOST][LONGEST];
static uint8_t lengths[MOST];
static uint16_t slots[SLOTS]; /* number + 1 of the name; open addressing */
static unsigned n_names;

/* FNV-1a. */
static unsigned slot_of(const char *name, size_t length) {
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < length; i++) hash = (hash ^ (uint8_t)name[i]) * 16777619u;
    return hash % SLOTS;
}

int number_of(const char *name, size_t length) {
    for (unsigned slot = slot_of(name, length); slots[slot]; slot = (slot + 1) % SLOTS) {
        unsigned number = slots[slot] - 1u;
        if (lengths[number] == length && !memcmp(names[number], name, length)) return (int)number;
    }
    return -1;
}

static void add(const char *name) {
    size_t length = strlen(name);
    if (n_names == MOST || length >= LONGEST) die("too many symbols, or too long a name");
    unsigned slot = slot_of(name, length);
    while (slots[slot]) slot = (slot + 1) % SLOTS;
    memcpy(names[n_names], name, length);
    lengths[n_names] = (uint8_t)length;
    slots[slot] = (uint16_t)++n_names;
}

void names_add(char *list) {
    for (char *name = strtok(list, ","); name; name = strtok(NULL, ",")) add(name);
}

unsigned names_count(void) { return n_names; }

const char *name_of(unsigned number) { return names[number]; }
