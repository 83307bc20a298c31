// Totals of a pass against sums that are added one value at a time, in whatever parts and threads.
#include <algorithm>
#include <cmath>

#include "check.hpp"
#include "dispatch.hpp"
#include "finish.hpp"
#include "update.hpp"

namespace macqueen::test {

namespace {

bool equal(exact::Sums& a, exact::Sums& b) {
  a.canonicalize();
  b.canonicalize();
  return a.first() == b.first() && a.width() == b.width() && a.digits() == b.digits();
}

bool equal(Totals& a, Totals& b) {
  return a.counts == b.counts && a.zero_rows == b.zero_rows && equal(a.sums, b.sums) && equal(a.squares, b.squares);
}

template <class T>
void add_plainly(const Case<T>& c, const std::vector<int32_t>& labels, Totals& totals) {
  for (size_t i = 0; i < c.n; ++i) {
    const size_t label = static_cast<size_t>(labels[i]);
    ++totals.counts[label];
    for (size_t j = 0; j < c.d; ++j) {
      const double value = static_cast<double>(c.rows[i * c.d + j]);
      totals.sums.add(label * c.d + j, value);
      totals.squares.add_square(j, value);
    }
  }
}

// `parts` calls, merged from two totals.
template <class T>
void add_in_parts(const Case<T>& c, const Centers<T>& centers, Threads& threads, size_t parts, Workspace& workspace,
                  Totals& totals) {
  Totals odd(c.k, c.d);
  for (size_t p = 0; p < parts; ++p) {
    const size_t begin = c.n * p / parts, end = c.n * (p + 1) / parts;
    check(accumulate(threads, centers, c.rows.data() + begin * c.d, end - begin, {true, false}, workspace,
                     p % 2 == 0 ? totals : odd, nullptr) == kAllFinite,
          c.name);
  }
  totals.merge(odd);
}

// Sums that kernels rounded, high + low, and the means of them, against sums rounded one by one.
template <class T>
void check_rounded(const Totals& totals, const std::vector<double>& high, const std::vector<double>& low,
                   const std::vector<T>& before, const std::vector<T>& means, const std::string& what) {
  for (size_t cell = 0; cell < high.size(); ++cell) {
    double nearest, rest;
    totals.sums.rounded(cell, &nearest, &rest);
    check(high[cell] == nearest && std::abs(low[cell] - rest) <= std::abs(nearest) * 0x1p-104, "sums of " + what);
    const int64_t count = totals.counts[cell / totals.d];
    const T mean = count == 0 ? before[cell] : static_cast<T>(nearest / static_cast<double>(count));
    check(means[cell] == mean, "means of " + what);
  }
}

template <class T>
void compare(const Case<T>& c, std::vector<Threads*>& pools, Workspace& workspace) {
  for (const Kernels* kernels : available_kernels()) {
    const std::string what = c.name + " on " + kernels->name;
    const Centers<T> centers(*kernels, c.centers.data(), c.k, c.d);
    std::vector<int32_t> labels(c.n);
    Totals found(c.k, c.d), expected(c.k, c.d), parts(c.k, c.d);
    accumulate(*pools[0], centers, c.rows.data(), c.n, {true, false}, workspace, found, labels.data());
    add_plainly(c, labels, expected);
    check(equal(found, expected), "totals of " + what);
    add_in_parts(c, centers, *pools[1], 3, workspace, parts);
    check(equal(parts, expected), "totals in parts of " + what);

    std::vector<double> high(c.k * c.d), low(c.k * c.d);
    round_sums(*pools[1], *kernels, found.sums, high.data(), low.data());
    std::vector<T> means(c.k * c.d);
    const double fast = finish(*pools[1], centers, found, found.squares, c.centers.data(), means.data());
    const double slow = exact::cost(found.squares, found.sums, found.counts.data(), c.centers.data(), c.k, c.d);
    check(fast == slow, "cost of " + what);
    check_rounded(found, high, low, c.centers, means, what);
  }
}

template <class T>
void all_cases(std::vector<Threads*> pools) {
  Workspace workspace;
  for (const Kind kind : kKinds) {
    const auto all = shapes(available_kernels().front()->block);
    for (size_t i = 0; i < all.size(); i += kFewSizes ? 15 : 3) {
      compare(make_case<T>(kind, all[i].n, all[i].k, all[i].d), pools, workspace);
    }
    compare(make_case<T>(kind, 3000, 17, 9), pools, workspace);
  }
}

void choices(Threads& threads) {
  const Case<double> c = make_case<double>(Kind::kNormal, 70000, 1, 3);
  std::vector<double> nearest(c.n, 1e9);
  const Kernels& kernels = find_kernels("");
  const auto promised =
      weight_lowered_to(threads, kernels, c.rows.data(), c.centers.data(), c.n, c.d, nearest.data(), 30);
  lower_to(threads, kernels, c.rows.data(), c.centers.data(), c.n, c.d, nearest.data());
  const auto total = total_weight(threads, nearest.data(), c.n, 30);
  check(promised == total, "weight that lowering leaves");
  check(pick_by_weight(nearest.data(), c.n, 30, total - 1) == c.n - 1, "last pick");
  check(pick_by_weight(nearest.data(), c.n, 30, 0) == 0, "first pick");
  for (const uint64_t n : {1, 2, 7, 65, 1024, 1025, 5000}) {
    std::vector<bool> seen(n, false);
    for (const int64_t place : permuted(1, 2, n, 0, n)) seen[static_cast<size_t>(place)] = true;
    check(std::find(seen.begin(), seen.end(), false) == seen.end(), "permutation");
  }
}

}  // namespace

void test_sums() {
  Threads one(1), three(3);
  all_cases<float>({&one, &three});
  all_cases<double>({&three, &one});
  choices(three);
}

}  // namespace macqueen::test
