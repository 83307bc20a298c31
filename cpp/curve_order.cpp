#include "curve_order.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <utility>
#include <vector>

#include "sample_span.hpp"

namespace macqueen {

namespace {

constexpr unsigned kPlaceBits = 32, kMostCellBits = 16;
constexpr unsigned kMostDigit = 11;  // bits that rows are sorted by at once
constexpr size_t kMostParts = 16;    // that are counted side by side; each costs a pass over the buckets
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

// Bits of a digit that leaves few of so many rows in a bucket.
unsigned digit_for(size_t count, unsigned bits) {
  const auto wanted = static_cast<unsigned>(std::bit_width(count));
  return std::min({bits, kMostDigit, wanted > 5 ? wanted - 4 : 1});
}

// Entries of a range of the order, which agree in all but the lowest `bits` bits of their place.
struct Range {
  uint64_t* entries;
  size_t first, count;
  unsigned bits;
};

// The grid: cell of x along axis j = (x - low[j]) * scale[j], or the first or last one.
template <class T>
struct Grid {
  std::vector<T> low, scale;  // (d,)

  Grid(const T* rows, size_t n, size_t d, double cells) : low(d), scale(d) {
    std::vector<T> high(d);
    sample_span(rows, n, d, low.data(), high.data());
    for (size_t j = 0; j < d; ++j) {
      const double across = static_cast<double>(high[j]) - static_cast<double>(low[j]);
      const T each = static_cast<T>(cells / across);
      scale[j] = across > 0 && std::isfinite(each) ? each : 0;  // denormals: one cell
    }
  }
};

template <class T>
class CurveOrder {
 public:
  CurveOrder(Threads& threads, const Kernels& kernels, const T* rows, size_t n, size_t d)
      : threads_(threads),
        kernels_(kernels),
        rows_(rows),
        n_(n),
        d_(d),
        bits_(std::min(kPlaceBits / static_cast<unsigned>(d), kMostCellBits)) {}

  // Entries have the place on the curve above and the row number below. `order` holds the places until they are moved.
  void find(uint64_t* entries, uint64_t* spare, uint32_t* order) {
    const unsigned all = bits_ * static_cast<unsigned>(d_), digit = digit_for(n_ / 4, all);
    fill_places(order, digit);
    move_all(
        digit, [order](size_t i) { return uint64_t{order[i]} << 32 | i; }, n_, all, Range{entries, 0, n_, all}, spare);
    sort_ranges(order);
  }

 private:
  // Ranges are sorted where the cache holds them, neighbours in one task.
  void sort_ranges(uint32_t* order) {
    const size_t each = std::max(kPartRows / 4, n_ / 64);
    std::vector<size_t> tasks{0};
    size_t rows = 0;
    for (size_t r = 0; r < ranges_.size(); ++r) {
      rows += ranges_[r].count;
      if (rows >= each || r + 1 == ranges_.size()) {
        tasks.push_back(r + 1);
        rows = 0;
      }
    }
    std::vector<std::vector<uint64_t>> spares(static_cast<size_t>(threads_.count()));
    threads_.run(tasks.size() - 1, [&](int slot, size_t task) {
      std::vector<uint64_t>& other = spares[static_cast<size_t>(slot)];
      for (size_t r = tasks[task]; r < tasks[task + 1]; ++r) {
        const Range& range = ranges_[r];
        if (range.bits != 0 && other.size() < range.count) other.resize(range.count);
        sort_entries(range.entries, other.data(), range.count, range.bits, order + range.first);
      }
    });
  }

  // Finds the places, and counts for each part how many have which first digit.
  void fill_places(uint32_t* places, unsigned digit) {
    const Grid<T> grid(rows_, n_, d_, std::ldexp(1.0, static_cast<int>(bits_)));
    const Parts parts(n_);
    starts_.resize(parts.count << digit);
    const unsigned shift = bits_ * static_cast<unsigned>(d_) - digit;
    for_parts(threads_, parts, n_, [&](size_t p, size_t begin, size_t end) {
      uint32_t* counts = &starts_[p << digit];
      std::fill_n(counts, size_t{1} << digit, 0);
      constexpr size_t kRows = 256;
      for (size_t first = begin; first < end; first += kRows) {
        const size_t count = std::min(kRows, end - first);
        row_kernels<T>(kernels_).curve_places(rows_ + first * d_, count, d_, grid.low.data(), grid.scale.data(), bits_,
                                              places + first);
        for (size_t i = first; i < first + count; ++i) ++counts[places[i] >> shift];
      }
    });
  }

