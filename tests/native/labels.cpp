// Labels against brute force: float64, and exact arithmetic where it cannot tell.
#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <random>

#include "check.hpp"
#include "dispatch.hpp"
#include "step.hpp"

namespace macqueen::test {

namespace {

template <class T>
double distance(const T* x, const T* c, size_t d) {
  double sum = 0;
  for (size_t j = 0; j < d; ++j) {
    const double difference = static_cast<double>(x[j]) - static_cast<double>(c[j]);
    sum += difference * difference;
  }
  return sum;
}

template <class T>
std::vector<int32_t> brute_force(const Case<T>& c) {
  // Generous: differences, squares and sums round d + 2 times, and squares may underflow.
  const double doubt = static_cast<double>(4 * (c.d + 4)) * std::numeric_limits<double>::epsilon();
  const double lost = static_cast<double>(c.d) * 0x1p-1070;
  std::vector<int32_t> labels(c.n, 0);
  for (size_t i = 0; i < c.n; ++i) {
    const T* x = c.rows.data() + i * c.d;
    const T* nearest = c.centers.data();
    double lowest = distance(x, nearest, c.d);
    for (size_t q = 1; q < c.k; ++q) {
      const T* center = c.centers.data() + q * c.d;
      const double next = distance(x, center, c.d), open = doubt * lowest + lost;
      if (next > lowest + open) continue;
      if (next < lowest - open || exact::compare_distances(x, center, nearest, c.d) < 0) {
        labels[i] = static_cast<int32_t>(q);
        nearest = center;
        lowest = next;
      }
    }
  }
  return labels;
}

// Copies at the very end of their allocation, so that a read past the end is seen.
template <class T>
std::unique_ptr<T[]> tight(const std::vector<T>& values) {
  auto copy = std::make_unique<T[]>(values.size());
  std::copy(values.begin(), values.end(), copy.get());
  return copy;
}

template <class T>
void compare(const Case<T>& c, Threads& threads) {
  const std::vector<int32_t> expected = brute_force(c);
  const auto rows = tight(c.rows);
  const auto values = tight(c.centers);
  for (const Kernels* kernels : available_kernels()) {
    const std::string what = c.name + " on " + kernels->name;
    const Centers<T> centers(*kernels, values.get(), c.k, c.d);
    std::vector<int32_t> labels(c.n, -7);
    std::vector<double> own(c.n);
    std::vector<T> all(c.n * c.k);
    check(assign(threads, centers, rows.get(), c.n, false, labels.data(), own.data()) == kAllFinite, what);
    check(labels == expected, "labels of " + what);
    check(distances(threads, centers, rows.get(), c.n, 1, false, all.data()) == kAllFinite, what);
    bool same = true;
    for (size_t i = 0; i < c.n; ++i) same &= static_cast<T>(own[i]) == all[i * c.k + static_cast<size_t>(labels[i])];
    check(same, "distances of " + what);
    check(normalize(threads, *kernels, rows.get(), c.n, c.d, rows.get()) == kAllFinite, what);
    std::copy(c.rows.begin(), c.rows.end(), rows.get());
  }
}

// Two centers as far from a row, or one of them farther by one unit of a column, on grids of few bits and of more than
// float64 has room for; a column in which both are the same is on no grid.
template <class T>
void near_ties(size_t d, int bits, std::mt19937_64& random) {
  std::vector<T> x(d), one(d), other(d);
  std::vector<int64_t> way(d);
  const auto draw = [&] { return static_cast<int64_t>(random() >> (63 - bits)) - (int64_t{1} << bits); };
  for (auto& step : way) step = draw();
  const int exponent = static_cast<int>(random() % 81) - 40;
  const auto value = [&](int64_t units) { return static_cast<T>(std::ldexp(static_cast<double>(units), exponent)); };
  const size_t farther = random() % (2 * d);
  for (size_t j = 0; j < d; ++j) {
    const int64_t at = draw(), back = random() % 2 == 0 ? way[d - 1 - j] : -way[d - 1 - j];
    x[j] = value(at);
    one[j] = value(at + way[j]);
    other[j] = value(at + back + (j == farther ? 1 : 0));
  }
  if (d % 2 == 1 && d > 1) one[d / 2] = other[d / 2] = x[d / 2] + value(1) / 3;
  const int expected = exact::compare_distances(x.data(), one.data(), other.data(), d);
  const double most = std::max(distance(x.data(), one.data(), d), distance(x.data(), other.data(), d));
  const auto row = tight(x), near = tight(one), far = tight(other);
  for (const Kernels* kernels : available_kernels()) {
    const auto& functions = row_kernels<T>(*kernels);
    check(functions.compare_distances(row.get(), near.get(), far.get(), d, most) == expected &&
              functions.compare_distances(row.get(), far.get(), near.get(), d, most) == -expected,
          "near-tie of d=" + std::to_string(d) + " bits=" + std::to_string(bits) + " on " + kernels->name);
  }
}

template <class T>
void bad_rows(Threads& threads) {
  Case<T> c = make_case<T>(Kind::kNormal, 700, 3, 5);
  for (const size_t at : {size_t{0}, size_t{127}, size_t{128}, size_t{699}}) {
    std::vector<T> rows = c.rows;
    rows[at * c.d + 4] = std::numeric_limits<T>::quiet_NaN();
    rows.back() = std::numeric_limits<T>::infinity();
    for (const Kernels* kernels : available_kernels()) {
      const Centers<T> centers(*kernels, c.centers.data(), c.k, c.d);
      std::vector<int32_t> labels(c.n);
      const int64_t bad = assign(threads, centers, rows.data(), c.n, false, labels.data(), nullptr);
      check(bad == static_cast<int64_t>(at), std::string("bad row on ") + kernels->name);
      check(first_refused_row(threads, *kernels, rows.data(), c.n, c.d) == bad, "first refused row");
    }
  }
}

template <class T>
void all_cases(Threads& threads) {
  for (const Kind kind : kKinds) {
    const auto all = shapes(available_kernels().front()->block);
    for (size_t i = 0; i < all.size(); i += kFewSizes ? 5 : 1) {
      compare(make_case<T>(kind, all[i].n, all[i].k, all[i].d), threads);
    }
    compare(make_case<T>(kind, 40, 1030, 3), threads);
  }
  bad_rows<T>(threads);
  std::mt19937_64 random(1);
  for (size_t d = 1; d <= 130; d += kFewSizes ? 5 : 1) {
    for (int bits = 1; bits <= 30; ++bits) near_ties<T>(d, bits, random);
  }
}

}  // namespace

void test_labels() {
  Threads threads(2);
  all_cases<float>(threads);
  all_cases<double>(threads);
}

}  // namespace macqueen::test
