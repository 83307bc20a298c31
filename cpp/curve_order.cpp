#include "curve_order.hpp"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

namespace macqueen {

namespace {

constexpr unsigned kPlaceBits = 32, kMostCellBits = 31;
constexpr unsigned kRadixBits = 11;
constexpr size_t kBuckets = size_t{1} << kRadixBits;
constexpr size_t kMostParts = 16;  // that are sorted side by side; each costs a pass over the buckets
constexpr size_t kPartRows = size_t{1} << 14;

// Rows cut into a few parts of even size, a task each.
struct Parts {
  explicit Parts(size_t n)
      : rows(std::max(kPartRows, (n + kMostParts - 1) / kMostParts)), count((n + rows - 1) / rows) {}
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
Grid grid_of(Threads& threads, const Kernels& kernels, const T* rows, size_t n, size_t d, double cells) {
  const Parts parts(n);
  std::vector<T> lows(parts.count * d), highs(parts.count * d);
  for_parts(threads, parts, n, [&](size_t p, size_t begin, size_t end) {
    row_kernels<T>(kernels).extremes(rows + begin * d, end - begin, d, &lows[p * d], &highs[p * d]);
  });
  Grid grid{std::vector<double>(d), std::vector<double>(d)};
  for (size_t j = 0; j < d; ++j) {
    for (size_t p = 1; p < parts.count; ++p) {
      lows[j] = std::min(lows[j], lows[p * d + j]);
      highs[j] = std::max(highs[j], highs[p * d + j]);
    }
    grid.low[j] = static_cast<double>(lows[j]);
    const double across = static_cast<double>(highs[j]) - grid.low[j];
    const double scale = across > 0 ? cells / across * (1 - 0x1p-50) : 0;  // rounded, the last cell is still the last
    grid.scale[j] = std::isfinite(scale) ? scale : 0;                      // denormals: one cell
  }
  return grid;
}

// Entries (n,), the place on the curve above, the row number below.
template <class T>
void fill_entries(Threads& threads, const Kernels& kernels, const T* rows, size_t n, size_t d, uint64_t* entries) {
  const unsigned bits = std::min(kPlaceBits / static_cast<unsigned>(d), kMostCellBits);
  const Grid grid = grid_of(threads, kernels, rows, n, d, std::ldexp(1.0, static_cast<int>(bits)) - 1);
  for_parts(threads, Parts(n), n, [&](size_t, size_t begin, size_t end) {
    constexpr size_t kRows = 256;
    uint32_t places[kRows];
    for (size_t first = begin; first < end; first += kRows) {
      const size_t count = std::min(kRows, end - first);
      row_kernels<T>(kernels).curve_places(rows + first * d, count, d, grid.low.data(), grid.scale.data(), bits,
                                           places);
      for (size_t i = 0; i < count; ++i) entries[first + i] = uint64_t{places[i]} << 32 | (first + i);
    }
  });
}

}  // namespace

template <class T>
void curve_order(Threads& threads, const Kernels& kernels, const T* rows, size_t n, size_t d, uint64_t* entries,
                 uint64_t* spare, uint32_t* order) {
  fill_entries(threads, kernels, rows, n, d, entries);
  const Parts parts(n);
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
      for (size_t i = begin; i < end; ++i) {
        const uint64_t entry = entries[i];
        const uint32_t place = to[bucket_of(entry)]++;
        if (last) {
          order[place] = static_cast<uint32_t>(entry);
        } else {
          spare[place] = entry;
        }
      }
    });
    std::swap(entries, spare);
  }
}

template void curve_order<float>(Threads&, const Kernels&, const float*, size_t, size_t, uint64_t*, uint64_t*,
                                 uint32_t*);
template void curve_order<double>(Threads&, const Kernels&, const double*, size_t, size_t, uint64_t*, uint64_t*,
                                  uint32_t*);

}  // namespace macqueen
