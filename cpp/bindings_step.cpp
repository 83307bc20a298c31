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
      [](Threads& threads, const Centers<T>& centers, Totals& totals, const Totals* earlier) {
        const size_t k = totals.k, d = totals.d;
        if (centers.k() != k || centers.d() != d || (earlier != nullptr && earlier->d != d)) {
          throw std::invalid_argument("centers and totals of the same pass");
        }
        std::optional<Finished> finished;
        {
          nb::gil_scoped_release release;
          if (earlier != nullptr) {
            const exact::Sums& squares = earlier->squares;
            totals.squares.assign(squares.first(), squares.width(), squares.digits().data());
          }
          finished.emplace(threads, centers, totals);
        }
        return finished->take();
      },
      "threads"_a, "centers"_a, "totals"_a, "earlier"_a.none() = nb::none(),
      "(sums (k, d) rounded to float64, counts (k,), how many of them are 0, cost) of a pass under these centers; "
      "`earlier`: another pass over the same rows, whose squares are taken.");
}

}  // namespace

void bind_step(nb::module_& m) {
  bind_finish<float>(m);
  bind_finish<double>(m);
  m.def(
      "crc32c", [](const nb::bytes& data) { return crc32c(static_cast<const uint8_t*>(data.data()), data.size()); },
      "data"_a, "CRC-32C of bytes.");
}
