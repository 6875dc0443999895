// One thread for little work, and all of them for the rest.
#pragma once
#include <omp.h>

// Waking a sleeping thread takes tens of microseconds, in a virtual machine hundreds; one that spins (KMP_BLOCKTIME) still costs
// its core. Measured on two cores of a virtual machine: the demo's step is fastest with this limit, of 0.1, 0.25 and 0.6 ms.
constexpr double LEAST = 2.5e5;  // nanoseconds on one thread

// While it lives, this thread's parallel regions, oneDNN's too, have one thread if the work takes less than LEAST.
// The choice depends on the work's shape alone: a plan of oneDNN is made and run with the same number.
class Threads {
    const int before = omp_get_max_threads();

public:
    explicit Threads(double nanoseconds) {
        if (nanoseconds < LEAST) omp_set_num_threads(1);
    }
    ~Threads() { omp_set_num_threads(before); }
    Threads(const Threads &) = delete;
};
