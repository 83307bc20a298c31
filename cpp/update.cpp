#include "update.hpp"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

namespace macqueen {

template <class T>
void move_running_means(const double* sums, const int64_t* counts, const int64_t* counts_before, size_t k, size_t d,
                        T* centers) {
  const PinFloatingPoint pin;
  for (size_t c = 0; c < k; ++c) {
    if (counts[c] == 0) continue;
    const double m = static_cast<double>(counts[c]);
    const double total = static_cast<double>(counts_before[c] + counts[c]);
    for (size_t j = c * d; j < (c + 1) * d; ++j) {
      const double center = static_cast<double>(centers[j]);
      centers[j] = static_cast<T>(center + (sums[j] - m * center) / total);
    }
  }
}
template void move_running_means<float>(const double*, const int64_t*, const int64_t*, size_t, size_t, float*);
template void move_running_means<double>(const double*, const int64_t*, const int64_t*, size_t, size_t, double*);

namespace {

// Philox 4x32-10 (Salmon et al., 2011) of kLanes counters side by side: a draw is a chain of 20 multiplications, so
// that one after the other they would wait for each other.
template <size_t kLanes>
struct Blocks {
  uint32_t word[4][kLanes];
};

template <size_t kLanes>
void philox(Blocks<kLanes>& counter, uint32_t key0, uint32_t key1) {
  auto& word = counter.word;
  for (int round = 0; round < 10; ++round) {
    for (size_t l = 0; l < kLanes; ++l) {
      const uint64_t p0 = uint64_t{0xD2511F53} * word[0][l];
      const uint64_t p1 = uint64_t{0xCD9E8D57} * word[2][l];
      word[0][l] = static_cast<uint32_t>(p1 >> 32) ^ word[1][l] ^ key0;
      word[1][l] = static_cast<uint32_t>(p1);
      word[2][l] = static_cast<uint32_t>(p0 >> 32) ^ word[3][l] ^ key1;
      word[3][l] = static_cast<uint32_t>(p0);
    }
    key0 += 0x9E3779B9;
    key1 += 0xBB67AE85;
  }
}

// values (kLanes,) in: indices, out: their draws
template <size_t kLanes>
void draw(uint64_t seed, uint32_t purpose, uint32_t round, uint64_t (&values)[kLanes]) {
  Blocks<kLanes> blocks;
  for (size_t l = 0; l < kLanes; ++l) {
    blocks.word[0][l] = static_cast<uint32_t>(values[l]);
    blocks.word[1][l] = static_cast<uint32_t>(values[l] >> 32);
    blocks.word[2][l] = purpose;
    blocks.word[3][l] = round;
  }
  philox(blocks, static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32));
  for (size_t l = 0; l < kLanes; ++l) values[l] = blocks.word[0][l] | (uint64_t{blocks.word[1][l]} << 32);
}

uint64_t draw(uint64_t seed, uint32_t purpose, uint32_t round, uint64_t index) {
  uint64_t value[1] = {index};
  draw(seed, purpose, round, value);
  return value[0];
}

// A Feistel network over the integers of 2 * half bits, applied to kLanes of them.
template <size_t kLanes>
void mix(uint64_t seed, uint32_t purpose, int half, uint64_t (&values)[kLanes]) {
  const uint64_t mask = (uint64_t{1} << half) - 1;
  uint64_t left[kLanes], right[kLanes], drawn[kLanes];
  for (size_t l = 0; l < kLanes; ++l) left[l] = values[l] >> half;
  for (size_t l = 0; l < kLanes; ++l) right[l] = values[l] & mask;
  for (uint32_t round = 1; round <= 6; ++round) {
    for (size_t l = 0; l < kLanes; ++l) drawn[l] = right[l];
    draw(seed, purpose, round, drawn);
    for (size_t l = 0; l < kLanes; ++l) {
      const uint64_t next = left[l] ^ (drawn[l] & mask);
      left[l] = right[l];
      right[l] = next;
    }
  }
  for (size_t l = 0; l < kLanes; ++l) values[l] = left[l] << half | right[l];
}

// places (end - begin,) of the indices begin..end-1 < n: mixed until they are below n.
void mixed(uint64_t seed, uint32_t purpose, uint64_t n, uint64_t begin, uint64_t end, int64_t* places) {
  constexpr size_t kLanes = 8;
  const int half = (64 - __builtin_clzll(n - 1) + 1) / 2;
  uint64_t values[kLanes] = {};
  uint64_t owners[kLanes];  // index that a lane works on
  uint64_t next = begin, left = end - begin;
  size_t lanes = 0;
  while (left > 0) {
    for (; lanes < kLanes && next < end; ++lanes, ++next) values[lanes] = owners[lanes] = next;
    mix(seed, purpose, half, values);
    size_t kept = 0;
    for (size_t l = 0; l < lanes; ++l) {
      if (values[l] < n) {
        places[owners[l] - begin] = static_cast<int64_t>(values[l]);
        --left;
      } else {
        values[kept] = values[l];
        owners[kept++] = owners[l];
      }
    }
    lanes = kept;
  }
}

}  // namespace

