// Stackful fibers: the least that the shim needs, and what the sanitizers must be told.
//
// On x86-64 a switch is a dozen instructions: callee-saved registers and the floating-point control
// words go onto the stack, and the stack pointer changes hands. Elsewhere, or with SIMT_UCONTEXT,
// swapcontext does the same at the price of two system calls.
#pragma once

#include <cstddef>

#if !defined(__x86_64__) && !defined(SIMT_UCONTEXT)
#define SIMT_UCONTEXT
#endif
#ifdef SIMT_UCONTEXT
#include <ucontext.h>
#endif

namespace simt {

// A fiber without a stack of its own is the thread that created it: the scheduler.
class Fiber {
 public:
  Fiber();
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // Gives the fiber a fresh stack frame that will call entry(argument), which must never return.
  // What ran on it before is abandoned.
  void reset(void (*entry)(void*), void* argument);

  // Leaves `from`, which must be the running fiber, for this one. Returns when something resumes
  // `from`.
  void resume_from(Fiber& from);

 private:
  static void start(Fiber* fiber);
  void arrived();

  void (*entry_)(void*) = nullptr;
  void* argument_ = nullptr;
  unsigned char* mapping_ = nullptr;  // a guard page, then the stack
  const void* stack_bottom_ = nullptr;
  size_t stack_size_ = 0;
  void* asan_fake_stack_ = nullptr;
  void* tsan_fiber_ = nullptr;
#ifdef SIMT_UCONTEXT
  ucontext_t context_;
  static void start_split(unsigned high, unsigned low);
#else
  void* stack_pointer_ = nullptr;
#endif
};

}  // namespace simt
