// Steps of k-means++ with a screen against those without one.
#include <algorithm>
#include <cmath>
#include <limits>

#include "check.hpp"
#include "dispatch.hpp"
#include "near_rows.hpp"
#include "step.hpp"
#include "update.hpp"

namespace macqueen::test {

namespace {

int top_of(const std::vector<double>& weights) {
  int top;
  std::frexp(*std::max_element(weights.begin(), weights.end()), &top);
  return top;
}

// A step over `nearest` (in/out): candidates at even distances, of which the best becomes a center.
template <class T>
void plain_step(Threads& threads, const Kernels& kernels, const Case<T>& c, const std::vector<int64_t>& candidates,
                std::vector<double>& nearest) {
  const int top = top_of(nearest);
  size_t best = 0;
  exact::uint128 least = ~exact::uint128{0};
  for (size_t i = 0; i < candidates.size(); ++i) {
    const T* center = &c.rows[static_cast<size_t>(candidates[i]) * c.d];
    const auto left = weight_lowered_to(threads, kernels, c.rows.data(), center, c.n, c.d, nearest.data(), top);
    if (left >= least) continue;
    least = left;
    best = i;
  }
  const T* center = &c.rows[static_cast<size_t>(candidates[best]) * c.d];
  lower_to(threads, kernels, c.rows.data(), center, c.n, c.d, nearest.data());
}

template <class T>
void compare(const Case<T>& c, Threads& threads, const Kernels& kernels) {
  std::vector<double> plain(c.n, std::numeric_limits<double>::infinity()), origin(c.rows.begin(), c.rows.begin() + c.d);
  lower_to(threads, kernels, c.rows.data(), c.rows.data(), c.n, c.d, plain.data());
  std::vector<double> nearest = plain;
  NearRows<T> rows(threads, kernels, c.rows.data(), c.n, c.d, origin.data(), nullptr, nearest.data());
  const size_t half = rows.blocks() / 2;
  rows.prepare(threads, 0, half);
  rows.prepare(threads, half, rows.blocks());
  for (size_t step = 0; step < 6; ++step) {
    const std::string what = c.name + " on " + kernels.name;
    const int top = top_of(plain);
    const exact::uint128 total = total_weight(threads, plain.data(), c.n, top);
    check(rows.total(threads) == total, "total of " + what);
    if (total == 0) return;
    std::vector<int64_t> candidates;
    for (size_t i = 0; i < 5 * step + 1; ++i) {
      const exact::uint128 target = total / (5 * step + 2) * (i + 1);
      candidates.push_back(static_cast<int64_t>(rows.pick(target)));
      check(rows.pick(target) == pick_by_weight(plain.data(), c.n, top, target), "pick of " + what);
    }
    rows.begin_step(candidates.data(), candidates.size());
    rows.look(threads, half, rows.blocks());
    rows.look(threads, 0, half);
    const size_t best = rows.best();
    rows.lower(threads, best, 0, half);
    rows.lower(threads, best, half, rows.blocks());
    plain_step(threads, kernels, c, candidates, plain);
    check(nearest == plain, "step of " + what);
  }
}

template <class T>
void all_cases(Threads& threads) {
  for (const Kind kind : kKinds) {
    for (const Kernels* kernels : available_kernels()) {
      compare(make_case<T>(kind, 700, 2, 5), threads, *kernels);
      compare(make_case<T>(kind, 17, 2, 33), threads, *kernels);
      compare(make_case<T>(kind, 1, 1, 1), threads, *kernels);
    }
  }
}

}  // namespace

void test_seeding() {
  Threads threads(2);
  all_cases<float>(threads);
  all_cases<double>(threads);
}

}  // namespace macqueen::test
