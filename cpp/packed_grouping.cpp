// PackedRows: when rows are sorted by their centers, and how.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "bits.hpp"
#include "packed_slot.hpp"

namespace macqueen {

namespace {

constexpr size_t kLeastWork = 416;     // centers times (pairs of columns + 4): less is not worth sorting
constexpr size_t kMostCenters = 512;   // of more, sections have few rows of each
constexpr size_t kRowsOfCenter = 128;  // that many blocks have one center, not several
constexpr size_t kRings = 8;           // of distances from a center, by which its rows are sorted
constexpr size_t kSampleRows = 128, kSampleShare = 64;  // at most so many, and of few rows at most one in so many
constexpr size_t kFewRows = 12;                         // of them may tell that it is of no use
constexpr double kSpread = 1.25;       // of the squares of these, from a row to the farthest of its block
constexpr double kCalm = 0.02;         // of the rows that move: they stay sorted for a while, however many are near;
constexpr size_t kCalmCenters = 256;   // of more it takes too long to find all gaps
constexpr double kWork = 0.85;         // of comparing all: more is not worth it,
constexpr double kSortedWork = 0.6;    // with what becomes of it until rows are sorted again
constexpr double kPriceOfMover = 0.4;  // in these: its block meets centers that no other row of it needs
constexpr float kMostRatio = 0x1p40f;  // of the grids: gaps remain numbers

}  // namespace

// Sorted rows must not take more memory than the path `bounds` would.
template <class T>
bool PackedRows<T>::can_group() const {
  const size_t k = panels_.k, d = form_.d, padded = (k + kPackedLanes - 1) / kPackedLanes * kPackedLanes;
  const size_t memory = 16 * (4 * form_.pairs + 15) + padded;
  return copied_ == blocks() && k * (form_.pairs + 4) >= kLeastWork && k <= kMostCenters && n_ >= kRowsOfCenter * k &&
         memory <= (16 * (d + 48) + 3 * k) * sizeof(T) / sizeof(float);
}

// What sorting takes, in steps over all rows.
template <class T>
double PackedRows<T>::work_of_sorting() const {
  constexpr double kRow = 860, kPair = 54;  // in products of a pair of columns
  const auto pairs = static_cast<double>(form_.pairs);
  return (kRow + kPair * pairs) / (static_cast<double>(k()) * (pairs + 4));
}

template <class T>
size_t PackedRows<T>::row_of(size_t position) const {
  if (!groups_ || !groups_->ordered) return position;
  return position / (section_ * kPackedRows) * (section_ * kPackedRows) + groups_->order[position];
}

template <class T>
std::vector<int32_t> PackedRows<T>::labels() const {
  std::vector<int32_t> labels(n_);
  for (size_t position = 0; position < n_; ++position) labels[row_of(position)] = labels_[position];
  return labels;
}

// What steps over sorted rows take of those that compare all, by a sample of rows: a center is near where it is less
// than twice as far from a row's own one as the row. Of every row that moves the price is to be paid in each step until
// rows are sorted again, at best when that has cost as much as sorting.
template <class T>
double PackedRows<T>::work_of_sorted(const Centers<T>& centers) const {
  const RowKernels<T>& kernels = row_kernels<T>(centers.kernels());
  const size_t d = form_.d, most = std::min(kSampleRows, n_ / kSampleShare), every = n_ / most;
  Lines<double> wide((k() + centers.kernels().lanes) * d), wide_row(d);
  kernels.widen_centers(centers.values(), k(), d, wide.data());
  std::vector<T> pair(2 * d), of_pair(2 * k());  // a row and its center; their squared distances to all centers
  double near = 0, moved = 0, share = 0;
  for (size_t i = 0; i < most && (i < kFewRows || share < kSortedWork); ++i) {  // more will hardly tell otherwise
    const auto label = static_cast<size_t>(labels_[i * every]);
    std::copy_n(rows_ + row_of(i * every) * d, d, pair.data());
    std::copy_n(centers.values() + label * d, d, &pair[d]);
    kernels.distances(pair.data(), wide.data(), 2, k(), d, 1, wide_row.data(), of_pair.data());
    const auto of_center = of_pair.begin() + static_cast<std::ptrdiff_t>(k());
    const T own = of_pair[label];
    near += static_cast<double>(
        std::count_if(of_center, of_pair.end(), [&](T square) { return square < 4 * kSpread * own; }));
    moved += *std::min_element(of_pair.begin(), of_center) < own ? 1 : 0;
    share = near / static_cast<double>((i + 1) * k());
  }
  const double runs = 1 + static_cast<double>(k()) / static_cast<double>(section_);  // of one center, in a block
  const double steps = std::sqrt(2 * kPriceOfMover * moved / static_cast<double>(most) * work_of_sorting());
  return (work_of_few(share * static_cast<double>(k()), k(), form_.pairs) +
          (runs - 1) * work_of_few(0, k(), form_.pairs)) /
             static_cast<double>(k()) +
         steps;
}

// Rows are sorted when few of them move or few centers are near them.
template <class T>
bool PackedRows<T>::worth_sorting(const Centers<T>& centers) const {
  if (labels_[0] < 0 || moved_ > most_moved_) return false;
  const bool calm = k() <= kCalmCenters && moved_ <= kCalm * static_cast<double>(n_);
  return calm || work_of_sorted(centers) < kSortedWork;
}

// They are sorted again when steps have taken as much more than the quickest one since as sorting does. Where blocks
// still need most centers, rows wait until half as many move.
template <class T>
typename PackedRows<T>::Way PackedRows<T>::way_after_few() {
  if (std::exchange(groups_->fresh, false)) return Way::kFew;
  double work = 0;  // of the step before, in steps over all rows
  for (const auto& slot : slots_) work += slot->done.opened / static_cast<double>(n_ * k());
  groups_->least = std::min(groups_->least, work);
  groups_->debt += work - groups_->least;
  if (work <= kWork) return groups_->debt > work_of_sorting() ? Way::kGroup : Way::kFew;
  most_moved_ = moved_ / 2;
  return Way::kAll;
}

template <class T>
void PackedRows<T>::choose_way(const Centers<T>& centers) {
  if (!can_group() || any_far_ || !(panels_.ratio < kMostRatio)) {
    way_ = Way::kAll;
    return;
  }
  if (way_ == Way::kGroup) {
    way_ = Way::kFew;
  } else if (way_ == Way::kFew) {
    way_ = way_after_few();
  } else if (worth_sorting(centers)) {
    way_ = Way::kGroup;
  }
  if (way_ == Way::kAll) return;
  if (!groups_) groups_ = std::make_unique<Groups>(blocks(), k(), form_.d);
  if (way_ == Way::kGroup) groups_->begin();
  move_centers(centers);
}

// Compares blocks of one section with all centers, and sorts their rows.
template <class T>
void PackedRows<T>::group(const Centers<T>& centers, size_t begin, size_t end, Slot& slot) {
  slot.section.values.resize((end - begin) * kPackedRows);
  slot.begin_groups(k());
  for (size_t block = begin; block < end; ++block) {
    compare(centers, block, slot, &slot.section.values[(block - begin) * kPackedRows]);
  }
  const double hard = slot.done.hard;
  settle(centers, slot);
  slot.done.hard = hard;  // most of such rows will be decided among few centers from now on
  slot.changes.add(centers.kernels(), *totals_);
  const size_t first = begin * kPackedRows, count = std::min(n_, end * kPackedRows) - first;
  order_rows(first, count, slot.section);
  sort_rows(first, count, slot.section);
  for (size_t block = begin; block < end; ++block) form_group(centers.kernels(), block, slot);
}

// Orders `count` rows of a section from a position on by their centers, and those of one by how far they are from it.
template <class T>
void PackedRows<T>::order_rows(size_t first, size_t count, Section& section) const {
  const size_t k = panels_.k;
  const int32_t* const labels = &labels_[first];
  section.squares.resize(count);
  section.rings.assign(k, 0);
  section.ends.assign(k * kRings + 1, 0);
  section.from.resize(count);
  for (size_t i = 0; i < count; ++i) {
    const size_t lane = (first + i) % kPackedLanes;
    const float length = numbers_[(first + i - lane) * 2 + kPackedLanes + lane];
    section.squares[i] = std::max(0.0f, length * length + 2 * panels_.ratio * static_cast<float>(section.values[i]));
    section.rings[static_cast<size_t>(labels[i])] += static_cast<double>(section.squares[i]);
    ++section.ends[static_cast<size_t>(labels[i])];
  }
  for (size_t c = 0; c < k; ++c) {
    const double mean = section.rings[c] / section.ends[c];
    section.rings[c] = mean > 0 ? kRings / 2 / mean : 0;
  }
  std::fill_n(section.ends.begin(), k, 0);
  const auto key = [&](size_t i) {
    const auto label = static_cast<size_t>(labels[i]);
    const double ring = static_cast<double>(section.squares[i]) * section.rings[label];
    return label * kRings + static_cast<size_t>(std::min(ring, kRings - 1.0));
  };
  for (size_t i = 0; i < count; ++i) ++section.ends[key(i) + 1];
  std::partial_sum(section.ends.begin(), section.ends.end(), section.ends.begin());
  for (size_t i = 0; i < count; ++i) section.from[section.ends[key(i)]++] = static_cast<uint32_t>(i);
}

// Brings these rows into their order.
template <class T>
void PackedRows<T>::sort_rows(size_t first, size_t count, Section& section) {
  const size_t pairs = form_.pairs, block = first / kPackedRows;
  const size_t values = (count + kPackedRows - 1) / kPackedRows * kPackedRows;
  section.rows.assign(packed(block), packed(block) + values * pairs * 2);
  section.numbers.assign(&numbers_[first * 2], &numbers_[first * 2] + values * 2);
  section.labels.assign(&labels_[first], &labels_[first] + count);
  uint16_t* const order = &groups_->order[first];
  if (!groups_->ordered) std::iota(order, order + count, static_cast<uint16_t>(first % (section_ * kPackedRows)));
  section.order.assign(order, order + count);
  for (size_t i = 0; i < count; ++i) {
    const size_t lane = i % kPackedLanes, from = section.from[i], from_lane = from % kPackedLanes;
    int16_t* const to = packed(block) + ((i - lane) * pairs + lane) * 2;
    const int16_t* const row = &section.rows[((from - from_lane) * pairs + from_lane) * 2];
    for (size_t p = 0; p < pairs; ++p) memcpy(to + p * kPackedLanes * 2, row + p * kPackedLanes * 2, 4);
    float* const numbers = &numbers_[(first + i - lane) * 2 + lane];
    const float* const number = &section.numbers[(from - from_lane) * 2 + from_lane];
    numbers[0] = number[0];
    numbers[kPackedLanes] = number[kPackedLanes];
    labels_[first + i] = section.labels[from];
    order[i] = section.order[from];
  }
}

// A block that was sorted: how far its rows are from their center, and no gap yet.
template <class T>
void PackedRows<T>::form_group(const Kernels& kernels, size_t block, Slot& slot) {
  Groups& groups = *groups_;
  const size_t first = block * kPackedRows, count = rows_of(block), padded = groups.padded;
  const int32_t owner = labels_[first + count / 2];
  uint64_t others = 0, unfit = 0;
  for (size_t i = 0; i < count; ++i) {
    const size_t lane = i % kPackedLanes;
    others |= uint64_t{labels_[first + i] != owner ? 1u : 0u} << i;
    unfit |= uint64_t{std::isfinite(numbers_[(first + i - lane) * 2 + lane]) ? 0u : 1u} << i;
  }
  groups.owners[block] = owner;
  groups.strays[block] = others & ~unfit;
  groups.unfit[block] = unfit;
  groups.movers[block] = 0;
  PackedFound found;
  kernels.packed_few(form_, panels_, &owner, 1, packed(block), &numbers_[first * 2],
                     first_bits(count) & ~(others | unfit), slot.gaps.data(), &groups.radius[block], found);
  float* const gaps = &groups.gaps[block * padded];
  std::fill_n(gaps, padded, kUnknownGap);
}

template std::vector<int32_t> PackedRows<float>::labels() const;
template size_t PackedRows<float>::row_of(size_t) const;
template void PackedRows<float>::choose_way(const Centers<float>&);
template void PackedRows<float>::group(const Centers<float>&, size_t, size_t, Slot&);
template std::vector<int32_t> PackedRows<double>::labels() const;
template size_t PackedRows<double>::row_of(size_t) const;
template void PackedRows<double>::choose_way(const Centers<double>&);
template void PackedRows<double>::group(const Centers<double>&, size_t, size_t, Slot&);

}  // namespace macqueen
