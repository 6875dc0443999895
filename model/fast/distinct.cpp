// Distinct keys by a hash table: of 65536 windows a few thousand differ, and only those are sorted.
#include <algorithm>
#include <cstdint>
#include <numeric>
#include <vector>

extern "C" {

// values: the distinct among `count` keys, in order; position: of each key among them; -> how many. values has room for all.
int64_t spade_distinct(const int64_t *keys, int64_t count, int64_t *values, int32_t *position) {
    int bits = 4;
    while ((int64_t(1) << bits) < 2 * count) ++bits;
    const uint64_t mask = (uint64_t(1) << bits) - 1;
    std::vector<int32_t> slots(mask + 1, -1);   // numbers of keys in the order they were met
    std::vector<int64_t> met;
    for (int64_t i = 0; i < count; ++i) {
        if (i && keys[i] == keys[i - 1]) {      // flat areas
            position[i] = position[i - 1];
            continue;
        }
        // Fibonacci hashing: the high bits of a product with 2^64 / golden ratio.
        uint64_t slot = uint64_t(keys[i]) * 0x9E3779B97F4A7C15u >> (64 - bits);
        while (slots[slot] >= 0 && met[slots[slot]] != keys[i]) slot = (slot + 1) & mask;
        if (slots[slot] < 0) {
            slots[slot] = int32_t(met.size());
            met.push_back(keys[i]);
        }
        position[i] = slots[slot];
    }
    std::vector<int32_t> order(met.size()), rank(met.size());
    std::iota(order.begin(), order.end(), 0);
    std::sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return met[a] < met[b]; });
    for (size_t i = 0; i < order.size(); ++i) {
        rank[order[i]] = int32_t(i);
        values[i] = met[order[i]];
    }
    for (int64_t i = 0; i < count; ++i) position[i] = rank[position[i]];
    return int64_t(met.size());
}

}  // extern "C"
