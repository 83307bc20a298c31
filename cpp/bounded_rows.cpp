#include "bounded_rows.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "grouping.hpp"
#include "rounding.hpp"

namespace macqueen {

namespace {

constexpr float kFar = 3e38f;
constexpr float kRoom = 2;                 // largest stored bound, in units of the row's longest at first
constexpr double kLargestScale = 0x1p126;  // a float32
constexpr double kUp = 1 + 0x1p-30, kDown = 1 - 0x1p-30;            // beside a sum of float64 squares
constexpr double kFloatUp = 1 + 0x1p-20, kFloatDown = 1 - 0x1p-20;  // beside a few roundings of float32

}  // namespace

// What one thread holds during a step.
template <class T>
struct BoundedRows<T>::Slot {
  // Of the rows of a block; `upper` is the distance to the own center, below everything where the row is not opened.
  std::vector<float> limit, upper, least, squares, slack, longest;
  std::vector<double> own;
  std::vector<float> found;  // (groups, rows)
  std::vector<Candidate> candidates;
  std::vector<int32_t> counts, list_counts, names;
  std::vector<uint8_t> lists, opened;
  AssignBuffers assigning;
  std::vector<T> hard_rows;
  std::vector<int32_t> hard_labels;  // (rows,), of those with too many candidates
  Changes<T> changes;
  BoundedStep done;

