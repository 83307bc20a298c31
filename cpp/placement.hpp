// Which processors sleeping threads wake on.
//
// Linux may wake a thread on the processor of the one that woke it, though others are idle, and leave it there for
// milliseconds: nearly always in virtual machines, whose kernels know little of the caches. Both then take turns.
#pragma once

#include <sys/types.h>

#if defined(__linux__)
#include <sched.h>
#endif

namespace macqueen {

// A thread that may sleep. Its owner orders the calls with a mutex. Does nothing where the system is not Linux.
class Sleeper {
 public:
#if defined(__linux__)
  using Processors = cpu_set_t;
#else
  struct Processors {};
#endif

  static Processors own_processor();  // of the calling thread

  // Called by the thread itself, before it sleeps and when it is awake again.
  void lie_down();
  void get_up();
  // Called by others: if it sleeps, it will wake off `busy` (in/out), where it may; the processor it slept on is then
  // busy, too.
  void keep_off(Processors& busy);

 private:
#if defined(__linux__)
  void let_be();

  pid_t id_ = 0;
  int processor_ = -1;  // the one it sleeps on, -1: it is awake
  bool kept_off_ = false;
  cpu_set_t allowed_, given_;  // what it may run on, and what of that it was left with, while it is kept off some
#endif
};

}  // namespace macqueen
