#include "curve_order.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

namespace macqueen {

namespace {

constexpr unsigned kKeyBits = 32;
constexpr unsigned kRadixBits = 11;
constexpr size_t kBuckets = size_t{1} << kRadixBits;
constexpr size_t kMostParts = 64;  // that are sorted side by side
constexpr size_t kPartRows = size_t{1} << 14;

// Rows cut into a few parts of even size, a task each.
struct Parts {
  explicit Parts(size_t n) : rows(std::max(kPartRows, (n + kMostParts - 1) / kMostParts)), count((n + rows - 1) / rows) {}
  size_t rows, count;
};

template <class Task>
void for_parts(Threads& threads, const Parts& parts, size_t n, const Task& task) {
  threads.run(parts.count, [&](int, size_t p) { task(p, p * parts.rows, std::min(n, (p + 1) * parts.rows)); });
}

// The grid: cell of x along axis j = (x - low[j]) * scale[j].
struct Grid {
  std::vector<double> low, scale;  // (d,)
};

template <class T>
Grid grid_of(Threads& threads, const T* rows, size_t n, size_t d, double cells) {
  const Parts parts(n);
  std::vector<T> lows(parts.count * d, std::numeric_limits<T>::infinity()), highs(lows.size(), -lows[0]);
  for_parts(threads, parts, n, [&](size_t p, size_t begin, size_t end) {
    std::vector<T> low(rows + begin * d, rows + begin * d + d), high(low);
    for (size_t i = begin; i < end; ++i) {
      for (size_t j = 0; j < d; ++j) {
        low[j] = std::min(low[j], rows[i * d + j]);
        high[j] = std::max(high[j], rows[i * d + j]);
      }
    }
    std::copy(low.begin(), low.end(), &lows[p * d]);
    std::copy(high.begin(), high.end(), &highs[p * d]);
  });
  Grid grid{std::vector<double>(d), std::vector<double>(d)};
  for (size_t j = 0; j < d; ++j) {
    for (size_t p = 1; p < parts.count; ++p) {
      lows[j] = std::min(lows[j], lows[p * d + j]);
      highs[j] = std::max(highs[j], highs[p * d + j]);
    }
    grid.low[j] = static_cast<double>(lows[j]);
    const double across = static_cast<double>(highs[j]) - grid.low[j];
    const double scale = across > 0 ? cells / across : 0;
    grid.scale[j] = std::isfinite(scale) ? scale : 0;  // denormals: one cell
  }
  return grid;
}

// Puts d - 1 zeros between the bits of a cell's number, by a table of the spread values of kTableBits at a time.
class Spread {
 public:
  Spread(unsigned bits, size_t d) : parts_((bits + kTableBits - 1) / kTableBits), d_(d), table_(size_t{1} << kTableBits) {
    for (size_t value = 0; value < table_.size(); ++value) {
      for (unsigned b = 0; b < kTableBits; ++b) table_[value] |= uint64_t{value >> b & 1} << (b * d);
    }
  }
  uint64_t operator()(uint64_t cell) const {
    uint64_t key = table_[cell & (table_.size() - 1)];
    for (unsigned p = 1; p < parts_; ++p) {
      key |= table_[cell >> (p * kTableBits) & (table_.size() - 1)] << (p * kTableBits * d_);
    }
    return key;
  }

 private:
  static constexpr unsigned kTableBits = 8;
  unsigned parts_;
  size_t d_;
  std::vector<uint64_t> table_;
};

}  // namespace

template <class T>
std::unique_ptr<uint32_t[]> curve_order(Threads& threads, const T* rows, size_t n, size_t d) {
  const unsigned bits = kKeyBits / static_cast<unsigned>(d);
  const Grid grid = grid_of(threads, rows, n, d, std::ldexp(1.0, static_cast<int>(bits)) - 1);
  const Spread spread(bits, d);
  // The key above, the row number below.
  auto entries = std::make_unique_for_overwrite<uint64_t[]>(n), sorted = std::make_unique_for_overwrite<uint64_t[]>(n);
  auto order = std::make_unique_for_overwrite<uint32_t[]>(n);
  const Parts parts(n);
  for_parts(threads, parts, n, [&](size_t, size_t begin, size_t end) {
    for (size_t i = begin; i < end; ++i) {
      uint64_t key = 0;
      for (size_t j = 0; j < d; ++j) {
        const double place = (static_cast<double>(rows[i * d + j]) - grid.low[j]) * grid.scale[j];
        key |= spread(static_cast<uint64_t>(static_cast<int64_t>(place))) << j;
      }
      entries[i] = key << 32 | i;
    }
  });
  std::vector<uint32_t> starts(parts.count * kBuckets);
  for (unsigned shift = 32; shift < 64; shift += kRadixBits) {
    const auto bucket_of = [shift](uint64_t entry) { return entry >> shift & (kBuckets - 1); };
    for_parts(threads, parts, n, [&](size_t p, size_t begin, size_t end) {
      uint32_t* counts = &starts[p * kBuckets];
      std::fill_n(counts, kBuckets, 0);
      for (size_t i = begin; i < end; ++i) ++counts[bucket_of(entries[i])];
    });
    uint32_t next = 0;
    for (size_t b = 0; b < kBuckets; ++b) {
      for (size_t p = 0; p < parts.count; ++p) next += std::exchange(starts[p * kBuckets + b], next);
    }
    const bool last = shift + kRadixBits >= 64;
    for_parts(threads, parts, n, [&](size_t p, size_t begin, size_t end) {
      uint32_t* to = &starts[p * kBuckets];
      if (last) {
        for (size_t i = begin; i < end; ++i) order[to[bucket_of(entries[i])]++] = static_cast<uint32_t>(entries[i]);
      } else {
        for (size_t i = begin; i < end; ++i) sorted[to[bucket_of(entries[i])]++] = entries[i];
      }
    });
    entries.swap(sorted);
  }
  return order;
}

template std::unique_ptr<uint32_t[]> curve_order<float>(Threads&, const float*, size_t, size_t);
template std::unique_ptr<uint32_t[]> curve_order<double>(Threads&, const double*, size_t, size_t);

}  // namespace macqueen
