// Our own threads: started when first needed, alive as long as the object. After some work they look for more for 20
// microseconds, the time that waking one takes; then they sleep.
#pragma once

#include <stddef.h>

#include <atomic>
#include <functional>

namespace macqueen {

// Pins what a caller may have changed on its thread: round to nearest, denormals on. A foreign library built
// with -ffast-math switches them off for the whole process, and exact sums would lose the smallest values.
class PinFloatingPoint {
 public:
  PinFloatingPoint();
  ~PinFloatingPoint();
  PinFloatingPoint(const PinFloatingPoint&) = delete;
  PinFloatingPoint& operator=(const PinFloatingPoint&) = delete;

 private:
  unsigned long long saved_;
};

class Threads {
 public:
  // `count` includes the thread that calls `run`; at least 1.
  explicit Threads(int count) : count_(count) {}
  ~Threads();
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;

  int count() const { return count_; }

  // Calls task(slot, i) once for each i below `tasks`, on up to count() threads; slot < count() is held by one
  // thread at a time. Returns when all are done; the first exception is passed on. May be called from several
  // threads at once, and in a child process after fork.
  void run(size_t tasks, const std::function<void(int slot, size_t task)>& task);

 private:
  struct Pool;
  Pool* pool();

  int count_;
  std::atomic<Pool*> pool_{nullptr};
};

}  // namespace macqueen
