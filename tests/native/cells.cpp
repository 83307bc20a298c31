// Rows among cells with lists of centers have the labels of rows that meet all centers.
#include "center_cells.hpp"
#include "check.hpp"
#include "dispatch.hpp"
#include "step.hpp"

namespace macqueen::test {

namespace {

constexpr size_t kRows = 5000, kClusters = 230, kFewRows = 1000;  // so few are not worth cells

template <class T>
void compare(const Case<T>& c, Threads& threads, bool certain) {
  check(CenterCells<T>::worth(c.n, c.k, c.d) && !CenterCells<T>::worth(kFewRows, c.k, c.d), "what is worth cells");
  for (const Kernels* kernels : available_kernels()) {
    const std::string what = c.name + " on " + kernels->name;
    const Centers<T> centers(*kernels, c.centers.data(), c.k, c.d);
    const CenterCells<T> cells(threads, centers, c.rows.data(), c.n);
    check(!certain || cells.table() != nullptr, "cells of " + what);
    std::vector<int32_t> found(c.n, -7), plain(c.n, -8);
    assign(threads, centers, c.rows.data(), c.n, false, found.data(), nullptr);
    for (size_t i = 0; i < c.n; i += kFewRows) {
      assign(threads, centers, c.rows.data() + i * c.d, kFewRows, false, plain.data() + i, nullptr);
    }
    check(found == plain, "labels of " + what);
  }
}

template <class T>
void all_cases(Threads& threads) {
  for (const Kind kind : kKinds) {
    for (size_t d = 1; d <= 6; d += kFewSizes ? 3 : 1) {
      const bool certain = d <= 3 && (kind == Kind::kNormal || kind == Kind::kFar);
      compare(make_case<T>(kind, kRows, kClusters, d), threads, certain);
    }
  }
}

}  // namespace

void test_cells() {
  Threads threads(2);
  all_cases<float>(threads);
  all_cases<double>(threads);
}

}  // namespace macqueen::test
