// The path `packed`: rows that lie sorted, and centers that the grid is hard put to hold. Labels and sums are those of
// a plain pass on the scalar kernels.
#include <algorithm>
#include <cmath>

#include "check.hpp"
#include "dispatch.hpp"
#include "finish.hpp"
#include "packed_rows.hpp"
#include "step.hpp"
#include "update.hpp"

namespace macqueen::test {

namespace {

// Labels, and how many rows the integers left open.
template <class T>
std::vector<int32_t> packed_labels(Threads& threads, const Kernels& kernels, const Case<T>& c, size_t copied,
                                   double* open) {
  PackedRows<T> rows(c.rows.data(), c.n, c.d, copied);
  const Centers<T> centers(kernels, c.centers.data(), c.k, c.d);
  Totals totals(c.k, c.d);
  rows.begin_step(centers);
  check(rows.step_blocks(threads, centers, 0, rows.blocks()) == kAllFinite, c.name);
  *open = rows.end_step(threads, totals).hard;
  return rows.labels();
}

template <class T>
void compare(Threads& threads, const Case<T>& c, bool decides) {
  std::vector<int32_t> expected(c.n);
  const Centers<T> centers(find_kernels("scalar"), c.centers.data(), c.k, c.d);
  assign(threads, centers, c.rows.data(), c.n, false, expected.data(), nullptr);
  for (const Kernels* kernels : available_kernels()) {
    for (const size_t copied : {c.n, c.n / 2, size_t{0}}) {
      double open = 0;
      check(packed_labels(threads, *kernels, c, copied, &open) == expected, c.name + " on " + kernels->name);
      if (decides) check(open < static_cast<double>(c.n), "rows decided by integers, " + c.name);
    }
  }
}

// What is stored of rows: integers, whose length and whose distance from the row are not above what stands beside them.
template <class T>
void stored_rows(Kind kind, size_t n, size_t d) {
  const Case<T> c = make_case<T>(kind, n, 2, d);
  const size_t pairs = (d + 1) / 2;
  std::vector<double> origin(c.rows.begin(), c.rows.begin() + static_cast<std::ptrdiff_t>(d));
  std::vector<float> narrow_origin(d);
  for (size_t j = 0; j < d; ++j) {
    narrow_origin[j] = std::abs(origin[j]) < 1e30 ? static_cast<float>(origin[j]) : 0;
    origin[j] = static_cast<double>(narrow_origin[j]);
  }
  const auto steps = [&](size_t i, size_t j, float step) {  // X of a row in steps of the grid
    return (static_cast<long double>(c.rows[i * d + j]) - static_cast<long double>(origin[j])) / step;
  };
  long double longest = 0;
  for (size_t i = 0; i < n; ++i) {
    long double squares = 0;
    for (size_t j = 0; j < d; ++j) squares += steps(i, j, 1) * steps(i, j, 1);
    longest = std::max(longest, std::sqrt(squares));
  }
  for (const Kernels* kernels : available_kernels()) {
    for (const long double room : {1.01L, 300.0L, 0.7L}) {  // at 0.7 the longest row does not fit
      const auto step = static_cast<float>(std::clamp(longest * room / 32000, 0x1p-90L, 0x1p90L));
      const PackedForm form{d, pairs, step, origin.data(), narrow_origin.data()};
      std::vector<int16_t> packed(pairs * kPackedLanes * 2, 77);
      float numbers[2 * kPackedLanes];
      row_kernels<T>(*kernels).pack_lanes(c.rows.data(), n, form, packed.data(), numbers);
      for (size_t i = 0; i < kPackedLanes; ++i) {
        long double length = 0, error = 0;
        for (size_t j = 0; j < 2 * pairs; ++j) {
          const int16_t a = packed[(j / 2 * kPackedLanes + i) * 2 + j % 2];
          const long double gap = (i < n && j < d ? steps(i, j, step) : 0) - a;
          length += static_cast<long double>(a) * a;
          error += gap * gap;
        }
        const std::string name = "row " + std::to_string(i) + " stored, " + c.name + " on " + kernels->name;
        check(std::sqrt(length) <= numbers[kPackedLanes + i], "length of " + name);
        check(std::sqrt(error) <= numbers[i], "error of " + name);
        check(std::isfinite(numbers[i]) || length == 0, "grid of " + name);
      }
    }
  }
}

// Every center of a few becomes an extreme one in turn: its place decides what its value is compared with.
template <class T>
void one_far_center(Threads& threads, double distance, double size) {
  for (size_t far = 0; far < 9; ++far) {
    Case<T> c = make_case<T>(Kind::kNormal, 200, 9, 3);
    for (auto* values : {&c.rows, &c.centers}) {
      for (T& value : *values) value *= static_cast<T>(size);
    }
    for (size_t j = 0; j < c.d; ++j) c.centers[far * c.d + j] = static_cast<T>(distance);
    c.name = "center " + std::to_string(far) + " at " +
             (distance > 1e149  ? "1e150"
              : distance > 1e99 ? "1e100"
                                : "3e38");
    compare(threads, c, false);
  }
}

// Centers whose distances from the mean of the rows are about the smallest float32, or the root of the smallest
// float64.
template <class T>
void close_centers(Threads& threads, double step) {
  Case<T> c = make_case<T>(Kind::kNormal, 200, 6, 2);
  for (size_t i = 0; i < c.n / 2; ++i) {  // rows in pairs x, -x: their mean is 0
    for (size_t j = 0; j < c.d; ++j) c.rows[(2 * i + 1) * c.d + j] = -c.rows[2 * i * c.d + j];
  }
  constexpr double kSteps[] = {1.4, 0.3, -1.3, 0.3, 1, -1, 0.2, 1.4, -0.2, -1.3, 0, 0};
  for (size_t i = 0; i < c.k * c.d; ++i) c.centers[i] = static_cast<T>(kSteps[i] * step);
  c.name = "centers of length " + std::to_string(std::ilogb(step));
  compare(threads, c, false);
}

constexpr size_t kSteps = 25, kThrown = 18;

struct Sorted {
  size_t first;          // step in which blocks met centers of their own
  bool decided = false;  // rows were decided among few centers in float64
};

// Rows that lie sorted by their centers: many steps, of centers that come to rest, and are then thrown off.
template <class T>
Sorted sorted_rows(Threads& threads, const Kernels& kernels, const Case<T>& c, size_t steps) {
  const size_t n = c.n, k = c.k, d = c.d;
  const Kernels& scalar = find_kernels("scalar");
  PackedRows<T> rows(c.rows.data(), n, d, n);
  std::vector<T> at = c.centers;
  std::vector<int32_t> expected(n);
  Workspace workspace;
  Sorted sorted{steps};
  for (size_t step = 0; step < steps; ++step) {
    const std::string name = "step " + std::to_string(step) + " of " + c.name + " on " + kernels.name;
    Totals found(k, d), wanted(k, d);
    const Centers<T> centers(kernels, at.data(), k, d), same(scalar, at.data(), k, d);
    rows.begin_step(centers);
    const size_t part = rows.blocks() * (step % 4) / 4;
    check(rows.step_blocks(threads, centers, 0, part) == kAllFinite, name);
    check(rows.step_blocks(threads, centers, part, rows.blocks()) == kAllFinite, name);
    const BoundedStep done = rows.end_step(threads, found);
    if (done.opened != static_cast<double>(n * k)) sorted.first = std::min(sorted.first, step);
    sorted.decided |= done.hard != std::floor(done.hard);
    accumulate(threads, same, c.rows.data(), n, PassOptions{true, false}, workspace, wanted, expected.data());
    check(rows.labels() == expected, "labels, " + name);
    const std::vector<T> before = at;
    finish<T>(threads, same, wanted, wanted.squares, before.data(), at.data());
    for (Totals* totals : {&found, &wanted}) totals->sums.canonicalize();
    check(found.counts == wanted.counts && found.sums.digits() == wanted.sums.digits(), "sums, " + name);
    for (size_t j = 0; step == kThrown && j < d; ++j) at[j] = static_cast<T>(1e30);
    for (size_t j = 0; step == kThrown + 3 && j < d; ++j) at[j] = c.rows[j];
  }
  return sorted;
}

// Groups so far apart that integers tell hardly any of the centers within one apart, but few centers are near a row.
// Some rows are too long for the grid.
template <class T>
Case<T> tight_groups(size_t n, size_t k, size_t d) {
  Case<T> c = make_case<T>(Kind::kNormal, n, k, d);
  for (size_t i = 0; i < n; ++i) {
    for (size_t j = 0; j < d; ++j) {
      T& value = c.rows[i * d + j];
      value += static_cast<T>(((i % 16 + 1) * (j + 1) % 17) << 12);
      if (i % 150 == 120) value *= 3;
    }
  }
  std::copy_n(c.rows.begin(), k * d, c.centers.begin());
  c.name = "tight groups, " + c.name;
  return c;
}

template <class T>
void many_steps(Threads& threads, size_t n, size_t k, size_t d) {
  for (const Kernels* kernels : available_kernels()) {
    for (const Kind kind : kKinds) {
      const Case<T> c = make_case<T>(kind, n, k, d);
      const Sorted sorted = sorted_rows(threads, *kernels, c, kSteps);
      if (kind == Kind::kClouds || kind == Kind::kNormal) check(sorted.first < kSteps, "rows were sorted, " + c.name);
    }
  }
}

template <class T>
void few_near(Threads& threads, size_t n, size_t k, size_t d) {
  const Case<T> c = tight_groups<T>(n, k, d);
  for (const Kernels* kernels : available_kernels()) {
    const Sorted sorted = sorted_rows(threads, *kernels, c, 7);
    check(sorted.first <= 3 && sorted.decided, "rows were sorted at once, and decided among few, " + c.name);
  }
}

}  // namespace

void test_packed() {
  Threads threads(2);
  for (const Kind kind : kKinds) {
    for (const size_t d : {1, 2, 7, 16, 17, 31, 32, 33, 64, 100}) {
      stored_rows<float>(kind, 16, d);
      stored_rows<double>(kind, 13, d);
    }
  }
  many_steps<float>(threads, 3100, 24, 32);
  if (!kFewSizes) many_steps<double>(threads, 4700, 36, 15);
  few_near<float>(threads, 16405, 128, 32);
  if (!kFewSizes) few_near<double>(threads, 16405, 128, 31);
  compare(threads, make_case<float>(Kind::kNormal, 1000, 9, 5), true);
  compare(threads, make_case<double>(Kind::kNormal, 1000, 9, 5), true);
  for (const double size : {1e-30, 1e-10, 0.1, 1.0, 1e10}) {
    one_far_center<double>(threads, 1e150, size);
    one_far_center<double>(threads, 1e100, size);
    one_far_center<float>(threads, 3e38, size);
  }
  for (const double step : {0x1p-149, 1e-44, 1e-40, 1e-30, 2e-162}) {
    close_centers<double>(threads, step);
    close_centers<float>(threads, step);
  }
}

}  // namespace macqueen::test
