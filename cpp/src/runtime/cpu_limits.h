// What the operating system lets this process use.
#pragma once

namespace pocketcnn {

/// The smaller of the affinity mask's CPUs and the cgroup's CPU quota rounded up; at least 1.
int usable_cpus();

}  // namespace pocketcnn
