#include "reading.hpp"

#include <algorithm>

#include "blocks.hpp"

namespace macqueen {

namespace {

// From this many on, and where they are more than a quarter of all, the screen saves less than it costs.
constexpr size_t kMostScreened = 128;

bool worth_screening(size_t m, size_t k) { return m <= kMostScreened && 4 * m <= k; }

struct Near {
  double distance;  // squared, as `squared_distance` rounds it
  int32_t index;
};

// What one thread works with.
template <class T>
class NearBuffers {
 public:
  NearBuffers(const Kernels& kernels, size_t k, size_t d, size_t m) {
    near_.resize(k);
    distances_.resize(k);
    if (!worth_screening(m, k)) return;
    assigning_.resize(kernels, 1, d);
    shorts_.resize(kernels, d);
    capacity_ = 4 * m + 4 * kernels.lanes;
    stride_ = capacity_ + kernels.lanes;
    bounds_.resize(kernels.block * stride_);
    names_.resize(bounds_.size());
    counts_.resize(kernels.block);
    tiles_.resize((kernels.block + kernels.tile) * (kNearCenters + kernels.lanes));
    threshold_.resize(kernels.block);
    sorting_.resize(stride_ + kernels.width);
  }

  // Finds the m nearest of each row of a block.
  void find(const Centers<T>& centers, const ShortScreen* short_screen, const T* rows, size_t n, size_t m,
            double factor, int32_t* indices, T* out) {
    const auto& kernels = row_kernels<T>(centers.kernels());
    const size_t d = centers.d();
    const bool screened = worth_screening(m, centers.k());
    if (screened) {
      const NearScratch near{tiles_.data(), capacity_,      stride_,           bounds_.data(),
                             names_.data(), counts_.data(), threshold_.data(), sorting_.data()};
      kernels.near_candidates(rows, n, centers.screen(), short_screen, assigning_.scratch(), shorts_.scratch(), m,
                              near);
    }
    for (size_t i = 0; i < n; ++i) {
      const bool some = screened && counts_[i] >= 0;
      const int32_t* list = some ? &names_[i * stride_] : nullptr;
      const size_t count = some ? static_cast<size_t>(counts_[i]) : centers.k();
      sort(centers, rows + i * d, list, count, m);
      for (size_t j = 0; j < m; ++j) {
        indices[i * m + j] = near_[j].index;
        out[i * m + j] = static_cast<T>(factor * near_[j].distance);
      }
    }
  }

 private:
  // The first m of the centers in list (count,), all where it is null, in their exact order.
  void sort(const Centers<T>& centers, const T* row, const int32_t* list, size_t count, size_t m) {
    const size_t d = centers.d();
    const auto& kernels = row_kernels<T>(centers.kernels());
    kernels.listed_distances(row, centers.values(), d, list, count, distances_.data());
    for (size_t i = 0; i < count; ++i) {
      near_[i] = {distances_[i], list == nullptr ? static_cast<int32_t>(i) : list[i]};
    }
    // As in `decide` of cpp/assign.hpp. What floating point cannot order is ordered exactly, so that this is the order
    // of the real distances throughout.
    const double relative = static_cast<double>(d + 8) * 0x1p-52;
    const double absolute = static_cast<double>(d) * 0x1p-1073;
    const auto center = [&](const Near& one) { return centers.values() + static_cast<size_t>(one.index) * d; };
    const auto nearer = [&](const Near& one, const Near& other) {
      const double gap = one.distance - other.distance;
      const double doubt = relative * (one.distance + other.distance) + absolute;
      if (gap > doubt || gap < -doubt) return gap < 0;
      if (one.index == other.index) return false;
      const int sign =
          kernels.compare_distances(row, center(one), center(other), d, std::max(one.distance, other.distance));
      return sign < 0 || (sign == 0 && one.index < other.index);
    };
    const auto first = near_.begin(), last = first + static_cast<std::ptrdiff_t>(count);
    const auto middle = first + static_cast<std::ptrdiff_t>(m);
    if (middle != last) std::nth_element(first, middle, last, nearer);
    std::sort(first, middle, nearer);
  }

  AssignBuffers assigning_;
  ShortBuffers shorts_;
  size_t capacity_ = 0, stride_ = 0;
  std::vector<float> tiles_, bounds_, threshold_, sorting_;
  std::vector<int32_t> names_, counts_;
  std::vector<Near> near_;
  std::vector<double> distances_;
};

}  // namespace

template <class T>
int64_t nearest(Threads& threads, const Centers<T>& centers, const T* rows, size_t n, size_t m, double factor,
                bool zero_rows_are_one, int32_t* indices, T* out) {
  const auto& kernels = row_kernels<T>(centers.kernels());
  const size_t k = centers.k(), d = centers.d();
  const bool shared = worth_sharing(threads.count(), n, k, d);
  std::vector<NearBuffers<T>> slots(static_cast<size_t>(shared ? threads.count() : 1),
                                    NearBuffers<T>(centers.kernels(), k, d, m));
  const ShortScreen* short_screen = worth_screening(m, k) ? centers.short_screen(n) : nullptr;
  BadRow bad;
  for_blocks(threads, n, centers.kernels().block, shared, [&](int slot, size_t begin, size_t count) {
    if (bad.found_before(begin)) return;
    const T* block = rows + begin * d;
    if (kernels.largest(block, count * d) >= first_refused_bits<T>()) {
      bad.note(begin + first_bad_row(centers.kernels(), block, count, d));
      return;
    }
    slots[static_cast<size_t>(slot)].find(centers, short_screen, block, count, m, factor, indices + begin * m,
                                          out + begin * m);
    for (size_t i = begin; zero_rows_are_one && i < begin + count; ++i) {
      if (kernels.largest(rows + i * d, d) != 0) continue;
      for (size_t j = 0; j < m; ++j) indices[i * m + j] = static_cast<int32_t>(j);
      std::fill_n(out + i * m, m, T{1});
    }
  });
  return bad.get();
}

#define MACQUEEN_INSTANTIATE(T) \
  template int64_t nearest<T>(Threads&, const Centers<T>&, const T*, size_t, size_t, double, bool, int32_t*, T*);
MACQUEEN_INSTANTIATE(float)
MACQUEEN_INSTANTIATE(double)

}  // namespace macqueen
