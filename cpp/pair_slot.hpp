// What one thread holds during a step over bounds of pairs; for cpp/pair_bounds.cpp, cpp/pair_bytes.cpp and
// cpp/pair_compare.cpp.
#pragma once

#include <algorithm>
#include <bit>
#include <vector>

#include "byte_rows.hpp"
#include "pair_bounds.hpp"
#include "step_slot.hpp"

namespace macqueen {

constexpr double kUnitsBelow = 32;  // the base of a row lies so many below its nearest center

// The rows of a block that are compared in their copy, side by side.
struct ByteSlot {
  uint8_t places[kPairRows];
  float norms[kPairRows], errors[kPairRows];
  float own_squares[kPairRows], own_errors[kPairRows], own_paths[kPairRows], uppers[kPairRows], bases[kPairRows];
  int32_t nearest[kPairRows];
  uint32_t names[kPairRows];
  Lines<int32_t> products;      // (k, rows)
  Lines<float> squares;         // (k, rows)
  Lines<uint8_t> bounds;        // (k, rows)
  Lines<uint8_t> positions;     // (k * rows,) of listed pairs: which of the rows
  std::vector<uint64_t> needs;  // (k,)

  void resize(size_t k) {
    for (auto* array : {&bounds, &positions}) array->resize(k * kPairRows);
    products.resize(k * kPairRows);
    squares.resize(k * kPairRows);
    needs.resize(k);
  }

  // The rows `open` of the block that begins at `first`.
  template <class T>
  ByteBlock take(const ByteRows<T>& copy, size_t first, uint64_t open) {
    size_t count = 0;
    for (; open != 0; open &= open - 1) {
      const auto place = static_cast<size_t>(std::countr_zero(open));
      places[count] = static_cast<uint8_t>(place);
      norms[count] = copy.norm(first + place);
      errors[count++] = copy.error(first + place);
    }
    return {count, copy.bytes(first), places, norms, errors, products.data(), squares.data(), nearest, needs.data()};
  }
};

template <class T>
struct PairBounds<T>::Slot : StepSlot<T> {
  Lines<float> squares;          // (k, rows): of the pairs that were computed
  Lines<float> lowest, second;   // (rows,) of these
  Lines<int32_t> index;          // (rows,) which is lowest
  std::vector<uint64_t> needs;   // (k,) which rows of the block
  std::vector<uint8_t> counts;   // (k,) how many rows that is, when it was asked last
  Lines<uint8_t> uppers;         // (rows,)
  std::vector<int32_t> columns;  // centers that all rows are compared with
  std::vector<int32_t> candidates;
  // The pairs to be computed; all arrays have room for all of them and a vector more.
  size_t count = 0;
  Lines<uint8_t> places, bytes;
  Lines<int32_t> names;
  Lines<float> bases, paths, found, results;
  ByteSlot copies;
  double compared = 0, undecided = 0;  // rows in this step by their copies, and those of them that were read after it
  int top = 0;  // of the magnitudes of a block that is read for the first time: all are below 2^top

  Slot(size_t k, size_t d) {
    const size_t pairs = k * kPairRows;
    for (auto* array : {&squares, &bases, &paths, &found, &results}) array->resize(pairs + kPairRows);
    for (auto* array : {&lowest, &second}) array->resize(kPairRows);
    for (auto* array : {&places, &bytes}) array->resize(pairs + kPairRows);
    names.resize(pairs + kPairRows);
    index.resize(kPairRows);
    uppers.resize(kPairRows);
    needs.resize(k);
    counts.resize(k);
    candidates.resize(k);
    copies.resize(k);
    this->changes.resize(k, d);
  }

  // Appends the pairs of `rows` and a center, with `path` and the bases (rows,) of the block. Pointers are copied,
  // since a byte that is stored could be anything else for the compiler, which would load them anew each time.
  void list(uint64_t rows, size_t name, float path, const float* row_bases) {
    uint8_t* const place_end = places.data();
    int32_t* const name_end = names.data();
    float *const path_end = paths.data(), *const base_end = bases.data();
    size_t end = count;
    for (; rows != 0; rows &= rows - 1) {
      const auto place = static_cast<size_t>(std::countr_zero(rows));
      place_end[end] = static_cast<uint8_t>(place);
      name_end[end] = static_cast<int32_t>(name);
      path_end[end] = path;
      base_end[end++] = row_bases[place];
    }
    count = end;
  }

  // Lists the centers that at least so many rows need; tells whether there are any.
  bool list_columns(int many) {
    columns.clear();
    for (size_t c = 0; c < needs.size(); ++c) {
      if (counts[c] >= many) columns.push_back(static_cast<int32_t>(c));
    }
    return !columns.empty();
  }

  // Notes what was found of the pairs: bounds (k, rows), and the lowest two of each row.
  void take_found(uint8_t* bounds) {
    const uint8_t *const place_of = places.data(), *const byte_of = bytes.data();
    const int32_t* const name_of = names.data();
    const float* const found_of = found.data();
    for (size_t i = 0; i < count; ++i) {
      bounds[static_cast<size_t>(name_of[i]) * kPairRows + place_of[i]] = byte_of[i];
      take(place_of[i], name_of[i], found_of[i]);
    }
  }

  void take(size_t place, int32_t name, float square) {
    float &low = lowest[place], &next = second[place];
    next = std::min(next, std::max(low, square));
    index[place] = square < low ? name : index[place];
    low = std::min(low, square);
  }
};

}  // namespace macqueen