  // Moves entries (n,) to the range `to`, in the order of their highest digit of `bits`, which has been counted.
  template <class Entry>
  void move_all(unsigned digit, const Entry& entry, size_t n, unsigned bits, const Range& to, uint64_t* spare) {
    const Parts parts(n);
    const size_t buckets = size_t{1} << digit;
    uint32_t next = 0;
    std::vector<uint32_t> begins(buckets + 1);
    for (size_t b = 0; b < buckets; ++b) {
      begins[b] = next;
      for (size_t p = 0; p < parts.count; ++p) next += std::exchange(starts_[(p << digit) + b], next);
    }
    begins[buckets] = next;
    const unsigned shift = 32 + bits - digit;
    const uint64_t mask = buckets - 1;
    for_parts(threads_, parts, n, [&](size_t p, size_t begin, size_t end) {
      uint32_t* places = &starts_[p << digit];
      for (size_t i = begin; i < end; ++i) {
        const uint64_t e = entry(i);
        to.entries[places[e >> shift & mask]++] = e;
      }
    });
    for (size_t b = 0; b < buckets; ++b) {
      if (begins[b + 1] == begins[b]) continue;
      add_range({to.entries + begins[b], to.first + begins[b], begins[b + 1] - begins[b], bits - digit},
                spare + begins[b]);
    }
  }

  // A range that would keep one thread busy for long is cut by all of them.
  void add_range(const Range& range, uint64_t* spare) {
    if (range.bits == 0 || range.count <= std::max(kPartRows, n_ / 32)) {
      ranges_.push_back(range);
      return;
    }
    const unsigned digit = digit_for(range.count / 4, range.bits), shift = 32 + range.bits - digit;
    const uint64_t mask = (uint64_t{1} << digit) - 1;
    const Parts parts(range.count);
    starts_.resize(std::max(starts_.size(), parts.count << digit));
    for_parts(threads_, parts, range.count, [&](size_t p, size_t begin, size_t end) {
      uint32_t* counts = &starts_[p << digit];
      std::fill_n(counts, size_t{1} << digit, 0);
      for (size_t i = begin; i < end; ++i) ++counts[range.entries[i] >> shift & mask];
    });
    move_all(
        digit, [&](size_t i) { return range.entries[i]; }, range.count, range.bits,
        {spare, range.first, range.count, range.bits}, range.entries);
  }

  // Sorts entries (count,) by the lowest `bits` of their places, highest digit first; both arrays are scratch.
  void sort_entries(uint64_t* entries, uint64_t* other, size_t count, unsigned bits, uint32_t* order) const {
    uint32_t starts[(size_t{1} << kMostDigit) + 1];
    while (bits != 0 && count > kFewEntries) {
      const unsigned digit = digit_for(count, bits), shift = 32 + bits - digit;
      const size_t buckets = size_t{1} << digit;
      const auto bucket_of = [&](uint64_t entry) { return entry >> shift & (buckets - 1); };
      std::fill_n(starts, buckets + 1, 0);
      for (size_t i = 0; i < count; ++i) ++starts[bucket_of(entries[i])];
      bits -= digit;
      if (starts[bucket_of(entries[0])] == count) continue;
      uint32_t next = 0;
      for (size_t b = 0; b < buckets; ++b) next += std::exchange(starts[b], next);
      for (size_t i = 0; i < count; ++i) other[starts[bucket_of(entries[i])]++] = entries[i];
      size_t begin = 0;
      for (size_t b = 0; b < buckets; ++b) {
        const size_t end = starts[b];
        if (end != begin) sort_entries(other + begin, entries + begin, end - begin, bits, order + begin);
        begin = end;
      }
      return;
    }
    if (count > 1 && bits != 0) {
      kernels_.order_few(entries, count, bits, order);
      return;
    }
    for (size_t i = 0; i < count; ++i) order[i] = static_cast<uint32_t>(entries[i]);
  }

  Threads& threads_;
  const Kernels& kernels_;
  const T* rows_;
  size_t n_, d_;
  unsigned bits_;
  std::vector<uint32_t> starts_;
  std::vector<Range> ranges_;
};

}  // namespace

template <class T>
void curve_order(Threads& threads, const Kernels& kernels, const T* rows, size_t n, size_t d, uint64_t* entries,
                 uint64_t* spare, uint32_t* order) {
  CurveOrder<T>(threads, kernels, rows, n, d).find(entries, spare, order);
}

template void curve_order<float>(Threads&, const Kernels&, const float*, size_t, size_t, uint64_t*, uint64_t*,
                                 uint32_t*);
template void curve_order<double>(Threads&, const Kernels&, const double*, size_t, size_t, uint64_t*, uint64_t*,
                                  uint32_t*);

}  // namespace macqueen