  explicit Slot(size_t groups) {
    for (auto* array : {&limit, &upper, &least, &squares, &slack, &longest}) array->resize(kSketchRows);
    found.assign(groups * kSketchRows, kUntouched);
    candidates.resize(kSketchRows * kMostCandidates);
    counts.resize(kSketchRows);
    list_counts.resize(groups);
    lists.resize(groups * kListStride);
  }
};

namespace {

// How far axes (a, d), rounded to float32, are from orthonormal: the largest row sum of |W'W - 1|.
double departure(const std::vector<double>& axes, size_t d) {
  double most = 0;
  const size_t count = axes.size() / d;
  for (size_t a = 0; a < count; ++a) {
    double sum = 0;
    for (size_t b = 0; b < count; ++b) {
      double dot = a == b ? -1 : 0;
      for (size_t j = 0; j < d; ++j) {
        dot += static_cast<double>(static_cast<float>(axes[a * d + j])) *
               static_cast<double>(static_cast<float>(axes[b * d + j]));
      }
      sum += std::abs(dot) + 0x1p-45;
    }
    most = std::max(most, sum);
  }
  return most;
}

}  // namespace

template <class T>
BoundedRows<T>::~BoundedRows() = default;

template <class T>
BoundedRows<T>::BoundedRows(Threads& threads, const Kernels& kernels, const T* rows, size_t n, size_t d,
                            const SketchPlan& plan)
    : rows_(rows), n_(n), form_{}, labels_(n, -1), squares_(d) {
  const PinFloatingPoint pin;
  const size_t used = plan.axes.size() / d;
  form_.d = d;
  form_.columns = (used + kernels.lanes - 1) / kernels.lanes * kernels.lanes;
  form_.heads = plan.heads;
  form_.tails = used == 0 ? d - plan.heads : d;
  const size_t padded = form_.padded();
  basis_.assign(form_.columns * padded, 0.0f);
  axes_.assign(used * padded, 0.0f);
  for (size_t c = 0; c < used; ++c) {
    for (size_t j = 0; j < d; ++j) {
      axes_[c * padded + j] = static_cast<float>(plan.axes[c * d + j]);
      basis_[(c / kernels.lanes * padded + j) * kernels.lanes + c % kernels.lanes] = axes_[c * padded + j];
    }
  }
  form_.basis = basis_.data();
  form_.axes = axes_.data();
  const double chain = (form_.heads == 0 ? 0.0 : 64 + static_cast<double>(form_.heads) / 64) + 12;
  // Each head is wrong by up to `product` of |X|, so all of them by sqrt(heads) times that; tails by a rounding a head.
  const double product = 80 + static_cast<double>(d) / 80 + 8, heads = static_cast<double>(used);
  const double basis = used == 0 ? 0.0 : 2 * (std::sqrt(heads) * (product + 1) + heads);
  form_.slack = 1.1 * 0x1p-24 * (3 * chain + basis) + (used == 0 ? 0.0 : 2 * departure(plan.axes, d));
  set_scale(threads, kernels, plan.origin);
  sketch_rows(threads, kernels);
}

// The power of two that brings the largest coordinate to about 1.
template <class T>
void BoundedRows<T>::set_scale(Threads& threads, const Kernels& kernels, const std::vector<double>& origin) {
  const auto& functions = row_kernels<T>(kernels);
  std::vector<double> tops(static_cast<size_t>(threads.count()), 0.0);
  const size_t d = form_.d, blocks = (n_ + kSketchRows - 1) / kSketchRows;
  threads.run(blocks, [&](int slot, size_t block) {
    const size_t first = block * kSketchRows, count = std::min(kSketchRows, n_ - first);
    const uint64_t bits = functions.largest(rows_ + first * d, count * d);
    double& top = tops[static_cast<size_t>(slot)];
    top = std::max(top, std::ldexp(1.0, top_exponent<T>(bits)));
  });
  double top = *std::max_element(tops.begin(), tops.end());
  for (const double o : origin) top = std::max(top, std::abs(o));
  form_.scale = top > 0 ? std::min(std::ldexp(1.0, -std::ilogb(2 * top)), kLargestScale) : 1.0;
  shift_.assign(form_.padded(), 0.0f);
  for (size_t j = 0; j < d; ++j) shift_[j] = static_cast<float>(origin[j] * form_.scale);
  form_.shift = shift_.data();
}

template <class T>
void BoundedRows<T>::sketch_rows(Threads& threads, const Kernels& kernels) {
  const auto& functions = row_kernels<T>(kernels);
  const size_t d = form_.d, blocks = (n_ + kSketchRows - 1) / kSketchRows;
  records_ = std::make_unique_for_overwrite<uint8_t[]>(n_ * form_.record());
  upper_.resize(n_);
  least_.resize(n_);
  units_.assign(blocks * kSketchRows, 1);
  std::vector<std::vector<float>> scratch(static_cast<size_t>(threads.count()));
  std::vector<GridBuffer> rows_grids(scratch.size()), grids(scratch.size());
  const std::vector<int32_t> labels(kSketchRows, 0);
  threads.run(blocks, [&](int index, size_t block) {
    const auto slot = static_cast<size_t>(index);
    const size_t first = block * kSketchRows, count = std::min(kSketchRows, n_ - first);
    const T* rows = rows_ + first * d;
    scratch[slot].resize(form_.scratch(kernels.tile));
    functions.sketch(rows, count, form_, scratch[slot].data(), &records_[first * form_.record()]);
    // The grid of squares follows that of rows, as in a pass.
    GridBuffer &rows_grid = rows_grids[slot], &grid = grids[slot];
    rows_grid.resize(d);
    grid.resize(d);
    const uint64_t largest = functions.largest(rows, count * d);
    rows_grid.prepare(next_exponent(functions, rows, count, d, largest, rows_grid), count, squares_);
    grid.prepare(std::max(2 * rows_grid.top(), kLowestTop), 2 * count, squares_);
    functions.add_squares(rows, labels.data(), count, d, grid.view());
  });
  for (GridBuffer& grid : grids) {
    if (!grid.ready()) continue;
    grid.reserve(squares_);
    grid.flush(0, d, squares_);
    squares_.note_adds(kLevels);
  }
}

// The first step: centers are put into groups by their places (k,), which stay.
template <class T>
void BoundedRows<T>::begin(const Centers<T>& centers, std::vector<int32_t> places) {
  const size_t k = centers.k(), d = form_.d;
  groups_ = (k + kGroup - 1) / kGroup;
  places_ = std::move(places);
  centers_at_.assign(groups_ * kGroup, -1);
  for (size_t c = 0; c < k; ++c) centers_at_[static_cast<size_t>(places_[c])] = static_cast<int32_t>(c);
  bounds_ = std::make_unique_for_overwrite<uint16_t[]>((n_ + kSketchRows - 1) / kSketchRows * kSketchRows * groups_);
  paths_.assign(k, 0);
  group_paths_.assign(groups_, 0);
  before_.assign(centers.values(), centers.values() + k * d);
  panel_tails_.resize(groups_ * kGroup * form_.padded_tails());
  const size_t lanes = groups_ * kGroup;
  panel_numbers_.resize(lanes * (form_.heads + 4) + groups_ * 3);
  float* next = panel_numbers_.data();
  panels_.tails = panel_tails_.data();
  panels_.heads = next;
  next += lanes * form_.heads;
  for (float** array : {&panels_.start, &panels_.step, &panels_.tail, &panels_.error, &panels_.most}) {
    *array = next;
    next += lanes;
  }
}

template <class T>
void BoundedRows<T>::move_centers(const Centers<T>& centers) {
  const size_t k = centers.k(), d = form_.d;
  std::vector<double> longest(groups_, 0);
  for (size_t c = 0; c < k; ++c) {
    double squares;
    const int32_t first = 0;
    row_kernels<T>(centers.kernels())
        .own_distances(centers.values() + c * d, &first, before_.data() + c * d, 1, d, &squares);
    const double moved = std::sqrt(squares) * form_.scale * kUp;
    paths_[c] = (paths_[c] + moved) * (moved > 0 ? kUp : 1.0);
    double& most = longest[static_cast<size_t>(places_[c]) / kGroup];
    most = std::max(most, moved);
  }
  double most = 0;
  for (size_t g = 0; g < groups_; ++g) {
    if (longest[g] > 0) group_paths_[g] = rounded_up((static_cast<double>(group_paths_[g]) + longest[g]) * kUp);
    most = std::max(most, longest[g]);
  }
  longest_path_ = (longest_path_ + most) * kUp;
  before_.assign(centers.values(), centers.values() + k * d);
}

template <class T>
void BoundedRows<T>::sketch_centers(const Centers<T>& centers) {
  std::vector<float> scratch(form_.scratch(centers.kernels().tile));
  row_kernels<T>(centers.kernels())
      .sketch_centers(centers.values(), places_.data(), centers.k(), groups_, form_, scratch.data(), panels_);
}

template <class T>
BoundedStep BoundedRows<T>::trial(Threads& threads, const Centers<T>& centers) {
  const PinFloatingPoint pin;
  std::vector<int32_t> places(centers.k());  // what a first step leaves does not depend on the groups
  std::iota(places.begin(), places.end(), 0);
  begin(centers, std::move(places));
  sketch_centers(centers);
  step_blocks(threads, centers, 0, blocks());
  return done();
}

template <class T>
void BoundedRows<T>::begin_step(Threads& threads, const Centers<T>& centers) {
  const PinFloatingPoint pin;
  if (!totals_) {
    begin(centers, grouped_places(centers.values(), centers.k(), form_.d, kGroup));
    totals_ = std::make_unique<Totals>(centers.k(), form_.d);
  } else {
    move_centers(centers);
    if (longest_path_ > room_) forget_paths(threads, centers.kernels());
  }
  sketch_centers(centers);
  for (auto& slot : slots_) slot->done = BoundedStep{};
}

template <class T>
void BoundedRows<T>::step_blocks(Threads& threads, const Centers<T>& centers, size_t begin, size_t end) {
  while (static_cast<int>(slots_.size()) < threads.count()) {
    slots_.push_back(std::make_unique<Slot>(groups_));
    if (totals_) slots_.back()->changes.resize(centers.k(), form_.d);
  }
  constexpr size_t kBlocksPerTask = 4;
  threads.run((end - begin + kBlocksPerTask - 1) / kBlocksPerTask, [&](int index, size_t task) {
    Slot& slot = *slots_[static_cast<size_t>(index)];
    const size_t first = begin + task * kBlocksPerTask;
    for (size_t block = first; block < std::min(end, first + kBlocksPerTask); ++block) step(centers, block, slot);
  });
}

template <class T>
BoundedStep BoundedRows<T>::done() const {
  BoundedStep sum;
  for (const auto& slot : slots_) {
    sum.candidates += slot->done.candidates;
    sum.hard += slot->done.hard;
    sum.opened += slot->done.opened;
    sum.read += slot->done.read;
  }
  return sum;
}

template <class T>
BoundedStep BoundedRows<T>::end_step(Threads& threads, Totals& totals) {
  BoundedStep sum = done();
  std::vector<Changes<T>*> changes;
  for (auto& slot : slots_) changes.push_back(&slot->changes);
  sum.moved = static_cast<double>(Changes<T>::flush(threads, changes, *totals_));
  if (room_ == 0) set_room();
  totals.merge(*totals_);
  totals.squares.merge(squares_);
  return sum;
}

// How far centers may go before half of the rows have no room left for it.
template <class T>
void BoundedRows<T>::set_room() {
  std::vector<float> units(units_.begin(), units_.begin() + static_cast<std::ptrdiff_t>(n_));
  const auto middle = units.begin() + static_cast<std::ptrdiff_t>(n_ / 2);
  std::nth_element(units.begin(), middle, units.end());
  room_ = static_cast<double>(*middle) * 65535 * (1 - 1 / static_cast<double>(kRoom));
}

// The rows of a block that can have come nearer to another center than their own.
template <class T>
void BoundedRows<T>::open(const Centers<T>& centers, size_t first, size_t count, Slot& slot) {
  slot.opened.clear();
  for (size_t i = 0; i < count; ++i) {
    const size_t row = first + i;
    if (labels_[row] >= 0) {
      const double upper = static_cast<double>(upper_[row]) + paths_[static_cast<size_t>(labels_[row])];
      if (upper * kUp < static_cast<double>(least_[row]) - longest_path_ * kUp) continue;
    }
    slot.opened.push_back(static_cast<uint8_t>(i));
  }
  if (slot.opened.empty()) return;
  for (size_t i = 0; i < count; ++i) {
    const RecordStart start = start_of(first + i);
    slot.squares[i] = rounded_down(static_cast<double>(start.squares) - static_cast<double>(start.slack));
    slot.slack[i] = start.slack;
    slot.counts[i] = 0;
  }
  if (labels_[first] < 0) return;
  slot.own.resize(slot.opened.size());
  slot.done.read += static_cast<double>(slot.opened.size());
  row_kernels<T>(centers.kernels())
      .own_bounds(rows_ + first * form_.d, slot.opened.data(), slot.opened.size(), &labels_[first], centers.values(),
                  form_.d, slot.own.data());
  std::fill(slot.upper.begin(), slot.upper.end(), -kFar);
  size_t kept = 0;
  for (size_t o = 0; o < slot.opened.size(); ++o) {
    const uint8_t i = slot.opened[o];
    const size_t row = first + i;
    const double own = slot.own[o] * form_.scale + 0x1p-60;
    upper_[row] = rounded_up(own - paths_[static_cast<size_t>(labels_[row])]);
    if (own < static_cast<double>(least_[row]) - longest_path_ * kUp) continue;
    slot.upper[i] = rounded_up(own);
    slot.limit[i] = rounded_up(own * own * kFloatUp - static_cast<double>(slot.squares[i]) * kFloatDown + 0x1p-88);
    slot.opened[kept++] = i;
  }
  slot.opened.resize(kept);
}

// Looks at the groups that may hold a nearer center, by lists of rows for each.
template <class T>
void BoundedRows<T>::look(const Centers<T>& centers, size_t first, size_t count, Slot& slot) {
  const Kernels& kernels = centers.kernels();
  const SketchBlock work{&records_[first * form_.record()], slot.limit.data(), slot.found.data(),
                         slot.candidates.data(), slot.counts.data()};
  const auto look_at_lists = [&] {
    for (size_t g = 0; g < groups_; ++g) {
      if (slot.list_counts[g] == 0) continue;
      slot.done.opened += slot.list_counts[g];
      kernels.sketch_group(form_, panels_, g, &slot.lists[g * kListStride], static_cast<size_t>(slot.list_counts[g]),
                           work);
    }
  };
  if (labels_[first] >= 0) {
    kernels.open_groups(&bounds_[first * groups_], &units_[first], slot.upper.data(), group_paths_.data(), groups_,
                        slot.least.data(), slot.lists.data(), slot.list_counts.data());
    look_at_lists();
    return;
  }
  std::fill_n(&bounds_[first * groups_], kSketchRows * groups_, uint16_t{0});  // pages are written before they are read
  // The first step looks at all groups without knowing a limit, then again at those that turn out to be near.
  std::fill(slot.least.begin(), slot.least.end(), kFar);
  std::fill(slot.limit.begin(), slot.limit.end(), -kFar);
  std::fill(slot.list_counts.begin(), slot.list_counts.end(), static_cast<int32_t>(count));
  for (size_t g = 0; g < groups_; ++g) std::copy(slot.opened.begin(), slot.opened.end(), &slot.lists[g * kListStride]);
  look_at_lists();
  kernels.narrow_groups(form_, panels_, work, count, groups_, slot.lists.data(), slot.list_counts.data());
  look_at_lists();
  std::fill(slot.list_counts.begin(), slot.list_counts.end(), static_cast<int32_t>(count));
}

template <class T>
void BoundedRows<T>::step(const Centers<T>& centers, size_t block, Slot& slot) {
  const Kernels& kernels = centers.kernels();
  const size_t first = block * kSketchRows, count = std::min(kSketchRows, n_ - first);
  const bool begins = labels_[first] < 0;
  open(centers, first, count, slot);
  if (slot.opened.empty()) return;
  look(centers, first, count, slot);
  label_hard_rows(centers, first, slot);
  for (const uint8_t i : slot.opened) finish(centers, first + i, i, slot);
  if (totals_ && begins) slot.changes.add_rows(kernels, rows_ + first * form_.d, &labels_[first], count, *totals_);
  if (totals_) slot.changes.add(kernels, *totals_);
  if (begins) {
    kernels.longest_found(slot.found.data(), slot.squares.data(), groups_, slot.longest.data());
    for (size_t i = 0; i < kSketchRows; ++i) units_[first + i] = std::max(slot.longest[i], 0x1p-70f) * (kRoom / 65535);
  }
  kernels.store_groups(slot.found.data(), slot.squares.data(), &units_[first], group_paths_.data(), groups_,
                       slot.list_counts.data(), slot.least.data(), &bounds_[first * groups_]);
  for (const uint8_t i : slot.opened) {
    least_[first + i] = rounded_down((static_cast<double>(slot.least[i]) + longest_path_) * kDown);
  }
}

// Rows with too many candidates are labelled as in a plain pass.
template <class T>
void BoundedRows<T>::label_hard_rows(const Centers<T>& centers, size_t first, Slot& slot) {
  const Kernels& kernels = centers.kernels();
  const size_t d = form_.d;
  std::vector<uint8_t> hard;
  const auto label = [&] {
    slot.assigning.resize(kernels, centers.k(), d);
    slot.hard_labels.resize(2 * kSketchRows);
    int32_t* labels = slot.hard_labels.data() + kSketchRows;
    row_kernels<T>(kernels).assign(slot.hard_rows.data(), hard.size(), centers.values(), centers.screen(),
                                   slot.assigning.scratch(), labels);
    for (size_t h = 0; h < hard.size(); ++h) slot.hard_labels[hard[h]] = labels[h];
    slot.done.hard += static_cast<double>(hard.size());
    slot.hard_rows.clear();
    hard.clear();
  };
  for (const uint8_t i : slot.opened) {
    if (slot.counts[i] <= static_cast<int32_t>(kMostCandidates)) continue;
    hard.push_back(i);
    slot.hard_rows.insert(slot.hard_rows.end(), rows_ + (first + i) * d, rows_ + (first + i + 1) * d);
    if (hard.size() == kernels.block) label();
  }
  if (!hard.empty()) label();
}

// Decides among the candidates of a row; `names` are then those that were left.
template <class T>
int32_t BoundedRows<T>::nearest(const Centers<T>& centers, size_t row, size_t place, Slot& slot) {
  const auto& functions = row_kernels<T>(centers.kernels());
  const T* x = rows_ + row * form_.d;
  slot.names.clear();
  if (slot.counts[place] > static_cast<int32_t>(kMostCandidates)) {
    return slot.hard_labels[place];
  }
  const Candidate* list = &slot.candidates[place * kMostCandidates];
  if (labels_[row] >= 0) slot.names.push_back(labels_[row]);
  for (int32_t i = 0; i < slot.counts[place]; ++i) {
    const int32_t center = centers_at_[static_cast<size_t>(list[i].place)];
    if (list[i].bound <= slot.limit[place] && center != labels_[row]) slot.names.push_back(center);
  }
  if (slot.names.size() == 1) return slot.names[0];
  slot.done.candidates += static_cast<double>(slot.names.size());
  std::sort(slot.names.begin(), slot.names.end());
  return functions.decide(x, centers.values(), form_.d, slot.names.data(), slot.names.size());
}

// Label and bounds of a row whose groups have been looked at.
template <class T>
void BoundedRows<T>::finish(const Centers<T>& centers, size_t row, size_t place, Slot& slot) {
  const int32_t before = labels_[row], label = nearest(centers, row, place, slot);
  const double squares = static_cast<double>(slot.squares[place]);
  const auto found = [&](size_t at) -> float& { return slot.found[at / kGroup * kSketchRows + place]; };
  const Candidate* list = &slot.candidates[place * kMostCandidates];
  for (int32_t i = 0; i < std::min<int32_t>(slot.counts[place], kMostCandidates); ++i) {
    const auto at = static_cast<size_t>(list[i].place);
    if (centers_at_[at] != label) found(at) = std::min(found(at), list[i].bound);
  }
  if (label != before) {
    double own;
    if (slot.names.size() == 1) {
      const double most = (squares + static_cast<double>(slot.slack[place])) * (1 + 0x1p-18) + 0x1p-79;
      own = std::sqrt(std::max(0.0, most + static_cast<double>(slot.limit[place]))) * kUp;
    } else {
      double exact;
      row_kernels<T>(centers.kernels())
          .own_distances(rows_ + row * form_.d, &label, centers.values(), 1, form_.d, &exact);
      own = std::sqrt(exact) * form_.scale * kUp + 0x1p-60;
    }
    upper_[row] = rounded_up(own - paths_[static_cast<size_t>(label)]);
    if (before >= 0) {  // its group's bound must hold for the old center, too; unopened, that bound is above `own`
      const auto at = static_cast<size_t>(places_[static_cast<size_t>(before)]);
      float& old = found(at);
      const double left = static_cast<double>(slot.upper[place]) / kFloatUp;
      old = std::min(old, rounded_down(left * left - std::abs(squares) * kFloatUp - 0x1p-79));
      int32_t& listed = slot.list_counts[at / kGroup];
      listed = std::max(listed, 1);  // `store_groups` leaves out groups that no row of the block has opened
    }
    if (before >= 0) slot.changes.note(rows_ + row * form_.d, before, label);
    labels_[row] = label;
  }
}

// Paths grow without end, and the stored bounds must have room for them: now and then all are counted from 0 again.
template <class T>
void BoundedRows<T>::forget_paths(Threads& threads, const Kernels& kernels) {
  threads.run(units_.size() / kSketchRows, [&](int, size_t block) {
    const size_t first = block * kSketchRows, count = std::min(kSketchRows, n_ - first);
    kernels.take_off_paths(&bounds_[first * groups_], &units_[first], group_paths_.data(), groups_);
    for (size_t row = first; row < first + count; ++row) {
      least_[row] = rounded_down((static_cast<double>(least_[row]) - longest_path_ * kUp));
      upper_[row] = rounded_up((static_cast<double>(upper_[row]) + paths_[static_cast<size_t>(labels_[row])]) * kUp);
    }
  });
  std::fill(group_paths_.begin(), group_paths_.end(), 0.0f);
  std::fill(paths_.begin(), paths_.end(), 0.0);
  longest_path_ = 0;
}

template class BoundedRows<float>;
template class BoundedRows<double>;

}  // namespace macqueen
