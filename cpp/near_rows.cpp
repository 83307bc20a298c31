#include "near_rows.hpp"

#include <string.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <new>

#include "exponents.hpp"
#include "fetch.hpp"
#include "rounding.hpp"
#include "update.hpp"

namespace macqueen {

namespace {

constexpr double kSlack = 0x1p-20;     // of float32 sums in the screen (cpp/near.hpp)
constexpr double kDistance = 0x1p-36;  // of two float64 distances of up to kMostNearDims columns
constexpr size_t kCacheLine = 64;      // and of panels a divisor
constexpr float kNever = 1e30f;        // base of a row that is not there

}  // namespace

// What one thread holds.
template <class T>
struct NearRows<T>::Slot {
  std::vector<double> v;
  std::vector<int8_t> codes;
  std::vector<NearPair> pairs;
  std::vector<exact::uint128> saved;  // (count,) what each candidate takes off the total
  size_t computed = 0;                // distances

  explicit Slot(size_t d) : v(d + 8), codes(d + 8), pairs(kNearRows * kMostNear) {}
};

template <class T>
NearRows<T>::~NearRows() = default;

template <class T>
NearRows<T>::NearRows(Threads& threads, const Kernels& kernels, const T* rows, size_t n, size_t d, const double* origin,
                      const double* counts, double* nearest)
    : kernels_(kernels), rows_(rows), n_(n), counts_(counts), nearest_(nearest), origin_(origin, origin + d), form_{} {
  form_.d = d;
  form_.origin = origin_.data();
  slots_.push_back(std::make_unique<Slot>(d));
  set_scale(threads);
  const size_t bytes = (n + kNearLanes - 1) / kNearLanes * form_.panel();
  panels_.reset(static_cast<uint8_t*>(std::aligned_alloc(kCacheLine, bytes)));
  if (!panels_) throw std::bad_alloc();
  squares_.resize(n);
  errors_.resize(n);
  weights_.resize(blocks());
  largest_.resize(blocks());
}

template <class T>
template <class Use>
void NearRows<T>::for_blocks(Threads& threads, size_t begin, size_t end, const Use& use) {
  constexpr size_t kBlocksPerTask = 4;
  while (static_cast<int>(slots_.size()) < threads.count()) {
    slots_.push_back(std::make_unique<Slot>(form_.d));
    slots_.back()->saved.assign(count(), 0);
  }
  threads.run((end - begin + kBlocksPerTask - 1) / kBlocksPerTask, [&](int index, size_t task) {
    const size_t first = begin + task * kBlocksPerTask;
    for (size_t block = first; block < std::min(end, first + kBlocksPerTask); ++block) {
      use(block, *slots_[static_cast<size_t>(index)]);
    }
  });
}

// The power of two that brings the largest coordinate to about 1.
template <class T>
void NearRows<T>::set_scale(Threads& threads) {
  const auto& functions = row_kernels<T>(kernels_);
  const size_t d = form_.d;
  std::vector<double> tops(static_cast<size_t>(threads.count()), 0.0);
  threads.run(blocks(), [&](int slot, size_t block) {
    const uint64_t bits = functions.largest(rows_ + block * kNearRows * d, count_of(block) * d);
    double& top = tops[static_cast<size_t>(slot)];
    top = std::max(top, std::ldexp(1.0, top_exponent<T>(bits)));
  });
  double top = *std::max_element(tops.begin(), tops.end());
  for (const double o : origin_) top = std::max(top, std::abs(o));
  form_.scale = top > 0 ? std::ldexp(1.0, std::min(1000, -std::ilogb(2 * top))) : 1.0;
}

template <class T>
void NearRows<T>::prepare(Threads& threads, size_t begin, size_t end) {
  for_blocks(threads, begin, end, [&](size_t block, Slot& slot) { prepare_block(block, slot); });
}

template <class T>
void NearRows<T>::prepare_block(size_t block, Slot& slot) {
  const size_t first = block * kNearRows, end = first + count_of(block);
  const size_t padded_end = (end + kNearLanes - 1) / kNearLanes * kNearLanes;
  for (size_t row = first; row < padded_end; ++row) {
    const size_t lane = row % kNearLanes;
    uint8_t* panel = panel_of(row);
    float* numbers = reinterpret_cast<float*>(panel);
    if (row >= end) {
      numbers[lane] = numbers[2 * kNearLanes + lane] = 0;
      numbers[kNearLanes + lane] = kNever;
      continue;
    }
    NearCode code;
    row_kernels<T>(kernels_).near_code(rows_ + row * form_.d, form_, slot.v.data(), slot.codes.data(), &code);
    squares_[row] = rounded_down(code.squares * (1 - 0x1p-40));
    errors_[row] = rounded_up(code.error);
    numbers[lane] = static_cast<float>(code.step);
    uint8_t* codes = panel + 3 * sizeof(float) * kNearLanes;
    for (size_t j = 0; j < form_.padded(); ++j) {
      const int value = j < form_.d ? slot.codes[j] : 0;
      codes[(j / 4 * kNearLanes + lane) * 4 + j % 4] = static_cast<uint8_t>(value + 128);
    }
    set_reach(row);
  }
  largest_[block] = largest_weight(block);
}

// Base and reach of a row, after its nearest distance has changed.
template <class T>
void NearRows<T>::set_reach(size_t row) {
  const double underflow = static_cast<double>(form_.d) * 0x1p-1074;
  const double distance = std::sqrt(nearest_[row] + underflow) * form_.scale * (1 + kDistance);
  const float reach = rounded_up((distance + static_cast<double>(errors_[row])) * (1 + 0x1p-40));
  float* numbers = reinterpret_cast<float*>(panel_of(row));
  const double reached = static_cast<double>(reach) * static_cast<double>(reach);
  const double base = static_cast<double>(squares_[row]) * (1 - kSlack) - reached * (1 + kSlack);
  numbers[kNearLanes + row % kNearLanes] = rounded_down(base);
  numbers[2 * kNearLanes + row % kNearLanes] = reach;
}

template <class T>
void NearRows<T>::weigh_block(size_t block) {
  const size_t first = block * kNearRows, end = first + count_of(block);
  exact::uint128 sum = 0;
  for (size_t row = first; row < end; ++row) sum += grid_weight(weight(row, nearest_[row]), top_);
  weights_[block] = sum;
}

template <class T>
double NearRows<T>::largest_weight(size_t block) const {
  const size_t first = block * kNearRows, end = first + count_of(block);
  double most = 0;
  for (size_t row = first; row < end; ++row) most = std::max(most, weight(row, nearest_[row]));
  return most;
}

// What a row takes off the total when it comes that near.
template <class T>
uint64_t NearRows<T>::saved_weight(size_t row, double squared) const {
  return grid_weight(weight(row, nearest_[row]), top_) - grid_weight(weight(row, squared), top_);
}

template <class T>
exact::uint128 NearRows<T>::total(Threads& threads) {
  const PinFloatingPoint pin;
  int top;
  std::frexp(*std::max_element(largest_.begin(), largest_.end()), &top);
  if (top != top_) {
    top_ = top;
    for_blocks(threads, 0, blocks(), [&](size_t block, Slot&) { weigh_block(block); });
  }
  exact::uint128 sum = 0;
  for (const exact::uint128 weight : weights_) sum += weight;
  return sum;
}

template <class T>
size_t NearRows<T>::pick(exact::uint128 target) const {
  const PinFloatingPoint pin;
  size_t block = 0;
  for (; block < blocks() && weights_[block] <= target; ++block) target -= weights_[block];
  if (block == blocks()) return n_;
  const size_t end = block * kNearRows + count_of(block);
  for (size_t row = block * kNearRows; row < end; ++row) {
    const uint64_t own = grid_weight(weight(row, nearest_[row]), top_);
    if (own > target) return row;
    target -= own;
  }
  return n_;
}

template <class T>
void NearRows<T>::begin_step(const int64_t* candidates, size_t count) {
  const PinFloatingPoint pin;
  const size_t d = form_.d, padded = form_.padded();
  candidates_.resize(count * d);
  codes_.assign(count * padded, 0);
  pairs_.resize(count * padded / 2);
  groups_.assign((count + kMostNear - 1) / kMostNear, NearCandidates{});
  near_.resize(groups_.size() * n_);
  for (auto& slot : slots_) slot->saved.assign(count, 0);
  Slot& slot = *slots_[0];
  for (size_t c = 0; c < count; ++c) {
    const T* row = rows_ + static_cast<size_t>(candidates[c]) * d;
    memcpy(&candidates_[c * d], row, d * sizeof(T));
    NearCode code;
    row_kernels<T>(kernels_).near_code(row, form_, slot.v.data(), slot.codes.data(), &code);
    int8_t* codes = &codes_[c * padded];
    memcpy(codes, slot.codes.data(), d);
    int32_t sum = 0;
    for (size_t j = 0; j < d; ++j) sum += codes[j];
    for (size_t j = 0; j < padded; j += 4) {
      const auto pair = [&](size_t at) {
        return static_cast<int32_t>(static_cast<uint16_t>(codes[at]) | static_cast<uint32_t>(codes[at + 2]) << 16);
      };
      pairs_[(c * padded + j) / 2] = pair(j);
      pairs_[(c * padded + j) / 2 + 1] = pair(j + 1);
    }
    NearCandidates& group = groups_[c / kMostNear];
    const size_t at = group.count++;
    group.offset[at] = -128 * sum;
    group.factor[at] = -2 * static_cast<float>(code.step);
    const float error = rounded_up(code.error);
    group.reach[at] = -2 * error;
    const double squares = static_cast<double>(error) * static_cast<double>(error);
    group.limit[at] = rounded_up(squares * (1 + kSlack) - code.squares * (1 - kSlack) + 0x1p-120);
  }
  for (size_t g = 0; g < groups_.size(); ++g) {
    groups_[g].codes = &codes_[g * kMostNear * padded];
    groups_[g].pairs = &pairs_[g * kMostNear * padded / 2];
  }
}

template <class T>
void NearRows<T>::look(Threads& threads, size_t begin, size_t end) {
  for_blocks(threads, begin, end, [&](size_t block, Slot& slot) { look_at_block(block, slot); });
}

template <class T>
void NearRows<T>::look_at_block(size_t block, Slot& slot) {
  const size_t first = block * kNearRows, count = count_of(block), d = form_.d;
  for (size_t g = 0; g < groups_.size(); ++g) {
    uint16_t* near = &near_[g * n_ + first];
    std::fill(near, near + count, uint16_t{0});
    const size_t found = row_kernels<T>(kernels_).near_pairs(
        rows_ + first * d, count, nearest_ + first, form_, panel_of(first), groups_[g], &candidates_[g * kMostNear * d],
        slot.pairs.data(), &slot.computed);
    for (size_t p = 0; p < found; ++p) {
      const NearPair& pair = slot.pairs[p];
      near[pair.row] = static_cast<uint16_t>(near[pair.row] | 1u << pair.candidate);
      slot.saved[g * kMostNear + pair.candidate] += saved_weight(first + pair.row, pair.distance);
    }
  }
}

template <class T>
size_t NearRows<T>::best() const {
  size_t best = 0;
  exact::uint128 most = 0;
  for (size_t c = 0; c < count(); ++c) {
    exact::uint128 saved = 0;
    for (const auto& slot : slots_) saved += slot->saved[c];
    if (saved > most) {
      most = saved;
      best = c;
    }
  }
  return best;
}

template <class T>
size_t NearRows<T>::computed() const {
  size_t sum = 0;
  for (const auto& slot : slots_) sum += slot->computed;
  return sum;
}

template <class T>
void NearRows<T>::lower(Threads& threads, size_t candidate, size_t begin, size_t end) {
  for_blocks(threads, begin, end, [&](size_t block, Slot&) { lower_block(block, candidate); });
}

template <class T>
void NearRows<T>::lower_block(size_t block, size_t candidate) {
  const size_t first = block * kNearRows, end = first + count_of(block), d = form_.d;
  const uint16_t* near = &near_[candidate / kMostNear * n_];
  const auto bit = static_cast<uint16_t>(1u << candidate % kMostNear);
  size_t rows[kNearRows], count = 0;
  for (size_t row = first; row < end; ++row) {
    if ((near[row] & bit) == 0) continue;
    rows[count++] = row;
    fetch(rows_ + row * d, d * sizeof(T));
  }
  bool largest = false;
  for (size_t i = 0; i < count; ++i) {
    const size_t row = rows[i];
    double distance;
    row_kernels<T>(kernels_).distances_to(rows_ + row * d, &candidates_[candidate * d], 1, d, &distance);
    largest |= weight(row, nearest_[row]) == largest_[block];
    weights_[block] -= saved_weight(row, distance);
    nearest_[row] = distance;
    set_reach(row);
  }
  if (largest) largest_[block] = largest_weight(block);
}

template class NearRows<float>;
template class NearRows<double>;

}  // namespace macqueen
