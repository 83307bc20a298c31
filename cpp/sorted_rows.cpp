#include "sorted_rows.hpp"

#include <string.h>

#include <algorithm>
#include <type_traits>
#include <utility>

namespace macqueen {

namespace {

constexpr size_t kBlock = 128;  // mantissas of 53 bits of so many rows add up within 60 bits
constexpr unsigned kRadixBits = 11;
constexpr size_t kBuckets = size_t{1} << kRadixBits;

// Unsigned integers in the order of the values, -0 before 0.
template <class T>
auto key(T value) {
  using Key = std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>;
  constexpr Key kSign = Key{1} << (8 * sizeof(T) - 1);
  Key bits;
  memcpy(&bits, &value, sizeof bits);
  return static_cast<Key>((bits & kSign) != 0 ? ~bits : bits | kSign);
}

// Radix sort, lowest digit first; each thread counts and moves a part of the rows.
template <class T>
void sort(Threads& threads, std::vector<T>& rows) {
  const size_t n = rows.size(), parts = static_cast<size_t>(threads.count());
  std::vector<T> moved(n);
  std::vector<size_t> places(parts * kBuckets);  // (parts, buckets)
  for (unsigned shift = 0; shift < 8 * sizeof(T); shift += kRadixBits) {
    const auto for_parts = [&](const auto& use) {
      threads.run(parts, [&](int, size_t part) {
        size_t* own = &places[part * kBuckets];
        for (size_t i = n * part / parts; i < n * (part + 1) / parts; ++i) {
          use(own[key(rows[i]) >> shift & (kBuckets - 1)], rows[i]);
        }
      });
    };
    std::fill(places.begin(), places.end(), 0);
    for_parts([](size_t& count, T) { ++count; });
    size_t begin = 0;
    for (size_t bucket = 0; bucket < kBuckets; ++bucket) {
      for (size_t part = 0; part < parts; ++part) begin += std::exchange(places[part * kBuckets + bucket], begin);
    }
    for_parts([&](size_t& place, T row) { moved[place++] = row; });
    rows.swap(moved);
  }
}

// As `exact::split`, but with the few bits that a mantissa of type T has.
template <class T>
exact::Scaled split(T value) {
  constexpr int kSpare = sizeof(T) == 4 ? 29 : 0;
  const exact::Scaled wide = exact::split(static_cast<double>(value));
  return {wide.mantissa >> kSpare, wide.exponent + kSpare};
}

// Calls add(sum of of(mantissa), exponent) for rows [0, count) of at most kBlock; sorted, they seldom change exponent.
template <class Number, class T, class Of, class Add>
void for_exponents(const T* rows, size_t count, const Of& of, const Add& add) {
  Number sum = 0;
  int exponent = 0;
  for (size_t i = 0; i < count; ++i) {
    const exact::Scaled s = split(rows[i]);
    if (s.exponent != exponent) {
      if (sum != 0) add(sum, exponent);
      sum = 0;
      exponent = s.exponent;
    }
    sum += of(s.mantissa);
  }
  if (sum != 0) add(sum, exponent);
}

// The place from which on rows belong to the upper one of two neighbouring centers.
template <class T>
size_t border(const std::vector<T>& rows, T lower, T upper, bool upper_wins_ties) {
  // Row x is nearer to the upper center where 2 x > lower + upper = sum + rest, exactly (Knuth). `sum` is the float64
  // nearest to it, so that rest, however small, decides only where 2 x, which is a float64 as well, equals `sum`.
  const double a = static_cast<double>(lower), b = static_cast<double>(upper);
  const double sum = a + b, part = sum - a;
  const double rest = (a - (sum - part)) + (b - part);
  const bool with_equal = rest < 0 || (rest == 0 && upper_wins_ties);
  const auto belongs_below = [&](T x) {
    const double twice = 2 * static_cast<double>(x);
    return with_equal ? twice < sum : twice <= sum;
  };
  return static_cast<size_t>(std::partition_point(rows.begin(), rows.end(), belongs_below) - rows.begin());
}

// Centers (k, 1) that can have rows, ascending: of equal ones the first.
template <class T>
std::vector<size_t> ascending(const T* centers, size_t k) {
  std::vector<size_t> order(k);
  for (size_t c = 0; c < k; ++c) order[c] = c;
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return centers[a] < centers[b]; });
  const auto same = [&](size_t a, size_t b) { return centers[a] == centers[b]; };
  order.erase(std::unique(order.begin(), order.end(), same), order.end());
  return order;
}

}  // namespace

