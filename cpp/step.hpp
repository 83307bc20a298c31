// One pass of many rows over many threads: cuts rows into blocks, calls the kernels, merges exact sums.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "exact.hpp"
#include "kernels.hpp"
#include "labelling.hpp"
#include "lines.hpp"
#include "parallel.hpp"

namespace macqueen {

constexpr int64_t kAllFinite = -1;

// The copy of centers (k, d) that the screen reads.
struct PackedCenters {
  template <class T>
  PackedCenters(const Kernels& kernels, const T* centers, size_t k, size_t d);

  Screen screen{};

 private:
  Lines<double> origin_, width_, width_norm_;
  Lines<float> narrow_origin_, packed_, start_;
};

// Centers made ready for one step.
template <class T>
class Centers {
 public:
  Centers(const Kernels& kernels, const T* centers, size_t k, size_t d)
      : kernels_(kernels), k_(k), d_(d), values_(centers, centers + k * d) {}

  size_t k() const { return k_; }
  size_t d() const { return d_; }
  const T* values() const { return values_.data(); }
  const Kernels& kernels() const { return kernels_; }
  // Packed when it is first asked for, by any thread: steps over bounds rarely do.
  const Screen& screen() const {
    std::call_once(once_, [this] { packed_ = std::make_unique<PackedCenters>(kernels_, values_.data(), k_, d_); });
    return packed_->screen;
  }
  // The 16-bit screen, made when rows (n, d) are first worth it; null where they are not, or it does not fit.
  const ShortScreen* short_screen(size_t n) const {
    if (!worth_short_screen(n, k_)) return nullptr;
    std::call_once(short_once_, [this] { short_ = std::make_unique<ShortCenters<T>>(kernels_, values(), screen()); });
    return short_->screen();
  }

 private:
  const Kernels& kernels_;
  size_t k_, d_;
  Lines<T> values_;
  mutable std::once_flag once_;
  mutable std::unique_ptr<PackedCenters> packed_;
  mutable std::once_flag short_once_;
  mutable std::unique_ptr<ShortCenters<T>> short_;
};

// What one pass adds up. Objects are additive: `merge` them in any order.
struct Totals {
  Totals(size_t k, size_t d) : k(k), d(d), sums(k * d), squares(d), counts(k, 0) {}

  size_t k, d;
  exact::Sums sums;             // (k, d) of the rows of each cluster
  exact::Sums squares;          // (d,) of the squared coordinates
  std::vector<int64_t> counts;  // (k,)
  int64_t zero_rows = 0;        // rows left out because all their coordinates are 0

  void merge(const Totals& other);
};

// Per-thread buffers, kept from step to step so that small steps allocate nothing.
class Workspace {
 public:
  struct Slot;
  explicit Workspace(bool slim = false);
  Workspace(const Workspace&) = delete;
  ~Workspace();

  // The slots for `threads` threads, sized for these centers.
  template <class T>
  std::vector<std::unique_ptr<Slot>>& slots(const Centers<T>& centers, int threads);

  bool slim() const { return slim_; }  // nothing may be made that grows with the rows

 private:
  std::vector<std::unique_ptr<Slot>> slots_;
  bool slim_;
};

struct PassOptions {
  bool squares;         // also add up squares
  bool skip_zero_rows;  // rows of zeros get label 0 and are not added (cosine)
  bool known = false;   // labels are given
};

// Labels rows (n, d) and adds them to `totals` (in/out). Returns kAllFinite, or the first row with a NaN, an
// infinity or, in float64, a magnitude beyond 1e150; then `totals` is not to be used. `labels` (n,) out, in where they
// are known; may be null where they are not.
template <class T>
int64_t accumulate(Threads& threads, const Centers<T>& centers, const T* rows, size_t n, PassOptions options,
                   Workspace& workspace, Totals& totals, int32_t* labels);

// Labels rows (n, d) into `labels` (n,), in where they are known, and, unless null, their squared distances into
// `distances` (n,).
template <class T>
int64_t assign(Threads& threads, const Centers<T>& centers, const T* rows, size_t n, bool skip_zero_rows,
               int32_t* labels, double* distances, bool known = false);

// factor * squared distances of rows (n, d) to all centers into out (n, k); zero rows get 1 where asked for.
template <class T>
int64_t distances(Threads& threads, const Centers<T>& centers, const T* rows, size_t n, double factor,
                  bool zero_rows_are_one, T* out);

// rows (n, d) over their length into out (n, d). Returns as `accumulate`.
template <class T>
int64_t normalize(Threads& threads, const Kernels& kernels, const T* rows, size_t n, size_t d, T* out);

// The first row of (n, d) that `accumulate` would refuse, or kAllFinite.
template <class T>
int64_t first_refused_row(Threads& threads, const Kernels& kernels, const T* rows, size_t n, size_t d);

}  // namespace macqueen
