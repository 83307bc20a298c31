#include "bindings_step.hpp"

#include "bindings.hpp"
#include "checksum.hpp"

namespace nb = nanobind;
using namespace nb::literals;
using namespace macqueen;

namespace {

template <class T>
void bind_finish(nb::module_& m) {
  m.def(
      "finish",
      [](Threads& threads, const Centers<T>& centers, Totals& totals, Matrix<const T> before, const Totals* earlier) {
        if (centers.k() != totals.k || centers.d() != totals.d || (earlier != nullptr && earlier->d != totals.d)) {
          throw std::invalid_argument("centers and totals of the same pass");
        }
        if (before.shape(0) != centers.k() || before.shape(1) != centers.d()) {
          throw std::invalid_argument("before must be (k, d)");
        }
        std::optional<Finished<T>> finished;
        {
          nb::gil_scoped_release release;
          if (earlier != nullptr) totals.squares.share(earlier->squares);
          finished.emplace(threads, centers, totals, before.data());
        }
        return finished->take();
      },
      "threads"_a, "centers"_a, "totals"_a, array("before"), "earlier"_a.none() = nb::none(),
      "(means (k, d), `before` where there are no rows, counts (k,), how many are 0, cost) of a pass; `earlier`: "
      "totals of the same rows, whose squares are taken.");
}

}  // namespace

void bind_step(nb::module_& m) {
  bind_finish<float>(m);
  bind_finish<double>(m);
  m.def(
      "crc32c", [](const nb::bytes& data) { return crc32c(static_cast<const uint8_t*>(data.data()), data.size()); },
      "data"_a, "CRC-32C of bytes.");
}