uint64_t random_bits(uint64_t seed, uint32_t purpose, uint64_t index) { return draw(seed, purpose, 0, index); }

std::vector<int64_t> permuted(uint64_t seed, uint32_t purpose, uint64_t n, uint64_t begin, uint64_t end) {
  constexpr uint64_t kSorted = 1024;  // a Feistel network of few bits favours some permutations
  std::vector<int64_t> places;
  if (n <= kSorted) {
    std::vector<std::pair<uint64_t, int64_t>> keys(n);
    for (uint64_t i = 0; i < n; ++i) keys[i] = {draw(seed, purpose, 0, i), static_cast<int64_t>(i)};
    std::sort(keys.begin(), keys.end());
    for (uint64_t i = begin; i < end; ++i) places.push_back(keys[i].second);
    return places;
  }
  places.resize(end - begin);
  mixed(seed, purpose, n, begin, end, places.data());
  return places;
}

exact::uint128 total_weight(Threads& threads, const double* weights, size_t n, int top) {
  constexpr size_t kPerTask = 1 << 16;
  std::vector<exact::uint128> parts((n + kPerTask - 1) / kPerTask, 0);
  threads.run(parts.size(), [&](int, size_t i) {
    const size_t end = std::min(n, (i + 1) * kPerTask);
    for (size_t j = i * kPerTask; j < end; ++j) parts[i] += grid_weight(weights[j], top);
  });
  exact::uint128 total = 0;
  for (const exact::uint128 part : parts) total += part;
  return total;
}

size_t pick_by_weight(const double* weights, size_t n, int top, exact::uint128 target) {
  exact::uint128 sum = 0;
  for (size_t i = 0; i < n; ++i) {
    sum += grid_weight(weights[i], top);
    if (sum > target) return i;
  }
  return n;
}

std::vector<size_t> sampled_by_weight(Threads& threads, const double* weights, size_t n, int top, double factor,
                                      uint64_t seed, uint32_t purpose) {
  constexpr size_t kPerTask = 1 << 16;
  std::vector<std::vector<size_t>> parts((n + kPerTask - 1) / kPerTask);
  threads.run(parts.size(), [&](int, size_t part) {
    for (size_t i = part * kPerTask; i < std::min(n, (part + 1) * kPerTask); ++i) {
      const uint64_t weight = grid_weight(weights[i], top);
      if (weight == 0) continue;
      const double chance = factor * static_cast<double>(weight);
      const double drawn = static_cast<double>(random_bits(seed, purpose, i) >> 11) * 0x1p-53;
      if (drawn < chance) parts[part].push_back(i);
    }
  });
  std::vector<size_t> sampled;
  for (const auto& part : parts) sampled.insert(sampled.end(), part.begin(), part.end());
  return sampled;
}

