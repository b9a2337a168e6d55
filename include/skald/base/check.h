// SKALD_CHECK: invariants of our own, kept on in release. Bad input never gets here.
#pragma once

namespace skald {
[[noreturn]] void check_failed(const char* expression, const char* file, int line);
}

#define SKALD_CHECK(expression)                                                      \
  do {                                                                               \
    if (__builtin_expect(!(expression), 0)) ::skald::check_failed(#expression, __FILE__, __LINE__); \
  } while (false)
