// The bytes every benchmark moves: a table of a prime length, entered at a place that the client's port gives, so that a byte lost,
// repeated or put into another flow shows. bench/pattern.ts makes the same one.

#ifndef PATTERN_H
#define PATTERN_H

#include <stdint.h>
#include <string.h>

enum { PERIOD = 65521, SPAN = 1 << 18 };

// One period and as much more as one piece may be long: any piece is contiguous.
static uint8_t pattern[PERIOD + SPAN];

static void make_pattern(void) {
  uint32_t x = 1;
  for (int i = 0; i < PERIOD; i++) {
    x = x * 1664525u + 1013904223u;
    pattern[i] = (uint8_t)(x >> 24);
  }
  for (int i = PERIOD; i < PERIOD + SPAN; i++) pattern[i] = pattern[i - PERIOD];
}

static inline uint64_t pattern_start(uint16_t client_port) { return (uint64_t)client_port * 131; }

static inline const uint8_t *pattern_at(uint64_t position) { return pattern + position % PERIOD; }

#endif
