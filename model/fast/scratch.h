// Scratch memory, one for all kernels that need much of it.
#pragma once
#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>
#include <mutex>
#include <new>

// A huge page, of which a few cover what thousands of small ones would: their addresses fit the processor's table of pages.
constexpr size_t PAGE = 2 << 20;

// As large as the largest call needed; a kernel holds the mutex while it uses it.
struct Scratch {
    std::mutex mutex;
    char *data = nullptr;
    size_t size = 0;
    void release() { std::free(data); data = nullptr; size = 0; }
    char *reserve(size_t bytes) {
        if (bytes > size) {
            release();
            data = static_cast<char *>(std::aligned_alloc(PAGE, (bytes + PAGE - 1) / PAGE * PAGE));
            if (!data) throw std::bad_alloc();
            madvise(data, bytes, MADV_HUGEPAGE);
            size = bytes;
        }
        return data;
    }
    float *floats(int64_t count) { return reinterpret_cast<float *>(reserve(count * sizeof(float))); }
};

inline Scratch scratch;
