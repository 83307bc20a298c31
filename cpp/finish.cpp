#include "finish.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

namespace macqueen {

namespace {

constexpr size_t kCellsPerPart = 1 << 11;  // whose rounded sums stay in the cache
constexpr size_t kCellsPerTask = 1 << 15;  // 20 to 50 microseconds

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
    const size_t left = kernels_.round_cells(planes_.data(), sums_.width(), sums_.first(), begin, count, high, low);
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

size_t clusters_per_part(size_t d) { return std::max<size_t>(1, kCellsPerPart / d); }

// The part of the cost that the clusters [begin, end) take off, and their means.
template <class T>
Terms finish_clusters(const Centers<T>& centers, const Totals& totals, const Rounder& rounder, size_t begin, size_t end,
                      const T* before, T* means) {
  const auto& functions = row_kernels<T>(centers.kernels());
  const size_t d = totals.d, each = clusters_per_part(d);
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

// How wrong the low part of a sum of terms can be, relative to their magnitudes. High parts are added without loss.
// What they leave, a 2^-53rd of the magnitudes each time, is added in float64: within a part at most 3 times for each
// of its cells, of which one after the other are at most `each * d`; then at most twice for each part and each task. N
// additions of N such numbers are wrong by N^2 2^-106 of the magnitudes.
double doubt_of(size_t k, size_t d) {
  const size_t each = clusters_per_part(d), parts = (k + each - 1) / each;
  const double additions = static_cast<double>(3 * each * d + 4 * parts + 64);
  return additions * additions * 0x1p-104;
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
  std::vector<Terms> tasks((k + clusters - 1) / clusters);
  threads.run(tasks.size(), [&](int, size_t i) {
    tasks[i] = finish_clusters(centers, totals, rounder, i * clusters, std::min(k, (i + 1) * clusters), before, means);
  });
  Terms terms;
  for (const Terms& task : tasks) terms.add(task);
  exact::Sums total(1);
  squares.total(&total);
  double q_high, q_low;
  total.rounded(0, &q_high, &q_low);
  const double lead = q_high - terms.high;
  const double part = lead - q_high;
  const double rest = ((q_high - (lead - part)) - (terms.high + part)) + (q_low - terms.low);
  const double doubt = doubt_of(k, d) * (terms.magnitude + q_high) + static_cast<double>(k * d + 16) * 0x1p-1060;
  const double lower = lead + (rest - doubt);
  if (std::isfinite(lower) && lower > 0 && lower == lead + (rest + doubt)) return lower;
  return exact::cost(squares, totals.sums, totals.counts.data(), centers.values(), k, d);
}
template double finish<float>(Threads&, const Centers<float>&, const Totals&, const exact::Sums&, const float*, float*);
template double finish<double>(Threads&, const Centers<double>&, const Totals&, const exact::Sums&, const double*,
                               double*);

}  // namespace macqueen
