#include <algorithm>
#include <cmath>
#include <limits>

#include "check.hpp"

namespace macqueen::test {

namespace {

// Splitmix64: the same numbers with every standard library.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t bits() {
    uint64_t z = state_ += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  size_t below(size_t n) { return static_cast<size_t>(bits() % n); }
  // About normal, within +-4: a sum of four integers. Logarithms and cosines differ between libraries.
  double normal() {
    int64_t sum = -(int64_t{1} << 52);
    for (int i = 0; i < 4; ++i) sum += static_cast<int64_t>(bits() >> 13);
    return static_cast<double>(sum) * 0x1p-50;
  }

 private:
  uint64_t state_;
};

template <class T>
double value_of(Kind kind, Random& random) {
  constexpr bool kSingle = sizeof(T) == 4;
  switch (kind) {
    case Kind::kGrid:
      return static_cast<double>(random.below(5)) - 2;
    case Kind::kFar:
      return 1e6 + random.normal();
    case Kind::kClouds:
      return (random.below(2) == 0 ? -1e6 : 1e6) + random.normal();
    case Kind::kOutlier:
      return random.below(500) == 0 ? 1e30 : 1e-10 * random.normal();
    case Kind::kDenormal:
      return static_cast<double>(std::numeric_limits<T>::denorm_min()) * static_cast<double>(random.below(9));
    case Kind::kExtreme: {
      constexpr double kShares[] = {1, 0, 0.3, -1e-8, -1, -1, -1, -1};
      return (kSingle ? 3e38 : 1e150) * kShares[random.below(8)];
    }
    default:
      return random.normal();
  }
}

// Rows of one repeated value are equally far from every rotation of a center; some are moved by one step.
template <class T>
void make_ties(Case<T>& c, Random& random) {
  for (size_t i = 0; i < c.n; ++i)
    std::fill_n(c.rows.begin() + static_cast<std::ptrdiff_t>(i * c.d), c.d, c.rows[i * c.d]);
  for (size_t i = 1; i < c.k; ++i) {
    for (size_t j = 0; j < c.d; ++j) c.centers[i * c.d + j] = c.centers[(i + j) % c.d];
    T& moved = c.centers[i * c.d + random.below(c.d)];
    if (i % 3 == 0) moved = std::nextafter(moved, static_cast<T>(random.below(2) == 0 ? -9 : 9));
  }
}

// Few distinct rows, most of them centers, some of them more than once.
template <class T>
void make_duplicates(Case<T>& c, Random& random) {
  constexpr size_t kDistinct = 5;
  for (size_t i = kDistinct; i < c.n; ++i)
    std::copy_n(c.rows.data() + random.below(kDistinct) * c.d, c.d, c.rows.data() + i * c.d);
  for (size_t i = 0; i < c.k; i += 2)
    std::copy_n(c.rows.data() + random.below(std::min(c.n, kDistinct)) * c.d, c.d, c.centers.data() + i * c.d);
}

// One column says nothing.
template <class T>
void make_constant(Case<T>& c, Random& random) {
  const size_t column = random.below(c.d);
  for (size_t i = 0; i < c.n; ++i) c.rows[i * c.d + column] = 3;
  for (size_t i = 0; i < c.k; ++i) c.centers[i * c.d + column] = 3;
}

}  // namespace

template <class T>
Case<T> make_case(Kind kind, size_t n, size_t k, size_t d) {
  Case<T> c;
  c.name = "kind " + std::to_string(static_cast<int>(kind)) + (sizeof(T) == 4 ? " float32" : " float64") +
           " n=" + std::to_string(n) + " k=" + std::to_string(k) + " d=" + std::to_string(d);
  c.n = n;
  c.k = k;
  c.d = d;
  Random random(n * 1000003 + k * 1009 + d);
  for (size_t i = 0; i < n * d; ++i) c.rows.push_back(static_cast<T>(value_of<T>(kind, random)));
  for (size_t i = 0; i < k * d; ++i) c.centers.push_back(static_cast<T>(value_of<T>(kind, random)));
  if (kind == Kind::kTies) make_ties(c, random);
  if (kind == Kind::kDuplicates) make_duplicates(c, random);
  if (kind == Kind::kConstant) make_constant(c, random);
  return c;
}
template Case<float> make_case(Kind, size_t, size_t, size_t);
template Case<double> make_case(Kind, size_t, size_t, size_t);

std::vector<Shape> shapes(size_t block) {
  const size_t rows[] = {1, 2, 3, 5, 8, 9, block - 1, block, block + 1, 2 * block + 7};
  std::vector<Shape> result;
  for (size_t d = 1; d <= 130; ++d) result.push_back({rows[d % std::size(rows)], 1 + d * 37 % 70, d});
  for (size_t k = 1; k <= 70; ++k) result.push_back({rows[k * 7 % std::size(rows)], k, 1 + k * 5 % 19});
  return result;
}

}  // namespace macqueen::test
