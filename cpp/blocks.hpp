// How rows are cut into blocks for threads, and how one that must be refused is found.
#pragma once

#include <string.h>

#include <algorithm>
#include <atomic>
#include <cmath>

#include "step.hpp"

namespace macqueen {

// Bits of one magnitude a float64 row must stay below: its squares would overflow. float32 only must be finite.
template <class T>
uint64_t first_refused_bits();
template <>
inline uint64_t first_refused_bits<float>() {
  return 0x7f800000;
}
template <>
inline uint64_t first_refused_bits<double>() {
  const double most = std::nextafter(1e150, 1e151);
  uint64_t bits;
  memcpy(&bits, &most, sizeof bits);
  return bits;
}

template <class T>
size_t first_bad_row(const Kernels& kernels, const T* rows, size_t n, size_t d) {
  const auto& k = row_kernels<T>(kernels);
  if (k.largest(rows, n * d) < first_refused_bits<T>()) return n;
  size_t i = 0;
  while (i < n && k.largest(rows + i * d, d) < first_refused_bits<T>()) ++i;
  return i;
}

// The lowest bad row that any thread has seen.
class BadRow {
 public:
  void note(size_t row) {
    int64_t seen = row_.load();
    const auto mine = static_cast<int64_t>(row);
    while ((seen == kAllFinite || mine < seen) && !row_.compare_exchange_weak(seen, mine)) {
    }
  }
  bool found_before(size_t row) const {
    const int64_t seen = row_.load();
    return seen != kAllFinite && seen < static_cast<int64_t>(row);
  }
  int64_t get() const { return row_.load(); }

 private:
  std::atomic<int64_t> row_{kAllFinite};
};

// Rows per task: whole blocks, enough tasks to share, not so small that taking one costs more than doing it.
inline size_t rows_per_task(size_t n, size_t block, int threads) {
  const size_t blocks = (n + block - 1) / block;
  const size_t share = blocks / (static_cast<size_t>(threads) * 8);
  return block * std::clamp<size_t>(share, 1, 64);
}

// Whether this many multiplications are worth waking another thread for: some 50 microseconds on one, while a thread
// takes 10 and more to wake.
inline bool worth_sharing(int threads, size_t n, size_t k, size_t d) {
  constexpr double kWorth = 1000000;
  return threads > 1 && static_cast<double>(n) * static_cast<double>(k + 4) * static_cast<double>(d + 4) >= kWorth;
}

template <class Task>
void for_blocks(Threads& threads, size_t n, size_t block, bool shared, const Task& task) {
  const size_t rows = shared ? rows_per_task(n, block, threads.count()) : std::max<size_t>(n, 1);
  threads.run((n + rows - 1) / rows, [&](int slot, size_t i) {
    const size_t end = std::min(n, (i + 1) * rows);
    for (size_t begin = i * rows; begin < end; begin += block) task(slot, begin, std::min(block, end - begin));
  });
}

}  // namespace macqueen
