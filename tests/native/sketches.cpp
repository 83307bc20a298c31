// Sketches at their ends: sums and products near those of 32 bits, a center too far, a block of one row.
#include "bounded_rows.hpp"
#include "check.hpp"
#include "dispatch.hpp"
#include "step.hpp"

namespace macqueen {
extern const Kernels kernels_emulated_tiles;
}  // namespace macqueen

namespace macqueen::test {

namespace {

// The tables of this processor, and that of tiles.cpp where it can run all but these.
std::vector<const Kernels*> tables() {
  std::vector<const Kernels*> result = available_kernels();
#if defined(__x86_64__)
  for (const Kernels* kernels : available_kernels()) {
    if (kernels->requires_features == kernels_emulated_tiles.requires_features) {
      result.push_back(&kernels_emulated_tiles);
    }
  }
#endif
  return result;
}

// Centers that move, by less each time: at first most rows of a block look at a group, then few, in lists of all
// lengths.
void moving_centers(Threads& threads) {
  for (const Kind kind : {Kind::kNormal, Kind::kTies, Kind::kClouds, Kind::kFar}) {
    for (const size_t d : {8, 50, 64, 65, 126, 256, 321}) {
      Case<float> c = make_case<float>(kind, 600, 70, d);
      for (const Kernels* kernels : tables()) {
        if (!kernels->sketch_tails) continue;
        BoundedRows<float> rows(threads, *kernels, c.rows.data(), c.n, d, {std::vector<double>(d, 0.0), {}, 0});
        std::vector<float> at = c.centers;
        for (int step = 0; step < 6; ++step) {
          const Centers<float> centers(*kernels, at.data(), c.k, d);
          Totals found(c.k, d), wanted(c.k, d);
          std::vector<int32_t> expected(c.n);
          Workspace workspace;
          rows.begin_step(threads, centers);
          rows.step_blocks(threads, centers, 0, rows.blocks());
          rows.end_step(threads, found);
          accumulate(threads, centers, c.rows.data(), c.n, PassOptions{true, false}, workspace, wanted,
                     expected.data());
          check(rows.labels() == expected, c.name + ", moving centers on " + kernels->name);
          check(found.counts == wanted.counts, "counts of moving centers");
          for (size_t i = 0; i < at.size(); ++i) {  // towards another row each
            at[i] += (c.rows[(i / d * 7 + static_cast<size_t>(step)) % c.n * d + i % d] - at[i]) / (4 << 2 * step);
          }
        }
      }
    }
  }
}

// Rows and centers at 1 or -1 in every coordinate, or nearly: products of 127 and 127 would pass 2^31.
Case<float> wide_case(size_t d) {
  Case<float> c{"wide rows", 4, 3, d, {}, {}};
  for (size_t i = 0; i < c.n * d; ++i) c.rows.push_back(i / d % 2 == 0 ? 1.0f : -1.0f);
  for (const float value : {-0.9f, 0.25f, 0.9f}) c.centers.insert(c.centers.end(), d, value);
  return c;
}

// One center so far off that it has no sketch, and a last block of one row: what lies beside it is no row.
void far_center(Threads& threads) {
  Case<float> c = make_case<float>(Kind::kNormal, 257, 40, 48);
  std::vector<double> axes(4 * c.d, 0.0);
  for (size_t a = 0; a < 4; ++a) axes[a * c.d + a] = 1;
  for (const Kernels* kernels : tables()) {
    std::vector<SketchPlan> plans{{std::vector<double>(c.d, 0.0), {}, c.d}};
    if (kernels->sketch_tails) {
      plans.push_back({std::vector<double>(c.d, 0.0), {}, 0});
      plans.push_back({std::vector<double>(c.d, 0.0), axes, 4});
    }
    for (const SketchPlan& plan : plans) {
      BoundedRows<float> rows(threads, *kernels, c.rows.data(), c.n, c.d, plan);
      for (const float size : {1e25f, 1.0f, 1e30f}) {
        std::vector<float> at = c.centers;
        for (size_t j = 0; j < c.d; ++j) at[7 * c.d + j] *= size;
        const Centers<float> centers(*kernels, at.data(), c.k, c.d);
        Totals found(c.k, c.d), wanted(c.k, c.d);
        std::vector<int32_t> expected(c.n);
        Workspace workspace;
        rows.begin_step(threads, centers);
        rows.step_blocks(threads, centers, 0, rows.blocks());
        rows.end_step(threads, found);
        accumulate(threads, centers, c.rows.data(), c.n, PassOptions{true, false}, workspace, wanted, expected.data());
        check(rows.labels() == expected, "labels beside a far center on " + std::string(kernels->name));
        check(found.counts == wanted.counts, "counts beside a far center");
      }
    }
  }
}

}  // namespace

void test_sketches() {
  Threads threads(1);
  far_center(threads);
  moving_centers(threads);
  for (const size_t d : {131072, 140000, 300001}) {
    const Case<float> c = wide_case(d);
    for (const Kernels* kernels : tables()) {
      if (!kernels->sketch_tails) continue;
      BoundedRows<float> rows(threads, *kernels, c.rows.data(), c.n, d, {std::vector<double>(d, 0.0), {}, 0});
      const Centers<float> centers(*kernels, c.centers.data(), c.k, d);
      Totals totals(c.k, d);
      rows.begin_step(threads, centers);
      rows.step_blocks(threads, centers, 0, rows.blocks());
      const BoundedStep step = rows.end_step(threads, totals);
      check(rows.labels() == std::vector<int32_t>{2, 0, 2, 0}, c.name + " on " + kernels->name);
      check(step.hard == 0, "sketches tell the centers of wide rows apart");
    }
  }
}

}  // namespace macqueen::test
