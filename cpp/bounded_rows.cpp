#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <utility>

#include "bounded_slot.hpp"
#include "grouping.hpp"
#include "huge_memory.hpp"
#include "rounding.hpp"

namespace macqueen {

namespace {

constexpr float kRoom = 2;          // largest stored bound, in units of the row's longest at first
constexpr double kFewOpened = 0.3;  // of the groups, that are looked at in less time than all by tiles

// The part of groups that heads may leave for looking at them first to pay. Bounds that heads give are not as tight, so
// that three of ten groups are looked at once more; the rest is what a look takes, in cycles.
double most_left(const SketchForm& form) {
  const auto heads = static_cast<double>(form.heads), tails = static_cast<double>(form.tails);
  return 0.7 - (20 + heads) / (30 + 1.3 * heads + tails / 3);
}

}  // namespace

template <class T>
BoundedRows<T>::~BoundedRows() = default;

// The first step: centers are put into groups by their places (k,), which stay. Unless it adds, it is the only one.
template <class T>
void BoundedRows<T>::begin(const Centers<T>& centers, std::vector<int32_t> places, bool adds) {
  const size_t k = centers.k(), d = form_.d;
  groups_ = (k + kGroup - 1) / kGroup;
  spans_ = (groups_ + share_ - 1) / share_;
  places_ = std::move(places);
  centers_at_.assign(groups_ * kGroup, -1);
  for (size_t c = 0; c < k; ++c) centers_at_[static_cast<size_t>(places_[c])] = static_cast<int32_t>(c);
  tiled_ = centers.kernels().look_at_all != nullptr && form_.heads == 0;
  way_ = tiled_ || !adds ? Way::kAll : Way::kStore;
  if (way_ == Way::kStore) make_bounds();
  if (adds) totals_ = std::make_unique<Totals>(k, d);
  paths_.assign(k, 0);
  span_paths_.assign(spans_, 0);
  screens_ = form_.screens();
  most_candidates_ = std::clamp(static_cast<int32_t>(k / 8), kFewCandidates, kMostCandidates);
  before_.assign(centers.values(), centers.values() + k * d);
  if (form_.follows()) {
    move_tails_.resize(k * form_.tiled_tails());
    move_heads_.resize(k * form_.heads);
    move_numbers_.resize(k);
    moves_ = {move_tails_.data(), move_heads_.data(), move_numbers_.data()};
  }
  panel_tails_.resize(groups_ * kGroup * form_.padded_tails() + kTailsAhead);
  const size_t lanes = groups_ * kGroup;
  if (tiled_) panel_tiles_.resize(lanes * form_.tiled_tails());
  panel_numbers_.resize(lanes * (form_.heads + 5));
  float* next = panel_numbers_.data();
  panels_.row_slack = form_.row_slack();
  panels_.tails = panel_tails_.data();
  panels_.tiles = tiled_ ? panel_tiles_.data() : nullptr;
  panels_.heads = next;
  next += lanes * form_.heads;
  for (float** array : {&panels_.start, &panels_.step, &panels_.tail, &panels_.error, &panels_.most}) {
    *array = next;
    next += lanes;
  }
}

// After the first step. Where there are tiles, bounds are kept once few rows move, unless that turns out not to pay.
template <class T>
void BoundedRows<T>::choose_way(Threads& threads, const Kernels& kernels) {
  if (way_ == Way::kStore) {
    way_ = Way::kLists;
    // Lists leave alone what no list touches. What a thread has found before is of other blocks, and only
    // `store_bounds` takes it away again, which a thread that had no block in the last step has not come by.
    for (auto& slot : slots_) std::fill(slot->found.begin(), slot->found.end(), kUntouched);
  }
  if (way_ == Way::kAll && moved_ < calm_) {
    make_bounds();
    forget_paths(threads, kernels);
    way_ = Way::kStore;
  }
}

template <class T>
BoundedStep BoundedRows<T>::label(Threads& threads, const Centers<T>& centers, std::vector<int32_t> places) {
  const PinFloatingPoint pin;
  begin(centers, std::move(places), false);
  sketch_centers(threads, centers);
  step_blocks(threads, centers, 0, blocks());
  BoundedStep sum;
  for (const auto& slot : slots_) sum.add(slot->done);
  return sum;
}

template <class T>
void BoundedRows<T>::begin_step(Threads& threads, const Centers<T>& centers) {
  const PinFloatingPoint pin;
  if (std::exchange(under_way_, true)) throw std::logic_error("a step was not finished; the rows cannot be used again");
  if (!totals_) {
    begin(centers, grouped_places(threads, centers.kernels(), centers.values(), centers.k(), form_.d), true);
  } else {
    move_centers(threads, centers);
    choose_way(threads, centers.kernels());
    if (static_cast<double>(longest_path_) > room_) forget_paths(threads, centers.kernels());
  }
  sketch_centers(threads, centers);
  for (auto& slot : slots_) slot->done = BoundedStep{};
}

template <class T>
void BoundedRows<T>::step_blocks(Threads& threads, const Centers<T>& centers, size_t begin, size_t end) {
  while (static_cast<int>(slots_.size()) < threads.count()) {
    slots_.push_back(std::make_unique<Slot>(form_, groups_, most_candidates_));
    if (totals_) slots_.back()->changes.resize(centers.k(), form_.d);
  }
  constexpr size_t kBlocksPerTask = 4;
  threads.run((end - begin + kBlocksPerTask - 1) / kBlocksPerTask, [&](int index, size_t task) {
    Slot& slot = *slots_[static_cast<size_t>(index)];
    const size_t first = begin + task * kBlocksPerTask, last = std::min(end, first + kBlocksPerTask);
    if (way_ == Way::kStore) {
      map_pages(bounds(first), (last - first) * kSketchRows * spans_ * sizeof(uint16_t));
    }
    if (labels_[first * kSketchRows] < 0) {
      const size_t rows = std::min(n_, last * kSketchRows) - first * kSketchRows;
      map_pages(sketches(first).tails, rows * form_.padded_tails());
      map_pages(sketches(first).heads, rows * form_.heads * sizeof(float));
    }
    for (size_t block = first; block < last; ++block) step(centers, block, slot);
  });
}

template <class T>
BoundedStep BoundedRows<T>::end_step(Threads& threads, Totals& totals) {
  const BoundedStep done = macqueen::end_step<T>(threads, slots_, *totals_, squares_, totals);
  if (room_ == 0) set_room();
  screens_ = screens_ && done.opened <= most_left(form_) * done.screened;
  if (tiled_ && way_ == Way::kLists && done.opened > kFewOpened * static_cast<double>(n_ * groups_)) {
    way_ = Way::kAll;
    calm_ /= 2;
  }
  moved_ = done.moved;
  under_way_ = false;
  return done;
}

// How far centers may go before half of the rows, by a sample of them, have no room left for it.
template <class T>
void BoundedRows<T>::set_room() {
  constexpr size_t kSampleRows = 1 << 13;
  std::vector<float> units;
  for (size_t row = 0; row < n_; row += n_ / kSampleRows + 1) units.push_back(units_[row]);
  const auto middle = units.begin() + static_cast<std::ptrdiff_t>(units.size() / 2);
  std::nth_element(units.begin(), middle, units.end());
  room_ = static_cast<double>(*middle) * 65535 * (1 - 1 / static_cast<double>(kRoom));
}

// The rows of a block that can have come nearer to another center than their own, by the bounds of the step before.
template <class T>
void BoundedRows<T>::open(const Centers<T>& centers, size_t first, size_t count, Slot& slot) {
  const bool begins = labels_[first] < 0;
  slot.opened.resize(kSketchRows);
  size_t open = 0;
  for (size_t i = 0; i < count; ++i) {  // without branches: nobody can foretell which rows are open
    const auto own = static_cast<size_t>(begins ? 0 : labels_[first + i]);
    slot.paths[i] = begins ? 0 : paths_[own];
    slot.own_places[i] = begins ? -1 : places_[own];
    const float upper = upper_[first + i] + slot.paths[i], least = least_[first + i] - longest_path_;
    slot.opened[open] = static_cast<uint8_t>(i);
    open += begins || !(upper * kFloatUp < least * kFloatDown) ? 1 : 0;
  }
  slot.opened.resize(open);
  if (open == 0 && way_ != Way::kStore) return;
  const SketchNumbers& numbers = numbers_[first / kSketchRows];
  const float slack = form_.row_slack();
  for (size_t i = 0; i < kSketchRows; ++i) {  // at most as real numbers
    slot.squares[i] = numbers.squares[i] * (1 - 0x1p-22f) - (numbers.squares[i] * slack + kLeastSlack);
  }
  std::fill_n(slot.counts.begin(), count, 0);
  if (!begins) measure(centers, first, count, slot);
}

// Looks at the groups that may hold a nearer center, by lists of rows for each.
template <class T>
void BoundedRows<T>::look(const Centers<T>& centers, size_t first, size_t count, Slot& slot) {
  const SketchRows own = sketches(first / kSketchRows);
  const SketchRows lanes{own.numbers, slot.lane_heads.data(), slot.lane_tails.data()};
  const SketchBlock work{own,
                         lanes,
                         slot.own_places.data(),
                         slot.limit.data(),
                         slot.found.data(),
                         most_candidates_,
                         slot.candidates.data(),
                         slot.counts.data(),
                         reinterpret_cast<const char*>(rows_ + first * form_.d),
                         form_.d * sizeof(T)};
  if (labels_[first] < 0) return look_first(centers.kernels(), work, first, count, slot);
  if (way_ != Way::kLists) {
    centers.kernels().interleave_sketches(form_, own, count, lanes);
    centers.kernels().look_at_all(form_, panels_, groups_, work);
    std::fill(slot.list_counts.begin(), slot.list_counts.end(), static_cast<int32_t>(count));
    std::fill(slot.least.begin(), slot.least.end(), kFar);
    slot.done.opened += static_cast<double>(count * groups_);
    return;
  }
  open_groups(centers.kernels(), first / kSketchRows, slot);
  look_at_lists(centers.kernels(), work, screens_, slot);
}

template <class T>
void BoundedRows<T>::look_at_lists(const Kernels& kernels, const SketchBlock& work, bool screens, Slot& slot) {
  SketchLooks looks{};
  kernels.look_at_groups(form_, panels_, groups_, screens, slot.lists.data(), slot.list_counts.data(), work, looks);
  slot.done.screened += static_cast<double>(looks.screened);
  slot.done.opened += static_cast<double>(looks.opened);
}

// The first step looks at all groups without knowing a limit, then again at those that turn out to be near. Where heads
// say which group is nearest, it gives the limit.
template <class T>
void BoundedRows<T>::look_first(const Kernels& kernels, const SketchBlock& work, size_t first, size_t count,
                                Slot& slot) {
  if (way_ == Way::kStore) {  // pages are written before they are read
    std::fill_n(bounds(first / kSketchRows), kSketchRows * spans_, uint16_t{0});
  }
  std::fill(slot.least.begin(), slot.least.end(), kFar);
  kernels.interleave_sketches(form_, work.sketches, count, work.lanes);
  kernels.sketch_lanes(form_, panels_, groups_, screens_, work.lanes, slot.found.data());
  (screens_ ? slot.done.screened : slot.done.opened) += static_cast<double>(count * groups_);
  if (screens_) {
    std::fill(slot.limit.begin(), slot.limit.end(), kFar);
    kernels.nearest_groups(panels_, work, count, groups_, slot.lists.data(), slot.list_counts.data());
    look_at_lists(kernels, work, false, slot);
  } else {
    kernels.limit_rows(panels_, work, groups_);
  }
  kernels.near_groups(work, count, groups_, slot.lists.data(), slot.list_counts.data());
  look_at_lists(kernels, work, false, slot);
  std::fill(slot.list_counts.begin(), slot.list_counts.end(), static_cast<int32_t>(count));
}

template <class T>
void BoundedRows<T>::step(const Centers<T>& centers, size_t block, Slot& slot) {
  const Kernels& kernels = centers.kernels();
  const size_t first = block * kSketchRows, count = std::min(kSketchRows, n_ - first);
  const bool begins = labels_[first] < 0;
  if (begins) sketch_rows(kernels, block, slot);
  open(centers, first, count, slot);
  if (slot.opened.empty() && way_ != Way::kStore) return;
  look(centers, first, count, slot);
  label_hard_rows(centers, first, slot);
  for (const uint8_t i : slot.opened) {
    if (begins || slot.counts[i] > 0) finish(centers, first + i, i, slot);
  }
  if (!totals_) return;
  if (begins) {
    slot.add_first(kernels, rows_ + first * form_.d, &labels_[first], count, *totals_, squares_, tops_[block]);
  }
  slot.changes.add(kernels, *totals_);
  if (begins) {
    kernels.longest_found(slot.found.data(), slot.squares.data(), groups_, slot.longest.data());
    for (size_t i = 0; i < kSketchRows; ++i) units_[first + i] = std::max(slot.longest[i], 0x1p-70f) * (kRoom / 65535);
  }
  if (way_ == Way::kAll) {
    kernels.least_found(slot.found.data(), slot.squares.data(), groups_, slot.least.data());
  } else {
    store_bounds(kernels, block, slot);
  }
  for (const uint8_t i : slot.opened) least_[first + i] = (slot.least[i] + longest_path_) * kFloatDown;
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
    if (slot.counts[i] <= most_candidates_) continue;
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
  if (slot.counts[place] > most_candidates_) {
    return slot.hard_labels[place];
  }
  const Candidate* list = &slot.candidates[place * static_cast<size_t>(most_candidates_)];
  if (labels_[row] >= 0) slot.names.push_back(labels_[row]);
  for (int32_t i = 0; i < slot.counts[place]; ++i) {
    const int32_t center = centers_at_[static_cast<size_t>(list[i].place)];
    const bool somebody =
        center >= 0 && center != labels_[row];  // a limit beyond all sketches leaves empty places, too
    if (somebody && list[i].bound <= slot.limit[place]) slot.names.push_back(center);
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
  if (!totals_) {
    labels_[row] = label;
    return;
  }
  const double squares = static_cast<double>(slot.squares[place]);
  const auto found = [&](size_t at) -> float& { return slot.found[at / kGroup * kSketchRows + place]; };
  const Candidate* list = &slot.candidates[place * static_cast<size_t>(most_candidates_)];
  for (int32_t i = 0; i < std::min(slot.counts[place], most_candidates_); ++i) {
    const auto at = static_cast<size_t>(list[i].place);
    if (centers_at_[at] != label) found(at) = std::min(found(at), list[i].bound);
  }
  if (label != before) {
    const auto distance = [&](int32_t center) {
      double exact;
      const auto& functions = row_kernels<T>(centers.kernels());
      functions.own_distances(rows_ + row * form_.d, &center, centers.values(), 1, form_.d, &exact);
      return std::sqrt(exact) * form_.scale;
    };
    double own;
    if (slot.names.size() == 1) {
      const double least = static_cast<double>(numbers_[row / kSketchRows].squares[place]);
      const double most = (squares + least * static_cast<double>(form_.row_slack())) * (1 + 0x1p-18) + 0x1p-79;
      own = std::sqrt(std::max(0.0, most + static_cast<double>(slot.limit[place]))) * kUp;
    } else {
      own = distance(label) * kUp + 0x1p-60;
    }
    const float path = paths_[static_cast<size_t>(label)];
    upper_[row] = rounded_up(own - static_cast<double>(path));
    doubts_[row] = slot.names.size() == 1 ? kFar : -path;
    if (before >= 0) {  // the bound of its span is for the old center, too, from now on
      const auto at = static_cast<size_t>(places_[static_cast<size_t>(before)]);
      // It is near the row, which will have to be looked at again: where nothing is kept of groups, that is enough.
      const double left = way_ == Way::kAll ? 0 : std::max(0.0, distance(before) * kDown - 0x1p-60);
      const double rest = left * left - std::abs(squares) * static_cast<double>(kFloatUp) - 0x1p-79;
      found(at) = std::min(found(at), rounded_down(rest));
      int32_t& listed = slot.list_counts[at / kGroup];
      listed = std::max(listed, 1);  // `store_bounds` leaves out groups that no row of the block has opened
    }
    if (before >= 0) slot.changes.note(rows_ + row * form_.d, before, label);
    labels_[row] = label;
  }
}

template class BoundedRows<float>;
template class BoundedRows<double>;

}  // namespace macqueen
