// Every way through a pass, on every instruction set and 1 to 3 threads, over some steps of k-means: the labels, exact
// sums, costs and centers of a plain pass on the scalar kernels. What these are is pinned below by checksums, so that
// machines that never meet can be compared: x86-64 and aarch64 have the same bits.
#include <array>
#include <bit>
#include <cinttypes>
#include <cmath>
#include <cstdio>
#include <functional>
#include <memory>

#include "axes.hpp"
#include "bounded_rows.hpp"
#include "box_index.hpp"
#include "check.hpp"
#include "dispatch.hpp"
#include "finish.hpp"
#include "grouping.hpp"
#include "packed_rows.hpp"
#include "pair_bounds.hpp"
#include "sorted_rows.hpp"

namespace macqueen::test {

namespace {

constexpr int kSteps = 4;

enum class Path { kPlain, kBoxes, kFloat32, kInt8, kAxes, kOnce, kPacked, kAnew, kPackedOnce, kPairs, kSorted };
constexpr struct {
  Path path;
  const char* name;
} kPaths[] = {{Path::kPlain, "plain"},
              {Path::kBoxes, "boxes"},
              {Path::kFloat32, "bounds, float32"},
              {Path::kInt8, "bounds, int8"},
              {Path::kAxes, "bounds, int8 and axes"},
              {Path::kOnce, "plain, labels by sketches"},
              {Path::kPacked, "packed"},
              {Path::kAnew, "packed, half made anew"},
              {Path::kPackedOnce, "plain, labels by packed rows"},
              {Path::kPairs, "pairs"},
              {Path::kSorted, "sorted"}};

// FNV-1a, 64 bits, of whole numbers: no byte order matters.
class Checksum {
 public:
  void add(uint64_t value) {
    for (int shift = 0; shift < 64; shift += 8) {
      hash_ ^= value >> shift & 0xff;
      hash_ *= 0x100000001b3;
    }
  }
  uint64_t get() const { return hash_; }

 private:
  uint64_t hash_ = 0xcbf29ce484222325;
};

// Checksums of the labels, costs and centers of all cases of a kind, float32 and float64.
constexpr uint64_t kExpected[std::size(kKinds)][2] = {
    {0xa2e12512d8b2ce7b, 0x1ce20cd358a19f72}, {0x8d30ddd24ed3eadf, 0x5b1040a458026619},
    {0x07eda01fbc0991aa, 0x59a815e054e11ff4}, {0x3975fc741cacb7ea, 0x119d887d2445c282},
    {0x7563c6b3fdc68d56, 0x18ff9e2a007679ab}, {0xe9d9e34e0ac847a1, 0xd9d084b833c2965a},
    {0xdc21f3cbc0f6b4e0, 0xa78b24012e34e9a5}, {0x591c642323350da4, 0x9a0fae800c539c35},
    {0xb9c7065261ed47e7, 0x36fe52bcbe0cfa5b}, {0x00cf311ba6ddf1cb, 0x61355ff6ec040876},
};

uint64_t bits(float value) { return std::bit_cast<uint32_t>(value); }
uint64_t bits(double value) { return std::bit_cast<uint64_t>(value); }

// What a step gives; sums and squares as (lowest digit, digits) in the form that equal sums share.
struct Answer {
  std::vector<int32_t> labels;  // (n,); empty where a path does not tell: a wrong one is seen in counts and sums
  std::vector<int64_t> counts;  // (k,)
  int sums_first, squares_first;
  std::vector<int64_t> sums, squares;
  uint64_t cost;
  std::vector<uint64_t> centers;  // (k, d), after the update