namespace {

// Calls use(task, begin, count, distances) for the squared distances of rows begin.. to the center.
template <class T, class Use>
void for_distances(Threads& threads, const Kernels& kernels, const T* rows, const T* center, size_t n, size_t d,
                   const Use& use) {
  constexpr size_t kPart = 256;
  const size_t per_task = std::max(kPart, (size_t{1} << 16) / d);
  threads.run((n + per_task - 1) / per_task, [&](int, size_t task) {
    double distances[kPart];
    const size_t end = std::min(n, (task + 1) * per_task);
    for (size_t begin = task * per_task; begin < end; begin += kPart) {
      const size_t count = std::min(kPart, end - begin);
      row_kernels<T>(kernels).distances_to(rows + begin * d, center, count, d, distances);
      use(task, begin, count, distances);
    }
  });
}

}  // namespace

template <class T>
void lower_to(Threads& threads, const Kernels& kernels, const T* rows, const T* center, size_t n, size_t d,
              double* nearest) {
  for_distances(threads, kernels, rows, center, n, d, [&](size_t, size_t begin, size_t count, const double* distances) {
    for (size_t i = 0; i < count; ++i) nearest[begin + i] = std::min(nearest[begin + i], distances[i]);
  });
}
template void lower_to<float>(Threads&, const Kernels&, const float*, const float*, size_t, size_t, double*);
template void lower_to<double>(Threads&, const Kernels&, const double*, const double*, size_t, size_t, double*);

template <class T>
exact::uint128 weight_lowered_to(Threads& threads, const Kernels& kernels, const T* rows, const T* center, size_t n,
                                 size_t d, const double* nearest, int top) {
  std::vector<exact::uint128> parts(n / 256 + 1, 0);  // at least one for each task
  for_distances(threads, kernels, rows, center, n, d,
                [&](size_t task, size_t begin, size_t count, const double* distances) {
                  for (size_t i = 0; i < count; ++i) {
                    parts[task] += grid_weight(std::min(nearest[begin + i], distances[i]), top);
                  }
                });
  exact::uint128 total = 0;
  for (const exact::uint128 part : parts) total += part;
  return total;
}
template exact::uint128 weight_lowered_to<float>(Threads&, const Kernels&, const float*, const float*, size_t, size_t,
                                                 const double*, int);
template exact::uint128 weight_lowered_to<double>(Threads&, const Kernels&, const double*, const double*, size_t,
                                                  size_t, const double*, int);

template <class T>
void merge_nearest(Threads& threads, const Kernels& kernels, const T* rows, size_t n, size_t d, const T* candidates,
                   size_t first, const int32_t* fresh_labels, const double* fresh_nearest, int32_t* labels,
                   double* nearest) {
  constexpr size_t kPerTask = 1 << 14;
  const double relative = 4 * static_cast<double>(d + 8) * 0x1p-53, absolute = static_cast<double>(d) * 0x1p-1070;
  const auto compare = row_kernels<T>(kernels).compare_distances;
  threads.run((n + kPerTask - 1) / kPerTask, [&](int, size_t task) {
    for (size_t i = task * kPerTask; i < std::min(n, (task + 1) * kPerTask); ++i) {
      const double before = nearest[i], after = fresh_nearest[i];
      if (after > before + (before * relative + absolute)) continue;
      const size_t label = first + static_cast<size_t>(fresh_labels[i]);
      const bool certain = before > after + (after * relative + absolute);
      const T *fresh = candidates + label * d, *own = candidates + static_cast<size_t>(labels[i]) * d;
      if (!certain && compare(rows + i * d, fresh, own, d, std::max(before, after)) >= 0) continue;
      labels[i] = static_cast<int32_t>(label);
      nearest[i] = after;
    }
  });
}
template void merge_nearest<float>(Threads&, const Kernels&, const float*, size_t, size_t, const float*, size_t,
                                   const int32_t*, const double*, int32_t*, double*);
template void merge_nearest<double>(Threads&, const Kernels&, const double*, size_t, size_t, const double*, size_t,
                                    const int32_t*, const double*, int32_t*, double*);

}  // namespace macqueen
