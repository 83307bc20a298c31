#include "center_cells.hpp"

#include <cmath>
#include <limits>
#include <utility>

#include "sample_span.hpp"
#include "step.hpp"

namespace macqueen {

namespace {

constexpr unsigned kCodeBits = 32, kMostBits = 10;  // of a cell, of one of its coordinates
constexpr unsigned kTopBits = 12;                   // of a cell that is found at once
constexpr size_t kSampleRows = 4096, kTrialRows = 256;
constexpr size_t kMostNames =
    size_t{1} << 20;  // of all lists, beside one for each row: they take about as much as rows

size_t stride_of(size_t n, size_t rows) { return (n + rows - 1) / rows; }

// Whether rows gain more by cutting a cell of `names` centers into `parts` than that takes. In cycles: a vector of
// centers takes a row some 10, and to find those near a part some 30; halving the list is what can be hoped for.
bool worth_cutting(size_t names, double rows, size_t parts) {
  const double vectors = static_cast<double>(names) / kCellCenters;
  return names > kCellCenters && rows * 5 * vectors > static_cast<double>(parts) * (30 * vectors + 300);
}

}  // namespace

template <class T>
CenterCells<T>::CenterCells(Threads& threads, const Centers<T>& centers, const T* rows, size_t n) : d_(centers.d()) {
  const PinFloatingPoint pin;
  const auto dims = static_cast<unsigned>(d_);
  table_.bits = std::min(kMostBits, kCodeBits / dims);
  table_.top_bits = std::min(table_.bits, kTopBits / dims);
  if (!span(rows, n)) return;
  split(threads, centers, n, sample_codes(rows, n));
  fill_lists(threads, centers);
  fill_tops();
  table_.d = d_;
  table_.low = low_.data();
  table_.scale = scale_.data();
  table_.nodes = nodes_.data();
  table_.tops = tops_.data();
  table_.columns = columns_.data();
  table_.names = names_.data();
  std::vector<T> sample;
  for (size_t i = 0; i < n; i += stride_of(n, kTrialRows)) {
    sample.insert(sample.end(), rows + i * d_, rows + (i + 1) * d_);
  }
  const size_t tried = sample.size() / d_;
  std::vector<int32_t> labels(tried);
  size_t looked_at = 0;
  const size_t open = row_kernels<T>(centers.kernels())
                          .cell_labels(sample.data(), tried, table_, centers.values(), labels.data(), &looked_at);
  useful_ = 4 * open <= tried && 2 * looked_at <= (tried - open) * centers.k();
}

// Chooses the grid: cell of x along axis j = (x - low[j]) * scale[j]. Tells whether there is one.
template <class T>
bool CenterCells<T>::span(const T* rows, size_t n) {
  low_.resize(d_);
  std::vector<T> high(d_);
  sample_span(rows, n, d_, low_.data(), high.data());
  bool fits = true;
  for (size_t j = 0; j < d_; ++j) {
    // A little wider: few rows are beyond what the sample spans. A column that does not change has a width, too.
    const double least = static_cast<double>(low_[j]), most = static_cast<double>(high[j]);
    const double margin = std::max({(most - least) / 64, std::abs(least) * 0x1p-12, 0x1p-60});
    low_[j] = static_cast<T>(least - margin);
    scale_.push_back(static_cast<T>(std::ldexp(1 / (most - least + 3 * margin), static_cast<int>(table_.bits))));
    fits &= std::isfinite(low_[j]) && std::isnormal(scale_[j]);
  }
  return fits;
}

// The box of a cell, with all rows that rounding can bring into it: the product is at least x (1 - 3u), so that a
// margin of 2^-20 of each border's distance from low, and of a few roundings of float64, holds them.
template <class T>
void CenterCells<T>::box_of(const size_t* cell, unsigned level, T* low, T* high) const {
  constexpr T kInfinity = std::numeric_limits<T>::infinity();
  for (size_t j = 0; j < d_; ++j) {
    const double origin = static_cast<double>(low_[j]), scale = static_cast<double>(scale_[j]);
    const double first = std::ldexp(static_cast<double>(cell[j]), static_cast<int>(table_.bits - level));
    const double last = std::ldexp(static_cast<double>(cell[j] + 1), static_cast<int>(table_.bits - level));
    const double spare = (std::abs(origin) + last / scale) * 0x1p-48;
    const double below = origin + first * (1 - 0x1p-20) / scale - spare;
    const double above = origin + last * (1 + 0x1p-20) / scale + spare;
    low[j] = std::nextafter(static_cast<T>(below), -kInfinity);
    high[j] = std::nextafter(static_cast<T>(above), kInfinity);
  }
}

// The codes of a sample of rows, ascending; rows outside have none.
template <class T>
std::vector<uint32_t> CenterCells<T>::sample_codes(const T* rows, size_t n) const {
  std::vector<uint32_t> codes;
  const T cells = static_cast<T>(size_t{1} << table_.bits);
  for (size_t i = 0; i < n; i += stride_of(n, kSampleRows)) {
    uint32_t code = 0;
    bool inside = true;
    for (size_t j = 0; j < d_ && inside; ++j) {
      const T along = (rows[i * d_ + j] - low_[j]) * scale_[j];
      inside = along >= 0 && along < cells;
      const uint32_t cell = inside ? static_cast<uint32_t>(along) : 0;
      for (unsigned bit = 0; bit < table_.bits; ++bit) code |= (cell >> bit & 1) << (d_ * bit + d_ - 1 - j);
    }
    if (inside) codes.push_back(code);
  }
  std::sort(codes.begin(), codes.end());
  return codes;
}

// Cuts cells into smaller ones, level by level, where it pays and the lists do not grow too long.
template <class T>
void CenterCells<T>::split(Threads& threads, const Centers<T>& centers, size_t n, const std::vector<uint32_t>& codes) {
  std::vector<Part> open(1);
  for (size_t c = 0; c < centers.k(); ++c) open[0].names.push_back(static_cast<int32_t>(c));
  open[0].end = codes.size();
  nodes_.push_back({-1, 0, 0});
  const double rows_each = static_cast<double>(n) / static_cast<double>(codes.size() + 1);
  const size_t pieces = size_t{1} << d_;
  size_t names = centers.k();  // of all lists
  for (unsigned level = 0; !open.empty(); ++level) {
    std::vector<Part> next, cut;
    for (Part& part : open) {
      const double rows = rows_each * static_cast<double>(part.end - part.begin);
      const size_t more = part.names.size() * pieces / 2;  // as far as can be foretold
      const bool fits = names + more <= kMostNames + n;
      const bool pays = level < table_.bits && fits && worth_cutting(part.names.size(), rows, pieces);
      names += pays ? more : 0;
      (pays ? cut : leaves_).push_back(std::move(part));
    }
    std::vector<std::vector<Part>> made(cut.size());
    threads.run(cut.size(), [&](int, size_t i) { made[i] = parts_of(centers, cut[i], level + 1, codes); });
    for (size_t i = 0; i < cut.size(); ++i) {
      names -= cut[i].names.size() * pieces / 2;
      nodes_[cut[i].node].inner = static_cast<int32_t>(nodes_.size());
      for (Part& part : made[i]) {
        names += part.names.size();
        part.node = nodes_.size();
        nodes_.push_back({-1, 0, 0});
        next.push_back(std::move(part));
      }
    }
    open.swap(next);
  }
}

// The 2^d parts of a cell, in the order of their codes.
template <class T>
std::vector<typename CenterCells<T>::Part> CenterCells<T>::parts_of(const Centers<T>& centers, const Part& whole,
                                                                    unsigned level,
                                                                    const std::vector<uint32_t>& codes) const {
  const auto& kernels = row_kernels<T>(centers.kernels());
  CenterList<T> above, list;
  above.gather(whole.names.data(), whole.names.size(), centers.values(), d_);
  list.reserve(above.count(), d_);
  std::vector<Part> parts(size_t{1} << d_);
  const unsigned shift = static_cast<unsigned>(d_) * (table_.bits - level);
  size_t begin = whole.begin;
  for (size_t p = 0; p < parts.size(); ++p) {
    T low[kMostBoxDims], high[kMostBoxDims];
    for (size_t j = 0; j < d_; ++j) parts[p].cell[j] = 2 * whole.cell[j] + (p >> (d_ - 1 - j) & 1);
    box_of(parts[p].cell, level, low, high);
    const auto near = static_cast<size_t>(above.middle(kernels, low, high, d_));
    list.take(kernels, low, high, centers.values() + near * d_, d_, above, nullptr);
    parts[p].names.assign(list.names(), list.names() + list.count());
    parts[p].begin = begin;
    while (begin < whole.end && (codes[begin] >> shift & (parts.size() - 1)) == p) ++begin;
    parts[p].end = begin;
  }
  return parts;
}

template <class T>
void CenterCells<T>::fill_lists(Threads& threads, const Centers<T>& centers) {
  size_t vectors = 0;
  for (const Part& leaf : leaves_) {
    nodes_[leaf.node].first = static_cast<int32_t>(vectors);
    nodes_[leaf.node].count = static_cast<int32_t>(leaf.names.size());
    vectors += (leaf.names.size() + kCellCenters - 1) / kCellCenters;
  }
  // Where there is no center, the largest number: its distance is infinite, or nearly so.
  columns_.assign(vectors * d_ * kCellCenters, std::numeric_limits<T>::max());
  names_.resize(vectors * kCellCenters);
  constexpr size_t kLeaves = 64;
  threads.run((leaves_.size() + kLeaves - 1) / kLeaves, [&](int, size_t task) {
    for (size_t i = task * kLeaves; i < std::min(leaves_.size(), (task + 1) * kLeaves); ++i) {
      const size_t first = static_cast<size_t>(nodes_[leaves_[i].node].first);
      for (size_t c = 0; c < leaves_[i].names.size(); ++c) {
        const size_t vector = first + c / kCellCenters, lane = c % kCellCenters;
        const int32_t name = leaves_[i].names[c];
        names_[vector * kCellCenters + lane] = name;
        const T* center = centers.values() + static_cast<size_t>(name) * d_;
        for (size_t j = 0; j < d_; ++j) columns_[(vector * d_ + j) * kCellCenters + lane] = center[j];
      }
    }
  });
}

template <class T>
void CenterCells<T>::fill_tops() {
  tops_.resize(size_t{1} << (d_ * table_.top_bits));
  for (size_t code = 0; code < tops_.size(); ++code) {
    int32_t node = 0;
    for (unsigned level = 1; level <= table_.top_bits && nodes_[static_cast<size_t>(node)].inner >= 0; ++level) {
      const size_t part = code >> (d_ * (table_.top_bits - level)) & ((size_t{1} << d_) - 1);
      node = nodes_[static_cast<size_t>(node)].inner + static_cast<int32_t>(part);
    }
    tops_[code] = node;
  }
}

template class CenterCells<float>;
template class CenterCells<double>;

}  // namespace macqueen
