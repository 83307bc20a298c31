#include "parallel.hpp"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "placement.hpp"

#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

namespace macqueen {

PinFloatingPoint::PinFloatingPoint() : saved_(0) {
#if defined(__SSE2__)
  saved_ = _mm_getcsr();
  _mm_setcsr(0x1f80);  // all exceptions masked, nearest, no flush-to-zero, no denormals-are-zero
#elif defined(__aarch64__)
  asm volatile("mrs %0, fpcr" : "=r"(saved_));
  asm volatile("msr fpcr, %0" ::"r"(0ull));
#endif
}

PinFloatingPoint::~PinFloatingPoint() {
#if defined(__SSE2__)
  _mm_setcsr(static_cast<unsigned>(saved_));
#elif defined(__aarch64__)
  asm volatile("msr fpcr, %0" ::"r"(saved_));
#endif
}

namespace {

// One call of `run`, on the stack of its caller: a helper that has left it must not touch it again.
struct Job {
  const std::function<void(int, size_t)>* task;
  size_t tasks;
  int slots;                    // most threads
  std::atomic<size_t> next{0};  // next task to take
  std::atomic<int> active{0};   // helpers inside; written under the pool's mutex
  // Guarded by the pool's mutex:
  int taken = 1;  // slots given out, one to the caller
  std::exception_ptr error;
};

// Waits a little for what is about to happen: to sleep and be woken takes longer than most steps on few rows. Tells
// whether it did.
template <class Condition>
bool happens_soon(const Condition& happened) {
  constexpr auto kPatience = std::chrono::microseconds(20);
  constexpr int kLooks = 16;  // between two looks at the clock
  const auto end = std::chrono::steady_clock::now() + kPatience;
  do {
    for (int i = 0; i < kLooks; ++i) {
      if (happened()) return true;
#if defined(__SSE2__)
      _mm_pause();
#elif defined(__aarch64__)
      asm volatile("yield");
#endif
    }
  } while (std::chrono::steady_clock::now() < end);
  return false;
}

void work(Job& job, int slot, std::mutex& mutex) {
  const PinFloatingPoint pin;
  try {
    for (size_t i = job.next++; i < job.tasks; i = job.next++) (*job.task)(slot, i);
  } catch (...) {
    job.next = job.tasks;
    const std::lock_guard<std::mutex> lock(mutex);
    if (!job.error) job.error = std::current_exception();
  }
}

}  // namespace

struct Threads::Pool {
  const pid_t process = getpid();
  std::mutex mutex;
  std::condition_variable wake;
  std::condition_variable done;
  std::vector<Job*> jobs;          // with slots left
  std::atomic<size_t> waiting{0};  // how many they are, for helpers that look without the mutex
  std::vector<std::thread> helpers;
  std::deque<Sleeper> sleepers;  // one for each helper, guarded by the mutex; they stay where they are
  bool closing = false;

  void start(int count) {
    while (static_cast<int>(helpers.size()) < count) {
      Sleeper& sleeper = sleepers.emplace_back();
      helpers.emplace_back([this, &sleeper] { serve(sleeper); });
    }
  }

  // Those who sleep shall wake on processors of their own.
  void spread() {
    Sleeper::Processors busy = Sleeper::own_processor();
    for (Sleeper& sleeper : sleepers) sleeper.keep_off(busy);
  }

  void serve(Sleeper& sleeper) {
    std::unique_lock<std::mutex> lock(mutex);
    while (true) {
      sleeper.lie_down();
      wake.wait(lock, [this] { return closing || !jobs.empty(); });
      sleeper.get_up();
      if (closing) return;
      Job& job = *jobs.front();
      const int slot = job.taken++;
      if (job.taken == job.slots) leave(&job);
      ++job.active;
      lock.unlock();
      work(job, slot, mutex);
      lock.lock();
      if (--job.active == 0) done.notify_all();
      if (!jobs.empty()) continue;
      lock.unlock();
      happens_soon([this] { return waiting.load(std::memory_order_relaxed) != 0; });
      lock.lock();
    }
  }

  // Adds a job, takes one out of those with slots left; both under the mutex.
  void enter(Job* job) {
    jobs.push_back(job);
    waiting = jobs.size();
  }
  void leave(Job* job) {
    jobs.erase(std::remove(jobs.begin(), jobs.end(), job), jobs.end());
    waiting = jobs.size();
  }
};

// After fork only the calling thread exists, and a mutex may have been held by one that is gone: a child starts
// with a pool of its own and leaves the parent's untouched.
Threads::Pool* Threads::pool() {
  Pool* current = pool_.load();
  if (current != nullptr && current->process == getpid()) return current;
  Pool* fresh = new Pool;
  if (pool_.compare_exchange_strong(current, fresh)) return fresh;
  delete fresh;
  return current;
}

Threads::~Threads() {
  Pool* last = pool_.load();
  if (last == nullptr || last->process != getpid()) return;
  {
    const std::lock_guard<std::mutex> lock(last->mutex);
    last->closing = true;
  }
  last->wake.notify_all();
  for (std::thread& helper : last->helpers) helper.join();
  delete last;
}

void Threads::run(size_t tasks, const std::function<void(int, size_t)>& task) {
  Job job{&task, tasks, static_cast<int>(std::min<size_t>(tasks, static_cast<size_t>(count_))), {}, {}, 1, nullptr};
  std::mutex alone;
  if (job.slots <= 1) {
    work(job, 0, alone);
  } else {
    Pool& shared = *pool();
    {
      const std::lock_guard<std::mutex> lock(shared.mutex);
      shared.start(job.slots - 1);
      shared.enter(&job);
      shared.spread();
    }
    for (int i = 1; i < job.slots; ++i) shared.wake.notify_one();
    work(job, 0, shared.mutex);
    std::unique_lock<std::mutex> lock(shared.mutex);
    shared.leave(&job);  // no helper comes from now on
    if (job.active != 0) {
      lock.unlock();
      const bool left = happens_soon([&job] { return job.active.load(std::memory_order_acquire) == 0; });
      lock.lock();
      if (!left) shared.done.wait(lock, [&job] { return job.active == 0; });
    }
  }
  if (job.error) std::rethrow_exception(job.error);
}

}  // namespace macqueen
