#include "placement.hpp"

#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace macqueen {

#if defined(__linux__)

namespace {

void add(int processor, cpu_set_t& set) {
  if (processor >= 0 && processor < CPU_SETSIZE) CPU_SET(processor, &set);
}

}  // namespace

Sleeper::Processors Sleeper::own_processor() {
  cpu_set_t set;
  CPU_ZERO(&set);
  add(sched_getcpu(), set);
  return set;
}

void Sleeper::lie_down() {
  if (id_ == 0) id_ = static_cast<pid_t>(syscall(SYS_gettid));
  processor_ = sched_getcpu();
}

// Gives back what it was kept off; where somebody else has said since what it may run on, that holds.
void Sleeper::let_be() {
  cpu_set_t now;
  const bool same = kept_off_ && sched_getaffinity(id_, sizeof now, &now) == 0 && CPU_EQUAL(&now, &given_);
  if (same) sched_setaffinity(id_, sizeof allowed_, &allowed_);
  kept_off_ = false;
}

void Sleeper::get_up() {
  let_be();
  processor_ = -1;
}

void Sleeper::keep_off(Processors& busy) {
  if (processor_ < 0) return;
  let_be();  // it may not have woken since the last time
  if (sched_getaffinity(id_, sizeof allowed_, &allowed_) != 0) return;
  CPU_AND(&given_, &allowed_, &busy);
  CPU_XOR(&given_, &allowed_, &given_);
  // With more threads than processors none is left over, and it wakes where it will.
  kept_off_ = CPU_COUNT(&given_) > 0 && sched_setaffinity(id_, sizeof given_, &given_) == 0;
  add(processor_, busy);
}

#else

Sleeper::Processors Sleeper::own_processor() { return {}; }
void Sleeper::lie_down() {}
void Sleeper::get_up() {}
void Sleeper::keep_off(Processors&) {}

#endif

}  // namespace macqueen
