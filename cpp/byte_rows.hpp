// A copy of rows in memory in 8-bit integers, on a grid that is settled by a sample of them (cpp/bytes.hpp).
#pragma once

#include <memory>
#include <vector>

#include "huge_memory.hpp"
#include "lines.hpp"
#include "step.hpp"

namespace macqueen {

template <class T>
class ByteRows {
 public:
  // Whether few enough clusters and columns that a copy may be had beside a byte for each pair of a row and a center.
  static bool fits(size_t k, size_t d);

  // Rows (n, d), whose first values settle the grid.
  ByteRows(const Kernels& kernels, const T* rows, size_t n, size_t d);

  // Copies rows (count, d), of which `first` is the index of the first one. Returns the most that any value of these
  // rows may be, NaN or infinity where one is no number or infinite.
  double copy(const Kernels& kernels, const T* rows, size_t first, size_t count);
  // Values on the grid are below 2^top, and so are their rows, where these are not far from it.
  int top() const { return top_; }
  // Puts the centers of a step on their grids.
  void place(const Centers<T>& centers);

  const ByteGrid& grid() const { return grid_; }
  const ByteCenters& centers() const { return centers_; }
  const uint8_t* bytes(size_t row) const { return bytes_ + row * grid_.d; }
  float norm(size_t row) const { return norms_[row]; }    // |q - m|^2
  float error(size_t row) const { return errors_[row]; }  // at least |t - q|

 private:
  struct Sample;
  void settle(const Kernels& kernels, const Sample& sample);
  void take_grid(const Sample& sample, const std::vector<double>& base, double low, double high);
  void find_middle(const Kernels& kernels, const T* rows, size_t n);
  double place_center(const Centers<T>& centers, size_t c);

  ByteGrid grid_{};
  std::vector<double> less_;
  Lines<float> narrow_less_, middle_;  // (d,) up to a whole vector, as less_
  int top_ = 0;
  double most_offset_ = 0;  // of `less`
  HugeMemory memory_;
  float *norms_, *errors_;  // (n,)
  uint8_t* bytes_;          // (n, d)

  ByteCenters centers_{};
  Lines<int8_t> values_;
  Lines<int32_t> offsets_;
  Lines<float> start_, factor_, center_errors_, between_;
  std::vector<double> ways_, squares_;  // scratch
};

}  // namespace macqueen
