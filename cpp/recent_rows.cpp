#include "recent_rows.hpp"

#include <algorithm>
#include <bit>
#include <vector>

#include "equal_rows.hpp"
#include "kernels.hpp"

namespace macqueen {

namespace {

// A row of late with each hash, and where the row that stands for it lies.
template <class T, size_t D>
class RecentRows {
 public:
  RecentRows() : entries_(size_t{1} << kBits) {}

  // Folds rows [first, end) of `rows` (n, D) to [first, ...) of `kept` (n, D), weights (n,), and to what this table
  // remembers of earlier calls. Returns how many are kept. No branch depends on the rows.
  size_t fold(const T* rows, size_t first, size_t end, T* kept, int32_t* weights) {
    uint32_t places[kChunk];
    size_t next = first;
    for (size_t begin = first; begin < end; begin += kChunk) {
      const size_t count = std::min(kChunk, end - begin);
      const size_t after = find(rows + begin * D, count, next, places);
      std::fill(weights + next, weights + after, 0);
      for (size_t i = 0; i < count; ++i) {
        memcpy(kept + places[i] * D, rows + (begin + i) * D, D * sizeof(T));
        ++weights[places[i]];
      }
      next = after;
    }
    return next - first;
  }

 private:
  static constexpr uint32_t kNone = ~uint32_t{0};
  struct Entry {
    T row[D] = {};
    uint32_t place = kNone;
  };
  static constexpr size_t kChunk = 512;
  // A table of some 512 KiB, which most caches of a processor's own hold.
  static constexpr unsigned kBits = static_cast<unsigned>(std::bit_width((size_t{1} << 19) / sizeof(Entry))) - 1;

  // The place of each of some rows (count, D), that of an equal one or the next. Apart from what is stored there: a
  // store whose address waits for an entry would hold up the entries of the rows after it.
  size_t find(const T* rows, size_t count, size_t next, uint32_t* places) {
    for (size_t i = 0; i < count; ++i) {
      const T* row = rows + i * D;
      Entry& entry = entries_[hash(row)];
      const bool same = (entry.place != kNone) & equal_rows<T, D>(entry.row, row);
      const uint32_t mask = -static_cast<uint32_t>(same), here = static_cast<uint32_t>(next);
      places[i] = here ^ ((here ^ entry.place) & mask);
      memcpy(entry.row, row, sizeof entry.row);
      entry.place = places[i];
      next += size_t{!same};
    }
    return next;
  }

  static size_t hash(const T* row) {
    RowBits<T> bits[D];
    memcpy(bits, row, sizeof bits);
    uint64_t sum = 0;
    for (size_t j = 0; j < D; ++j) sum = (sum + bits[j]) * 0x9e3779b97f4a7c15;
    return sum >> (64 - kBits);
  }

  std::vector<Entry> entries_;
};

// Whether many rows of a stretch repeat within it.
template <class T, size_t D>
bool many_repeat(const T* rows, size_t n) {
  constexpr size_t kStretch = 4096;
  if (n < 4 * kStretch) return false;
  std::vector<T> kept(kStretch * D);
  std::vector<int32_t> weights(kStretch);
  RecentRows<T, D> recent;
  return 4 * recent.fold(rows + (n - kStretch) / 2 * D, 0, kStretch, kept.data(), weights.data()) <= 3 * kStretch;
}

// Rows that stand for too many are repeated.
template <class T, size_t D>
void split_heavy(FoldedRows<T>& folded) {
  for (size_t i = 0; i < folded.n; ++i) {
    if (folded.weights[i] < kMostWeight) continue;
    const int32_t rest = folded.weights[i] - (kMostWeight - 1);
    folded.weights[i] = kMostWeight - 1;
    memcpy(folded.rows + folded.n * D, folded.rows + i * D, D * sizeof(T));
    folded.weights[folded.n++] = rest;
  }
}

template <class T, size_t D>
FoldedRows<T> fold_rows(Threads& threads, const T* rows, size_t n) {
  FoldedRows<T> folded;
  if (!many_repeat<T, D>(rows, n)) return folded;
  constexpr size_t kParts = 8;
  const size_t part_rows = (n + kParts - 1) / kParts;
  folded.memory = std::make_unique<HugeMemory>(n * (D * sizeof(T) + sizeof(int32_t)));
  folded.rows = folded.memory->template take<T>(n * D);
  folded.weights = folded.memory->template take<int32_t>(n);
  std::vector<RecentRows<T, D>> recent(std::min(kParts, static_cast<size_t>(threads.count())));
  size_t kept[kParts] = {};
  threads.run(kParts, [&](int slot, size_t part) {
    const size_t first = part * part_rows, end = std::min(n, first + part_rows);
    if (first >= end) return;
    kept[part] = recent[static_cast<size_t>(slot)].fold(rows, first, end, folded.rows, folded.weights);
  });
  for (size_t part = 0; part < kParts; ++part) {
    const size_t first = part * part_rows;
    memmove(folded.rows + folded.n * D, folded.rows + first * D, kept[part] * D * sizeof(T));
    memmove(folded.weights + folded.n, folded.weights + first, kept[part] * sizeof(int32_t));
    folded.n += kept[part];
  }
  split_heavy<T, D>(folded);
  return folded;
}

}  // namespace

template <class T>
FoldedRows<T> fold_recent(Threads& threads, const T* rows, size_t n, size_t d) {
  using Function = FoldedRows<T> (*)(Threads&, const T*, size_t);
  static constexpr Function kFunctions[kMostBoxDims] = {fold_rows<T, 1>, fold_rows<T, 2>, fold_rows<T, 3>,
                                                        fold_rows<T, 4>, fold_rows<T, 5>, fold_rows<T, 6>,
                                                        fold_rows<T, 7>, fold_rows<T, 8>};
  return kFunctions[d - 1](threads, rows, n);
}

template FoldedRows<float> fold_recent(Threads&, const float*, size_t, size_t);
template FoldedRows<double> fold_recent(Threads&, const double*, size_t, size_t);

}  // namespace macqueen
