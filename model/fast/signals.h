// Signals wait while oneDNN computes a matrix product: its stack pointer is then the end of a buffer on the heap ("mov(rsp, ARG_WS)"
// in its jit_avx512_common_gemm_f32.cpp and jit_avx_gemm_f32.cpp), and the system writes the frame of a signal handler below the
// stack pointer, over other objects.
#pragma once
#include <omp.h>
#include <signal.h>

// While it lives, signals wait for this thread, but those of its own faults. OpenMP's other threads take none from now on.
class SignalsWait {
    sigset_t before;

public:
    SignalsWait() {
        sigset_t waiting;
        sigfillset(&waiting);
        for (int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT}) sigdelset(&waiting, fault);
        pthread_sigmask(SIG_BLOCK, &waiting, &before);
        static thread_local int threads = 1;    // whose signals wait
        if (omp_get_max_threads() <= threads) return;
        threads = omp_get_max_threads();
#pragma omp parallel
        if (omp_get_thread_num()) pthread_sigmask(SIG_BLOCK, &waiting, nullptr);
    }
    ~SignalsWait() { pthread_sigmask(SIG_SETMASK, &before, nullptr); }
    SignalsWait(const SignalsWait &) = delete;
};
