#include "step.hpp"

#include <algorithm>
#include <cmath>

#include "blocks.hpp"
#include "center_cells.hpp"
#include "exponents.hpp"
#include "grid_buffer.hpp"

namespace macqueen {

struct Workspace::Slot {
  Labeller<float> floats;
  Labeller<double> doubles;
  std::vector<int32_t> labels;
  GridBuffer sums, squares;
  std::vector<int64_t> counts;
  int64_t zero_rows = 0;

  template <class T>
  Labeller<T>& labeller() {
    if constexpr (sizeof(T) == 4) {
      return floats;
    } else {
      return doubles;
    }
  }
  template <class T>
  void resize(const Centers<T>& centers) {
    labeller<T>().resize(centers.kernels(), centers.k(), centers.d());
    labels.resize(centers.kernels().block);
  }
};

Workspace::Workspace(bool slim) : slim_(slim) {}
Workspace::~Workspace() = default;

template <class T>
std::vector<std::unique_ptr<Workspace::Slot>>& Workspace::slots(const Centers<T>& centers, int threads) {
  while (static_cast<int>(slots_.size()) < threads) slots_.push_back(std::make_unique<Slot>());
  for (auto& slot : slots_) slot->resize(centers);
  return slots_;
}

template <class T>
PackedCenters::PackedCenters(const Kernels& kernels, const T* centers, size_t k, size_t d)
    : origin_(d), width_(k), width_norm_(k), narrow_origin_(d) {
  screen.k = k;
  screen.d = d;
  screen.panels = (k + kernels.lanes - 1) / kernels.lanes;
  packed_.resize(screen.panels * (d + 1) * kernels.lanes);
  start_.resize(screen.panels * kernels.lanes);
  screen.origin = origin_.data();
  screen.narrow_origin = narrow_origin_.data();
  screen.packed = packed_.data();
  screen.start = start_.data();
  screen.width = width_.data();
  screen.width_norm = width_norm_.data();
  const PinFloatingPoint pin;
  row_kernels<T>(kernels).pack(centers, screen);
}

void Totals::merge(const Totals& other) {
  sums.merge(other.sums);
  squares.merge(other.squares);
  for (size_t c = 0; c < k; ++c) counts[c] += other.counts[c];
  zero_rows += other.zero_rows;
}

namespace {

// Marks rows of zeros with label -1 and counts them.
template <class T>
int64_t leave_out_zero_rows(const RowKernels<T>& kernels, const T* rows, size_t n, size_t d, int32_t* labels) {
  int64_t found = 0;
  for (size_t i = 0; i < n; ++i) {
    if (kernels.largest(rows + i * d, d) != 0) continue;
    labels[i] = -1;
    ++found;
  }
  return found;
}

// Flushes what the threads hold into the totals, clusters shared out among them.
void collect(Threads& threads, std::vector<std::unique_ptr<Workspace::Slot>>& slots, Totals& totals) {
  for (auto& slot : slots) {
    if (slot->sums.ready()) slot->sums.reserve(totals.sums);
    if (slot->squares.ready()) slot->squares.reserve(totals.squares);
    totals.zero_rows += slot->zero_rows;
    slot->zero_rows = 0;
  }
  constexpr size_t kCellsPerTask = 1 << 14;
  const size_t clusters = std::max<size_t>(1, kCellsPerTask / totals.d);
  threads.run((totals.k + clusters - 1) / clusters, [&](int, size_t i) {
    const size_t end = std::min(totals.k, (i + 1) * clusters);
    for (auto& slot : slots) {
      if (!slot->sums.ready()) continue;
      for (size_t c = i * clusters; c < end; ++c) {
        if (slot->counts[c] == 0) continue;
        slot->sums.flush(c * totals.d, (c + 1) * totals.d, totals.sums);
        totals.counts[c] += slot->counts[c];
        slot->counts[c] = 0;
      }
    }
  });
  for (auto& slot : slots) {
    if (slot->sums.ready()) totals.sums.note_adds(kLevels);
    slot->sums.forget();
    if (!slot->squares.ready()) continue;
    slot->squares.flush(0, totals.d, totals.squares);
    totals.squares.note_adds(kLevels);
    slot->squares.forget();
  }
}

// Null where so many rows are not worth it.
template <class T>
std::unique_ptr<CenterCells<T>> cells_for(Threads& threads, const Centers<T>& centers, const T* rows, size_t n) {
  if (!CenterCells<T>::worth(n, centers.k(), centers.d())) return nullptr;
  return std::make_unique<CenterCells<T>>(threads, centers, rows, n);
}

}  // namespace

template <class T>
int64_t accumulate(Threads& threads, const Centers<T>& centers, const T* rows, size_t n, PassOptions options,
                   Workspace& workspace, Totals& totals, int32_t* labels) {
  const auto& kernels = row_kernels<T>(centers.kernels());
  const size_t k = centers.k(), d = centers.d();
  auto& slots = workspace.slots(centers, threads.count());
  for (auto& slot : slots) {
    slot->sums.resize(k * d);
    slot->squares.resize(d);
    slot->counts.resize(k, 0);
  }
  const bool plain = options.known || workspace.slim();
  const std::unique_ptr<CenterCells<T>> cells = plain ? nullptr : cells_for(threads, centers, rows, n);
  const CellTable<T>* table = cells ? cells->table() : nullptr;
  const ShortScreen* short_screen = options.known || table != nullptr ? nullptr : centers.short_screen(n);
  BadRow bad;
  try {
    for_blocks(threads, n, centers.kernels().block, worth_sharing(threads.count(), n, k, d),
               [&](int index, size_t begin, size_t count) {
                 if (bad.found_before(begin)) return;
                 Workspace::Slot& slot = *slots[static_cast<size_t>(index)];
                 const T* block = rows + begin * d;
                 const uint64_t largest = kernels.largest(block, count * d);
                 if (largest >= first_refused_bits<T>()) {
                   bad.note(begin + first_bad_row(centers.kernels(), block, count, d));
                   return;
                 }
                 if (options.known) {
                   std::copy_n(labels + begin, count, slot.labels.data());
                 } else {
                   slot.template labeller<T>().label(centers, table, short_screen, block, count, slot.labels.data());
                 }
                 if (options.skip_zero_rows) {
                   slot.zero_rows += leave_out_zero_rows(kernels, block, count, d, slot.labels.data());
                 }
                 const int all = top_exponent<T>(largest);
                 slot.sums.prepare(next_exponent(kernels, block, count, d, all, slot.sums), count, totals.sums, all);
                 kernels.add(block, slot.labels.data(), count, d, slot.sums.view());
                 if (options.squares) {
                   slot.squares.prepare(std::max(2 * slot.sums.top(), kLowestTop), 2 * count, totals.squares, 2 * all);
                   kernels.add_squares(block, slot.labels.data(), count, d, slot.squares.view());
                 }
                 for (size_t i = 0; i < count; ++i) {
                   if (slot.labels[i] >= 0) ++slot.counts[static_cast<size_t>(slot.labels[i])];
                 }
                 if (labels != nullptr) {
                   for (size_t i = 0; i < count; ++i) labels[begin + i] = std::max(slot.labels[i], 0);
                 }
               });
    collect(threads, slots, totals);
  } catch (...) {
    slots.clear();  // half-filled buffers must not reach the next pass
    throw;
  }
  return bad.get();
}

template <class T>
int64_t assign(Threads& threads, const Centers<T>& centers, const T* rows, size_t n, bool skip_zero_rows,
               int32_t* labels, double* distances, bool known) {
  const auto& kernels = row_kernels<T>(centers.kernels());
  const size_t d = centers.d();
  const bool shared = worth_sharing(threads.count(), n, centers.k(), d);
  constexpr size_t kFewProducts = 1 << 14;  // which take less time in float64 than making buffers for screens
  const bool few = known || n * centers.k() * d <= kFewProducts;
  Workspace workspace;
  auto& slots = workspace.slots(centers, few ? 0 : shared ? threads.count() : 1);
  const std::unique_ptr<CenterCells<T>> cells = few ? nullptr : cells_for(threads, centers, rows, n);
  const CellTable<T>* table = cells ? cells->table() : nullptr;
  const ShortScreen* short_screen = few || table != nullptr ? nullptr : centers.short_screen(n);
  BadRow bad;
  for_blocks(threads, n, centers.kernels().block, shared, [&](int index, size_t begin, size_t count) {
    if (bad.found_before(begin)) return;
    const T* block = rows + begin * d;
    if (kernels.largest(block, count * d) >= first_refused_bits<T>()) {
      bad.note(begin + first_bad_row(centers.kernels(), block, count, d));
      return;
    }
    int32_t* own = labels + begin;
    if (few && !known) {
      for (size_t i = 0; i < count; ++i) {
        own[i] = kernels.decide(block + i * d, centers.values(), d, nullptr, centers.k());
      }
    } else if (!known) {
      slots[static_cast<size_t>(index)]->template labeller<T>().label(centers, table, short_screen, block, count, own);
    }
    if (skip_zero_rows) leave_out_zero_rows(kernels, block, count, d, own);
    for (size_t i = 0; i < count; ++i) own[i] = std::max(own[i], 0);
    if (distances != nullptr) {
      kernels.own_distances(block, own, centers.values(), count, d, distances + begin);
    }
  });
  return bad.get();
}

template <class T>
int64_t distances(Threads& threads, const Centers<T>& centers, const T* rows, size_t n, double factor,
                  bool zero_rows_are_one, T* out) {
  const auto& kernels = row_kernels<T>(centers.kernels());
  const size_t k = centers.k(), d = centers.d();
  const bool shared = worth_sharing(threads.count(), n, k, d);
  Lines<double> wide_centers((k + centers.kernels().lanes) * d);
  kernels.widen_centers(centers.values(), k, d, wide_centers.data());
  std::vector<Lines<double>> wide_rows(static_cast<size_t>(shared ? threads.count() : 1), Lines<double>(d));
  BadRow bad;
  for_blocks(threads, n, centers.kernels().block, shared, [&](int index, size_t begin, size_t count) {
    const T* block = rows + begin * d;
    if (kernels.largest(block, count * d) >= first_refused_bits<T>()) {
      bad.note(begin + first_bad_row(centers.kernels(), block, count, d));
      return;
    }
    double* const wide = wide_rows[static_cast<size_t>(index)].data();
    kernels.distances(block, wide_centers.data(), count, k, d, factor, wide, out + begin * k);
    for (size_t i = begin; zero_rows_are_one && i < begin + count; ++i) {
      if (kernels.largest(rows + i * d, d) == 0) std::fill_n(out + i * k, k, T{1});
    }
  });
  return bad.get();
}

template <class T>
int64_t normalize(Threads& threads, const Kernels& kernels, const T* rows, size_t n, size_t d, T* out) {
  const auto& k = row_kernels<T>(kernels);
  BadRow bad;
  for_blocks(threads, n, kernels.block, worth_sharing(threads.count(), n, 1, d), [&](int, size_t begin, size_t count) {
    if (k.largest(rows + begin * d, count * d) >= first_refused_bits<T>()) {
      bad.note(begin + first_bad_row(kernels, rows + begin * d, count, d));
      return;
    }
    k.normalize(rows + begin * d, count, d, out + begin * d);
  });
  return bad.get();
}

template <class T>
int64_t first_refused_row(Threads& threads, const Kernels& kernels, const T* rows, size_t n, size_t d) {
  BadRow bad;
  for_blocks(threads, n, kernels.block, worth_sharing(threads.count(), n, 1, d), [&](int, size_t begin, size_t count) {
    const size_t row = first_bad_row(kernels, rows + begin * d, count, d);
    if (row < count) bad.note(begin + row);
  });
  return bad.get();
}

#define MACQUEEN_INSTANTIATE(T)                                                                                   \
  template PackedCenters::PackedCenters(const Kernels&, const T*, size_t, size_t);                                \
  template int64_t accumulate<T>(Threads&, const Centers<T>&, const T*, size_t, PassOptions, Workspace&, Totals&, \
                                 int32_t*);                                                                       \
  template int64_t assign<T>(Threads&, const Centers<T>&, const T*, size_t, bool, int32_t*, double*, bool);       \
  template int64_t distances<T>(Threads&, const Centers<T>&, const T*, size_t, double, bool, T*);                 \
  template int64_t normalize<T>(Threads&, const Kernels&, const T*, size_t, size_t, T*);                          \
  template int64_t first_refused_row<T>(Threads&, const Kernels&, const T*, size_t, size_t);
MACQUEEN_INSTANTIATE(float)
MACQUEEN_INSTANTIATE(double)

}  // namespace macqueen