  bool operator==(const Answer& other) const {
    return (labels.empty() || other.labels.empty() || labels == other.labels) && counts == other.counts &&
           sums_first == other.sums_first && squares_first == other.squares_first && sums == other.sums &&
           squares == other.squares && cost == other.cost && centers == other.centers;
  }
};

// Adds all rows to the totals; fills labels (n,) where the path tells them.
template <class T>
using AddRows = std::function<void(const Centers<T>&, Totals&, std::vector<int32_t>& labels)>;

template <class T>
AddRows<T> plain(Threads& threads, const Case<T>& c) {
  return [&c, &threads, workspace = std::make_shared<Workspace>()](const Centers<T>& centers, Totals& totals,
                                                                   std::vector<int32_t>& labels) {
    labels.resize(c.n);
    accumulate(threads, centers, c.rows.data(), c.n, {true, false}, *workspace, totals, labels.data());
  };
}

template <class T>
AddRows<T> boxes(Threads& threads, const Kernels& kernels, const Case<T>& c) {
  auto index = std::make_shared<BoxIndex<T>>(threads, kernels, c.rows.data(), c.n, c.d);
  return [&threads, index](const Centers<T>& centers, Totals& totals, std::vector<int32_t>&) {
    index->accumulate(threads, centers, totals);
  };
}

// Origin and axes that suit the rows: whichever they are, no bit depends on them.
template <class T>
SketchPlan sketch_plan(Path path, const Kernels& kernels, const Case<T>& c) {
  SketchPlan plan{std::vector<double>(c.d, 0.0), {}, path == Path::kFloat32 ? c.d : 0, 1 + c.k % 3};
  for (size_t i = 0; i < c.n * c.d; ++i) {
    plan.origin[i % c.d] += static_cast<double>(c.rows[i]) / static_cast<double>(c.n);
  }
  if (path != Path::kAxes && path != Path::kOnce) return plan;
  std::vector<double> centered(c.n * c.d);
  double top = 0;
  for (size_t i = 0; i < c.n * c.d; ++i) {
    centered[i] = static_cast<double>(c.rows[i]) - plan.origin[i % c.d];
    top = std::max(top, std::abs(centered[i]));
  }
  for (double& value : centered) value /= top > 0 ? top : 1;
  plan.heads = (c.d + 3) / 4;
  plan.axes = principal_axes(kernels, centered.data(), c.n, c.d, plan.heads);
  return plan;
}

template <class T>
AddRows<T> bounds(Path path, Threads& threads, const Kernels& kernels, const Case<T>& c) {
  auto rows =
      std::make_shared<BoundedRows<T>>(threads, kernels, c.rows.data(), c.n, c.d, sketch_plan(path, kernels, c));
  return [&threads, rows](const Centers<T>& centers, Totals& totals, std::vector<int32_t>& labels) {
    rows->begin_step(threads, centers);
    rows->step_blocks(threads, centers, 0, rows->blocks() / 2);
    rows->step_blocks(threads, centers, rows->blocks() / 2, rows->blocks());
    rows->end_step(threads, totals);
    labels = rows->labels();
  };
}

// Sketched anew in each step, which keeps nothing.
template <class T>
AddRows<T> once(Path path, Threads& threads, const Kernels& kernels, const Case<T>& c) {
  return [path, &threads, &kernels, &c](const Centers<T>& centers, Totals& totals, std::vector<int32_t>& labels) {
    BoundedRows<T> rows(threads, kernels, c.rows.data(), c.n, c.d, sketch_plan(path, kernels, c));
    rows.label(threads, centers, grouped_places(threads, kernels, centers.values(), c.k, c.d));
    labels = rows.labels();
    Workspace workspace;
    accumulate(threads, centers, c.rows.data(), c.n, {true, false, true}, workspace, totals, labels.data());
  };
}

template <class T, class Rows>
AddRows<T> few(Threads& threads, const Case<T>& c, auto... options) {
  auto rows = std::make_shared<Rows>(c.rows.data(), c.n, c.d, options...);
  return [&threads, rows](const Centers<T>& centers, Totals& totals, std::vector<int32_t>& labels) {
    rows->begin_step(centers);
    rows->step_blocks(threads, centers, 0, rows->blocks() / 2);
    rows->step_blocks(threads, centers, rows->blocks() / 2, rows->blocks());
    rows->end_step(threads, totals);
    labels = rows->labels();
    labels.resize(rows->n());
  };
}

template <class T>
AddRows<T> packed_once(Threads& threads, const Case<T>& c) {
  return [&threads, &c](const Centers<T>& centers, Totals& totals, std::vector<int32_t>& labels) {
    PackedRows<T> rows(c.rows.data(), c.n, c.d, 0);
    BoundedStep done;
    check(rows.label(threads, centers, done) == kAllFinite, "labels by packed rows");
    labels = rows.labels();
    Workspace workspace;
    accumulate(threads, centers, c.rows.data(), c.n, {true, false, true}, workspace, totals, labels.data());
  };
}

template <class T>
AddRows<T> sorted(Threads& threads, const Case<T>& c) {
  auto rows = std::make_shared<SortedRows<T>>(threads, c.rows.data(), c.n);
  return [&threads, rows](const Centers<T>& centers, Totals& totals, std::vector<int32_t>&) {
    rows->accumulate(threads, centers, totals);
  };
}

template <class T>
bool can_take(Path path, const Kernels& kernels, Kind kind, const Case<T>& c) {
  if (path == Path::kPlain || path == Path::kPacked || path == Path::kAnew || path == Path::kPairs) return true;
  if (path == Path::kPackedOnce) return true;
  if (path == Path::kSorted) return c.d == 1;
  if (path == Path::kBoxes) return c.d <= kMostBoxDims;
  // Squares of their differences are no float64; the planner knows that (src/macqueen/engine/plan.py).
  if (sizeof(T) == 8 && (kind == Kind::kDenormal || kind == Kind::kExtreme)) return false;
  return path == Path::kFloat32 || kernels.sketch_tails;
}

template <class T>
AddRows<T> make_path(Path path, Threads& threads, const Kernels& kernels, const Case<T>& c) {
  if (path == Path::kPlain) return plain(threads, c);
  if (path == Path::kBoxes) return boxes(threads, kernels, c);
  if (path == Path::kPacked) return few<T, PackedRows<T>>(threads, c, c.n);
  if (path == Path::kAnew) return few<T, PackedRows<T>>(threads, c, c.n / 2);
  if (path == Path::kPackedOnce) return packed_once(threads, c);
  if (path == Path::kPairs) return few<T, PairBounds<T>>(threads, c);
  if (path == Path::kSorted) return sorted(threads, c);
  if (path == Path::kOnce) return once(path, threads, kernels, c);
  return bounds(path, threads, kernels, c);
}

template <class T>
std::vector<Answer> answers(const AddRows<T>& add_rows, Threads& threads, const Kernels& kernels, const Case<T>& c) {
  std::vector<Answer> result(kSteps);
  std::vector<T> centers = c.centers;
  for (Answer& answer : result) {
    Totals totals(c.k, c.d);
    const Centers<T> ready(kernels, centers.data(), c.k, c.d);
    add_rows(ready, totals, answer.labels);
    answer.cost = bits(finish(threads, ready, totals, totals.squares, ready.values(), centers.data()));
    totals.sums.canonicalize();
    totals.squares.canonicalize();
    answer.counts = totals.counts;
    answer.sums_first = totals.sums.first();
    answer.sums = totals.sums.digits();
    answer.squares_first = totals.squares.first();
    answer.squares = totals.squares.digits();
    for (const T value : centers) answer.centers.push_back(bits(value));
  }
  return result;
}

template <class T>
void compare(Kind kind, const Case<T>& c, std::array<std::unique_ptr<Threads>, 3>& pools, Checksum& checksum) {
  const Kernels& scalar = find_kernels("scalar");
  const std::vector<Answer> expected = answers(plain(*pools[0], c), *pools[0], scalar, c);
  for (const Answer& answer : expected) {
    for (const int32_t label : answer.labels) checksum.add(static_cast<uint64_t>(label));
    checksum.add(answer.cost);
    for (const uint64_t value : answer.centers) checksum.add(value);
  }
  for (const Kernels* kernels : available_kernels()) {
    for (const auto& [path, name] : kPaths) {
      if (!can_take(path, *kernels, kind, c)) continue;
      for (size_t threads = kFewSizes ? 2 : 1; threads <= 3; ++threads) {
        // Small cases are one block or two: any number of threads does the same.
        if (c.n < 1024 && threads != (kFewSizes ? 2 + c.d % 2 : 1 + c.d % 3)) continue;
        Threads* pool = pools[threads - 1].get();
        const std::vector<Answer> found = answers(make_path(path, *pool, *kernels, c), *pool, *kernels, c);
        for (size_t step = 0; step < kSteps; ++step) {
          check(found[step] == expected[step], std::string(name) + " on " + kernels->name + ", " +
                                                   std::to_string(pool->count()) + " threads, step " +
                                                   std::to_string(step) + " of " + c.name);
        }
      }
    }
  }
}

// Every d that boxes take, then around the ends of vectors, chunks and groups; rows around blocks of 256 and 1024, and
// enough of them for three threads.
constexpr Shape kShapes[] = {{1100, 24, 1}, {300, 3, 2},   {2100, 33, 3}, {257, 16, 4},  {255, 17, 5},  {1025, 15, 6},
                             {63, 130, 7},  {320, 9, 8},   {300, 65, 9},  {256, 15, 16}, {257, 48, 17}, {2100, 17, 12},
                             {33, 300, 33}, {129, 18, 64}, {65, 33, 81},  {128, 1, 12},  {17, 47, 130}, {1, 2, 3}};

template <class T>
void all_cases(std::array<std::unique_ptr<Threads>, 3>& pools) {
  for (size_t kind = 0; kind < std::size(kKinds); ++kind) {
    Checksum checksum;
    for (const Shape s : kShapes) compare(kKinds[kind], make_case<T>(kKinds[kind], s.n, s.k, s.d), pools, checksum);
    char text[80];
    std::snprintf(text, sizeof text, "checksum of kind %zu float%zu: 0x%016" PRIx64, kind, 8 * sizeof(T),
                  checksum.get());
    check(checksum.get() == kExpected[kind][sizeof(T) / 8], text);
  }
}

}  // namespace

void test_paths() {
  std::array<std::unique_ptr<Threads>, 3> pools;
  for (int count = 1; count <= 3; ++count) pools[static_cast<size_t>(count) - 1] = std::make_unique<Threads>(count);
  all_cases<float>(pools);
  all_cases<double>(pools);
}

}  // namespace macqueen::test
