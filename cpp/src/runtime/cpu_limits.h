// What the operating system lets this process use.
#pragma once

namespace pocketcnn {

/// The CPUs in the calling thread's affinity mask; at least 1.
int affinity_cpus();

/// The cgroup's CPU quota rounded up; at least 1, and a large number where there is none.
int cpu_quota();

}  // namespace pocketcnn
