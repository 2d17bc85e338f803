/* The symbols by number. */
#ifndef NAMES_H
#define NAMES_H
#include <stddef.h>

/* Take in "A,B,C": they are numbered from 0. */
void names_add(char *list);
unsigned names_count(void);
const char *name_of(unsigned number);
/* The number of a symbol, or -1. */
int number_of(const char *name, size_t length);
#endif
