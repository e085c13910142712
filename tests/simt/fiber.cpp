#include "fiber.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>

#ifdef SIMT_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef SIMT_TSAN
#include <sanitizer/tsan_interface.h>
#endif

namespace simt {
namespace {

// Sanitizers pad every frame.
#if defined(SIMT_ASAN) || defined(SIMT_TSAN)
constexpr size_t kStackBytes = 256 * 1024;
#else
constexpr size_t kStackBytes = 64 * 1024;
#endif

// The fiber that the last switch left, for the side that arrives to tell the sanitizer about.
Fiber* g_left = nullptr;

}  // namespace

#ifndef SIMT_UCONTEXT
extern "C" void simt_switch(void** save, void* load);
asm(R"(
.text
.globl simt_switch
.hidden simt_switch
.type simt_switch, @function
simt_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  subq $8, %rsp
  stmxcsr (%rsp)
  fnstcw 4(%rsp)
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  ldmxcsr (%rsp)
  fldcw 4(%rsp)
  addq $8, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size simt_switch, .-simt_switch

/* A new fiber's first return lands here, its Fiber in r12 and Fiber::start in r13. */
.globl simt_trampoline
.hidden simt_trampoline
.type simt_trampoline, @function
simt_trampoline:
  movq %r12, %rdi
  callq *%r13
  ud2
.size simt_trampoline, .-simt_trampoline
)");
extern "C" void simt_trampoline();
#endif

Fiber::Fiber() {
#ifdef SIMT_TSAN
  tsan_fiber_ = __tsan_get_current_fiber();
#endif
}

Fiber::~Fiber() {
  if (mapping_ == nullptr) return;
#ifdef SIMT_TSAN
  __tsan_destroy_fiber(tsan_fiber_);
#endif
  munmap(mapping_, kStackBytes + static_cast<size_t>(sysconf(_SC_PAGESIZE)));
}

void Fiber::reset(void (*entry)(void*), void* argument) {
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const bool is_new = mapping_ == nullptr;
  if (is_new) {
    void* mapping = mmap(nullptr, kStackBytes + page, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapping == MAP_FAILED || mprotect(mapping, page, PROT_NONE) != 0) std::abort();
    mapping_ = static_cast<unsigned char*>(mapping);
    stack_bottom_ = mapping_ + page;
    stack_size_ = kStackBytes;
  }
#ifdef SIMT_ASAN
  // Frames abandoned by a failed launch left their red zones behind.
  __asan_unpoison_memory_region(stack_bottom_, stack_size_);
  asan_fake_stack_ = nullptr;
#endif
#ifdef SIMT_TSAN
  if (!is_new) __tsan_destroy_fiber(tsan_fiber_);
  tsan_fiber_ = __tsan_create_fiber(0);
#endif
  entry_ = entry;
  argument_ = argument;
  unsigned char* top = mapping_ + page + kStackBytes;
#ifdef SIMT_UCONTEXT
  static_cast<void>(top);
  getcontext(&context_);
  context_.uc_stack.ss_sp = mapping_ + page;
  context_.uc_stack.ss_size = kStackBytes;
  context_.uc_link = nullptr;
  const uintptr_t self = reinterpret_cast<uintptr_t>(this);
  makecontext(&context_, reinterpret_cast<void (*)()>(&Fiber::start_split), 2,
              static_cast<unsigned>(self >> 32), static_cast<unsigned>(self));
#else
  // The frame that simt_switch pops: control words, r15 r14 r13 r12 rbx rbp, return address. The
  // trampoline then calls with the stack aligned to 16 bytes, as the ABI wants.
  void** frame = reinterpret_cast<void**>(top) - 10;
  uint32_t* control = reinterpret_cast<uint32_t*>(frame);
  control[0] = 0x1f80;  // mxcsr after reset: all exceptions masked, round to nearest
  control[1] = 0x037f;  // x87 after finit
  frame[1] = frame[2] = nullptr;
  frame[3] = reinterpret_cast<void*>(&Fiber::start);
  frame[4] = this;
  frame[5] = frame[6] = nullptr;
  frame[7] = reinterpret_cast<void*>(&simt_trampoline);
  frame[8] = frame[9] = nullptr;
  stack_pointer_ = frame;
#endif
}

void Fiber::start(Fiber* fiber) {
  fiber->arrived();
  fiber->entry_(fiber->argument_);
  std::abort();
}

#ifdef SIMT_UCONTEXT
void Fiber::start_split(unsigned high, unsigned low) {
  start(reinterpret_cast<Fiber*>(static_cast<uintptr_t>(high) << 32 | low));
}
#endif

void Fiber::resume_from(Fiber& from) {
  g_left = &from;
#ifdef SIMT_ASAN
  __sanitizer_start_switch_fiber(&from.asan_fake_stack_, stack_bottom_, stack_size_);
#endif
#ifdef SIMT_TSAN
  // No synchronization: a switch orders nothing between CUDA threads, only barriers do.
  __tsan_switch_to_fiber(tsan_fiber_, __tsan_switch_to_fiber_no_sync);
#endif
#ifdef SIMT_UCONTEXT
  swapcontext(&from.context_, &context_);
#else
  simt_switch(&from.stack_pointer_, stack_pointer_);
#endif
  from.arrived();
}

void Fiber::arrived() {
#ifdef SIMT_ASAN
  const void* bottom = nullptr;
  size_t size = 0;
  __sanitizer_finish_switch_fiber(asan_fake_stack_, &bottom, &size);
  g_left->stack_bottom_ = bottom;
  g_left->stack_size_ = size;
#endif
}

}  // namespace simt
