// What libtorch has for GPUs and tch has not: a few functions with C names, in a library of their own that is loaded where
// there is a GPU (`mod.rs`), so that one program serves machines with and without one. `tools/cuda.sh` builds it.
//
// Every function returns 0, or 1 where libtorch threw; kelvin_error() then says what.

#include <exception>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include <ATen/Context.h>
#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAEvent.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAStream.h>

namespace {

thread_local std::string error;

template <typename Work>
int guarded(Work work) {
    try {
        work();
        return 0;
    } catch (const std::exception& thrown) {
        error = thrown.what();
        return 1;
    }
}

// The streams of a device that no thread has. A stream is one thread's: what another one launches there while a graph is recorded
// would go into the graph. libtorch's pool gives 32 and then the same again; beyond them streams are made.
struct Streams {
    std::mutex guard;
    std::map<int, std::vector<c10::cuda::CUDAStream>> free;
    std::map<int, int> made;
};

// Never destroyed, since threads may end after the program's main function.
Streams& streams() {
    static Streams& all = *new Streams;
    return all;
}

c10::cuda::CUDAStream new_stream(int device, int made) {
    const auto index = static_cast<c10::DeviceIndex>(device);
    if (made < 32) {
        return c10::cuda::getStreamFromPool(true, index);
    }
    cudaStream_t stream = nullptr;
    C10_CUDA_CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    return c10::cuda::getStreamFromExternal(stream, index);
}

// The calling thread's streams, by their devices, until it ends.
struct Own {
    std::map<int, c10::cuda::CUDAStream> streams;

    ~Own() {
        std::lock_guard<std::mutex> lock(::streams().guard);
        for (const auto& [device, stream] : streams) {
            ::streams().free[device].push_back(stream);
        }
    }
};

thread_local Own own;

}  // namespace

extern "C" {

const char* kelvin_error() { return error.c_str(); }

// The calling thread works on a stream of its own from now on: work of different threads overlaps, and a graph
// can be captured.
int kelvin_own_stream(int device) {
    return guarded([&] {
        c10::cuda::set_device(static_cast<c10::DeviceIndex>(device));
        auto found = own.streams.find(device);
        if (found == own.streams.end()) {
            std::lock_guard<std::mutex> lock(streams().guard);
            auto& free = streams().free[device];
            if (free.empty()) {
                free.push_back(new_stream(device, streams().made[device]++));
            }
            found = own.streams.emplace(device, free.back()).first;
            free.pop_back();
        }
        c10::cuda::setCurrentCUDAStream(found->second);
    });
}

// Waits for the calling thread's stream, asleep: many streams' threads would else keep as many cores busy.
int kelvin_synchronize() {
    return guarded([] {
        c10::cuda::CUDAEvent event(cudaEventBlockingSync | cudaEventDisableTiming);
        event.record(c10::cuda::getCurrentCUDAStream());
        event.synchronize();
    });
}

// Whether float32 products may be rounded to TF32, in the whole process.
int kelvin_allow_tf32(int allowed) {
    return guarded([&] {
        at::globalContext().setAllowTF32CuDNN(allowed != 0);
        at::globalContext().setAllowTF32CuBLAS(allowed != 0);
    });
}

// Bytes that a device has left, once libtorch has given back what it keeps for later.
int kelvin_free_memory(int device, size_t* bytes) {
    return guarded([&] {
        c10::cuda::CUDACachingAllocator::emptyCache();
        *bytes = c10::cuda::CUDACachingAllocator::get()->getMemoryInfo(static_cast<c10::DeviceIndex>(device)).first;
    });
}

// Begins to record what the calling thread's stream is given; nothing of it runs. `beside` is null or another graph that is never
// replayed at the same time: both use the same memory. Other threads may go on: in this mode only this thread must not do what
// a capture forbids.
int kelvin_graph_begin(void** graph, void* beside) {
    return guarded([&] {
        auto made = new at::cuda::CUDAGraph();
        *graph = made;
        at::cuda::MempoolId_t pool{0, 0};
        if (beside != nullptr) {
            pool = static_cast<at::cuda::CUDAGraph*>(beside)->pool();
        }
        made->capture_begin(pool, cudaStreamCaptureModeThreadLocal);
    });
}

// What the same work took before, when it was not recorded, is given back: graphs have memory of their own.
int kelvin_graph_end(void* graph) {
    return guarded([&] {
        static_cast<at::cuda::CUDAGraph*>(graph)->capture_end();
        c10::cuda::CUDACachingAllocator::emptyCache();
    });
}

// Runs what was recorded, on the calling thread's stream.
int kelvin_graph_replay(void* graph) {
    return guarded([&] { static_cast<at::cuda::CUDAGraph*>(graph)->replay(); });
}

void kelvin_graph_free(void* graph) {
    guarded([&] { delete static_cast<at::cuda::CUDAGraph*>(graph); });
}

}  // extern "C"
