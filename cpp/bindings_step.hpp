// A step over rows that are kept ready for many steps, as Python takes it: in parts where it is long, and all of it in
// one call where it is short.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <stdexcept>
#include <vector>

#include "bounded_rows.hpp"
#include "finish.hpp"

// What a pass has come to under its centers.
template <class T>
class Finished {
 public:
  template <class Value>
  using Array = nanobind::ndarray<nanobind::numpy, Value>;
  using Tuple = nanobind::typed<nanobind::tuple, Array<T>, Array<int64_t>, int, double>;

  Finished(macqueen::Threads& threads, const macqueen::Centers<T>& centers, const macqueen::Totals& totals,
           const T* before)
      : k_(totals.k), d_(totals.d), means_(new T[k_ * d_]), counts_(new int64_t[k_]) {
    cost_ = macqueen::finish<T>(threads, centers, totals, totals.squares, before, means_.get());
    std::copy(totals.counts.begin(), totals.counts.end(), counts_.get());
    emptied_ = std::count(totals.counts.begin(), totals.counts.end(), 0);
  }

  // (means (k, d), counts (k,), how many of them are 0, cost); the arrays become Python's.
  Tuple take() {
    return nanobind::make_tuple(array(std::move(means_), {k_, d_}), array(std::move(counts_), {k_}), emptied_, cost_);
  }

 private:
  template <class Value>
  static Array<Value> array(std::unique_ptr<Value[]> values, std::initializer_list<size_t> shape) {
    Value* const data = values.release();
    const nanobind::capsule owner(data, [](void* p) noexcept { delete[] static_cast<Value*>(p); });
    return Array<Value>(data, shape, owner);
  }

  size_t k_, d_;
  std::unique_ptr<T[]> means_;
  std::unique_ptr<int64_t[]> counts_;
  std::ptrdiff_t emptied_;
  double cost_;
};

// Begins a step of BoundedRows<T>, PackedRows<T> or PairBounds<T>.
template <class T, class Rows>
void begin_step(Rows& rows, macqueen::Threads& threads, const macqueen::Centers<T>& centers) {
  if constexpr (requires { rows.begin_step(centers); }) {
    rows.begin_step(centers);
  } else {
    rows.begin_step(threads, centers);
  }
}

// Labels blocks; returns the first row that was refused. BoundedRows are given no such rows.
template <class T, class Rows>
int64_t step_blocks(Rows& rows, macqueen::Threads& threads, const macqueen::Centers<T>& centers, size_t begin,
                    size_t end) {
  if constexpr (requires { int64_t{rows.step_blocks(threads, centers, begin, end)}; }) {
    return rows.step_blocks(threads, centers, begin, end);
  } else {
    rows.step_blocks(threads, centers, begin, end);
    return macqueen::kAllFinite;
  }
}

// Defines what these classes share: .def(StepOf<T, Rows>()).
template <class T, class Rows>
struct StepOf : nanobind::def_visitor<StepOf<T, Rows>> {
  using Made = nanobind::typed<nanobind::tuple, int, macqueen::BoundedStep, nanobind::object>;

  void execute(nanobind::class_<Rows>& bound) {
    using namespace nanobind::literals;
    bound.def_prop_ro("blocks", &Rows::blocks, "How many blocks of rows a step has.");
    bound.def(
        "step",
        [](Rows& rows, macqueen::Threads& threads, const macqueen::Centers<T>& centers, macqueen::Totals& totals,
           size_t begin, size_t end) -> Made {
          const size_t k = centers.k(), d = centers.d();
          const bool fits = d == rows.d() && (rows.k() == k || (rows.k() == 0 && begin == 0));
          if (!fits || totals.k != k || totals.d != d || begin > end || end > rows.blocks()) {
            throw std::invalid_argument("centers, totals and blocks must fit the rows and the calls before");
          }
          int64_t refused;
          macqueen::BoundedStep done;
          std::optional<Finished<T>> finished;
          {
            nanobind::gil_scoped_release release;
            if (begin == 0) begin_step(rows, threads, centers);
            refused = step_blocks(rows, threads, centers, begin, end);
            if (refused == macqueen::kAllFinite && end == rows.blocks()) {
              done = rows.end_step(threads, totals);
              finished.emplace(threads, centers, totals, centers.values());
            }
          }
          const nanobind::object result = finished ? nanobind::object(finished->take()) : nanobind::none();
          return nanobind::make_tuple(refused, done, result);
        },
        "threads"_a, "centers"_a, "totals"_a, "begin"_a, "end"_a,
        "Labels blocks of rows; block 0 begins a step, and the last one ends it and adds all rows to `totals`. Returns "
        "the first row that cannot be clustered (after which the object cannot be used) or -1, what the step did, and, "
        "when it has ended, what `finish` returns.");
  }
};