template <class T>
SortedRows<T>::SortedRows(Threads& threads, const T* rows, size_t n) : rows_(rows, rows + n), squares_(1) {
  const PinFloatingPoint pin;  // denormals are not 0
  sort(threads, rows_);
  add_up(threads);
}

template <class T>
void SortedRows<T>::add_up(Threads& threads) {
  int low = 1 << 12, high = -low;
  const auto zeros = std::equal_range(rows_.begin(), rows_.end(), T{0});
  const auto note = [&](T extreme) {
    const exact::Scaled s = split(extreme);
    low = std::min(low, s.exponent);
    high = std::max(high, s.exponent + 53);
  };
  if (zeros.first != rows_.begin()) note(rows_.front()), note(*(zeros.first - 1));
  if (zeros.second != rows_.end()) note(*zeros.second), note(rows_.back());
  if (low > high) return;  // all rows are 0
  const int room = 8;      // a block has up to 2^7 rows
  exact::Sums below(rows_.size() / kBlock + 1);
  below.reserve(low, high + room);
  squares_.reserve(2 * low, 2 * high + room);
  constexpr size_t kBlocksPerTask = 256;
  const size_t blocks = rows_.size() / kBlock;
  threads.run(blocks / kBlocksPerTask + 1, [&](int, size_t task) {
    exact::Sums squares(1);
    squares.reserve(2 * low, 2 * high + room);
    for (size_t b = task * kBlocksPerTask; b < std::min(blocks + 1, (task + 1) * kBlocksPerTask); ++b) {
      const T* first = rows_.data() + b * kBlock;
      const size_t count = std::min(kBlock, rows_.size() - b * kBlock);
      for_exponents<exact::int128>(
          first, count, [](int64_t m) { return static_cast<exact::int128>(m) * m; },
          [&](exact::int128 sum, int exponent) { squares.add_reserved(0, sum, 2 * exponent); });
      squares.note_adds(kBlock);
      if (b == blocks) continue;  // nothing begins after the last rows
      for_exponents<int64_t>(
          first, count, [](int64_t m) { return m; },
          [&](int64_t sum, int exponent) { below.add_reserved(b + 1, sum, exponent); });
    }
    const std::lock_guard<std::mutex> lock(squares_.mutex());
    squares_.merge(squares);
  });
  below_ = below.digits();
  first_ = below.first();
  width_ = static_cast<size_t>(below.width());
  for (size_t i = width_; i < below_.size(); ++i) {
    below_[i] += below_[i - width_];
    if ((i + 1) % width_ == 0) exact::carry(&below_[i + 1 - width_], below.width());
  }
}

// Adds all rows before a place to digits (width,) as those of `below_`.
template <class T>
void SortedRows<T>::add_below(size_t place, int64_t* digits) const {
  if (width_ == 0) return;
  const size_t block = place / kBlock;
  for (size_t i = 0; i < width_; ++i) digits[i] += below_[block * width_ + i];
  for_exponents<int64_t>(
      rows_.data() + block * kBlock, place - block * kBlock, [](int64_t m) { return m; },
      [&](int64_t sum, int exponent) { exact::add_scaled(digits, first_, sum, exponent); });
}

template <class T>
void SortedRows<T>::accumulate(Threads& threads, const Centers<T>& centers, Totals& totals) const {
  const PinFloatingPoint pin;
  const T* values = centers.values();
  const std::vector<size_t> order = ascending(values, centers.k());
  const size_t count = order.size(), width = width_;
  std::vector<size_t> ends(count, n());
  std::vector<int64_t> below(count * width, 0);  // (count, width): of all rows before each end
  constexpr size_t kPerTask = 64;
  threads.run((count + kPerTask - 1) / kPerTask, [&](int, size_t task) {
    for (size_t i = task * kPerTask; i < std::min(count, (task + 1) * kPerTask); ++i) {
      if (i + 1 < count) {
        ends[i] = border(rows_, values[order[i]], values[order[i + 1]], order[i + 1] < order[i]);
      }
      add_below(ends[i], below.data() + i * width);
    }
  });
  std::vector<int64_t> digits(centers.k() * width, 0);
  for (size_t i = 0; i < count; ++i) {
    totals.counts[order[i]] += static_cast<int64_t>(ends[i] - (i == 0 ? 0 : ends[i - 1]));
    for (size_t w = 0; w < width; ++w) {
      digits[order[i] * width + w] = below[i * width + w] - (i == 0 ? 0 : below[(i - 1) * width + w]);
    }
  }
  exact::Sums sums(centers.k());
  sums.assign(first_, static_cast<int>(width), digits.data());
  totals.sums.merge(sums);
  totals.squares.merge(squares_);
}

template class SortedRows<float>;
template class SortedRows<double>;

}  // namespace macqueen
