// What the native tests share: counting of checks, and rows and centers that are hard on k-means.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <string>
#include <vector>

namespace macqueen::test {

// The thread sanitizer and an emulator take some twenty times as long: of sizes that differ only in tails of vectors
// they see every fifth, which have all remainders of 2, 4, 8 and 16.
#if defined(__SANITIZE_THREAD__) || defined(MACQUEEN_EMULATED)
constexpr bool kFewSizes = true;
#else
constexpr bool kFewSizes = false;
#endif

// Counts a check; prints `what` where it fails. May be called from several threads.
void check(bool holds, const std::string& what);

// Rows (n, d) and centers (k, d).
template <class T>
struct Case {
  std::string name;
  size_t n, k, d;
  std::vector<T> rows, centers;
};

enum class Kind { kNormal, kGrid, kTies, kFar, kOutlier, kDenormal, kExtreme, kClouds, kDuplicates, kConstant };
constexpr Kind kKinds[] = {Kind::kNormal,   Kind::kGrid,    Kind::kTies,   Kind::kFar,        Kind::kOutlier,
                           Kind::kDenormal, Kind::kExtreme, Kind::kClouds, Kind::kDuplicates, Kind::kConstant};

// The same values on every machine: made of integers and of operations that IEEE 754 rounds in one way.

template <class T>
Case<T> make_case(Kind kind, size_t n, size_t k, size_t d);

struct Shape {
  size_t n, k, d;
};

// Every d up to 130 and every k up to 70, n around the ends of tiles and blocks.
std::vector<Shape> shapes(size_t block);

void test_cells();
void test_labels();
void test_packed();
void test_sketches();
void test_paths();
void test_sums();
void test_threads();
void test_seeding();

}  // namespace macqueen::test
