#include "finish.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

namespace macqueen {

namespace {

constexpr size_t kCellsPerTask = 1 << 15;  // 20 to 50 microseconds
constexpr size_t kCellsPerPart = 1 << 11;  // whose rounded sums stay in the cache

// The digits of sums as the kernels take them.
class Rounder {
 public:
  Rounder(const Kernels& kernels, const exact::Sums& sums) : kernels_(kernels), sums_(sums) {
    for (int place = 0; place < sums.width(); ++place) planes_.push_back(sums.plane(place));
  }

  // high + low (count,) out: the cells from `begin` on.
  void round(size_t begin, size_t count, double* high, double* low) const {
    if (planes_.empty()) {
      std::fill_n(high, count, 0.0);
      std::fill_n(low, count, 0.0);
      return;
    }
    const size_t left =
        kernels_.round_cells(planes_.data(), sums_.width(), sums_.first(), begin, count, high, low);
    for (size_t i = 0; i < count && left != 0; ++i) {
      if (std::isnan(low[i])) sums_.rounded(begin + i, high + i, low + i);
    }
  }

 private:
  const Kernels& kernels_;
  const exact::Sums& sums_;
  std::vector<const int64_t*> planes_;
};

// A sum in two parts, and the sum of the magnitudes of what was added.
struct Terms {
  double high = 0, low = 0, magnitude = 0;

  void add(const Terms& other) {
    const double sum = high + other.high, part = sum - high;
    low += ((high - (sum - part)) + (other.high - part)) + other.low;
    high = sum;
    magnitude += other.magnitude;
  }
};

// The part of the cost that the clusters [begin, end) take off, and their means.
template <class T>
Terms finish_clusters(const Centers<T>& centers, const Totals& totals, const Rounder& rounder, size_t begin, size_t end,
                      const T* before, T* means) {
  const auto& functions = row_kernels<T>(centers.kernels());
  const size_t d = totals.d, each = std::max<size_t>(1, kCellsPerPart / d);
  std::vector<double> high(each * d), low(each * d);
  Terms sum;
  for (size_t first = begin; first < end; first += each) {
    const size_t count = std::min(each, end - first);
    rounder.round(first * d, count * d, high.data(), low.data());
    Terms terms;
    functions.cost_terms(high.data(), low.data(), &totals.counts[first], centers.values() + first * d, count, d,
                         &terms.high, &terms.low, &terms.magnitude);
    sum.add(terms);
    for (size_t c = first; c < first + count; ++c) {
      if (totals.counts[c] == 0) {
        std::copy_n(before + c * d, d, means + c * d);
      } else {
        functions.mean(&high[(c - first) * d], static_cast<double>(totals.counts[c]), d, means + c * d);
      }
    }
  }
  return sum;
}

}  // namespace

void round_sums(Threads& threads, const Kernels& kernels, const exact::Sums& sums, double* high, double* low) {
  const Rounder rounder(kernels, sums);
  threads.run((sums.cells() + kCellsPerTask - 1) / kCellsPerTask, [&](int, size_t i) {
    const size_t begin = i * kCellsPerTask;
    rounder.round(begin, std::min(kCellsPerTask, sums.cells() - begin), high + begin, low + begin);
  });
}

template <class T>
double finish(Threads& threads, const Centers<T>& centers, const Totals& totals, const exact::Sums& squares,
              const T* before, T* means) {
  const PinFloatingPoint pin;
  const Rounder rounder(centers.kernels(), totals.sums);
  const size_t k = totals.k, d = totals.d, clusters = std::max<size_t>(1, kCellsPerTask / d);
  std::vector<Terms> parts((k + clusters - 1) / clusters);
  threads.run(parts.size(), [&](int, size_t i) {
    parts[i] = finish_clusters(centers, totals, rounder, i * clusters, std::min(k, (i + 1) * clusters), before, means);
  });
  Terms terms;
  for (const Terms& part : parts) terms.add(part);
  exact::Sums total(1);
  squares.total(&total);
  double q_high, q_low;
  total.rounded(0, &q_high, &q_low);
  // Two-sum of the leading parts; then the rest. N additions of errors of errors: N^2 2^-104 of the magnitudes.
  const double lead = q_high - terms.high;
  const double part = lead - q_high;
  const double rest = ((q_high - (lead - part)) - (terms.high + part)) + (q_low - terms.low);
  const double cells = static_cast<double>(k * d + 16 * parts.size());
  const double doubt = cells * cells * 0x1p-104 * (terms.magnitude + q_high) + cells * 0x1p-1060;
  const double lower = lead + (rest - doubt);
  if (std::isfinite(lower) && lower > 0 && lower == lead + (rest + doubt)) return lower;
  return exact::cost(squares, totals.sums, totals.counts.data(), centers.values(), k, d);
}
template double finish<float>(Threads&, const Centers<float>&, const Totals&, const exact::Sums&, const float*, float*);
template double finish<double>(Threads&, const Centers<double>&, const Totals&, const exact::Sums&, const double*,
                               double*);

}  // namespace macqueen
