// One pool used from several threads at once; tasks that throw; pools that come and go.
#include <atomic>
#include <chrono>
#include <stdexcept>
#include <thread>

#if defined(__linux__)
#include <sched.h>
#endif

#include "check.hpp"
#include "dispatch.hpp"
#include "step.hpp"

namespace macqueen::test {

namespace {

void every_task_once() {
  for (const int count : {1, 2, 5}) {
    Threads threads(count);
    for (const size_t tasks : {size_t{0}, size_t{1}, size_t{2}, size_t{1000}}) {
      std::vector<std::atomic<int>> done(tasks);
      std::vector<std::atomic<int>> inside(static_cast<size_t>(count));
      threads.run(tasks, [&](int slot, size_t i) {
        check(++inside[static_cast<size_t>(slot)] == 1, "a slot is held by one thread at a time");
        ++done[i];
        --inside[static_cast<size_t>(slot)];
      });
      bool once = true;
      for (const auto& d : done) once &= d == 1;
      check(once, "every task once");
    }
  }
}

#if defined(__linux__)
// Threads are woken on processors of their own (cpp/placement.hpp); what they may run on is the same again in a task.
void processors_are_given_back() {
  cpu_set_t allowed;
  check(sched_getaffinity(0, sizeof allowed, &allowed) == 0, "what a thread may run on");
  Threads threads(3);
  for (int i = 0; i < 20; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(i % 3));  // so that helpers sleep, or not
    std::atomic<int> same{0};
    threads.run(2, [](int, size_t) {});  // wakes one of two, and both were told where to wake
    threads.run(6, [&](int, size_t) {
      cpu_set_t now;
      if (sched_getaffinity(0, sizeof now, &now) == 0 && CPU_EQUAL(&now, &allowed)) ++same;
      std::this_thread::sleep_for(std::chrono::microseconds(200));
    });
    check(same == 6, "a task may run on every processor");
  }
}
#endif

void errors_are_passed_on() {
  for (const int count : {1, 3}) {
    Threads threads(count);
    for (int i = 0; i < 50; ++i) {
      bool caught = false;
      try {
        threads.run(100, [](int, size_t task) {
          if (task == 37) throw std::runtime_error("37");
        });
      } catch (const std::runtime_error&) {
        caught = true;
      }
      check(caught, "an exception reaches the caller");
    }
  }
}

template <class T>
void many_callers(Threads& threads) {
  const Case<T> c = make_case<T>(Kind::kTies, 3000, 17, 9);
  const auto kernels = available_kernels();
  const Centers<T> shared(*kernels.back(), c.centers.data(), c.k, c.d);
  std::vector<int32_t> expected(c.n);
  assign(threads, shared, c.rows.data(), c.n, false, expected.data(), nullptr);
  std::vector<std::thread> callers;
  for (size_t caller = 0; caller < 4; ++caller) {
    callers.emplace_back([&, caller] {
      Workspace workspace;
      for (int i = 0; i < 10; ++i) {
        const Centers<T> own(*kernels[caller % kernels.size()], c.centers.data(), c.k, c.d);
        std::vector<int32_t> labels(c.n), others(c.n);
        Totals totals(c.k, c.d);
        accumulate(threads, own, c.rows.data(), c.n, {true, false}, workspace, totals, labels.data());
        assign(threads, shared, c.rows.data(), c.n, false, others.data(), nullptr);
        check(labels == expected && others == expected, "labels of many callers");
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
}

// Outliers leave the grids, while other threads add or flush: all meet in the exact sums.
void many_outliers(Threads& threads) {
  const Case<double> c = make_case<double>(Kind::kOutlier, 20000, 17, 9);
  const Centers<double> centers(find_kernels(""), c.centers.data(), c.k, c.d);
  Workspace workspace;
  Totals first(c.k, c.d);
  for (int i = 0; i < 5; ++i) {
    Totals totals(c.k, c.d);
    accumulate(threads, centers, c.rows.data(), c.n, {true, false}, workspace, i == 0 ? first : totals, nullptr);
    first.sums.canonicalize();
    totals.sums.canonicalize();
    check(i == 0 || totals.sums.digits() == first.sums.digits(), "the same sums again");
  }
}

}  // namespace

void test_threads() {
  every_task_once();
#if defined(__linux__)
  processors_are_given_back();
#endif
  errors_are_passed_on();
  for (const int count : {2, 3}) {
    Threads threads(count);
    many_callers<float>(threads);
    many_callers<double>(threads);
    many_outliers(threads);
  }
}

}  // namespace macqueen::test
