// Prints what the library chose for this process, or the error: the effect of environment variables
// and CPU masks can only be seen in a new process.
#include <pocketcnn/runtime.h>

#include <exception>
#include <iostream>
#include <string_view>

int main() {
    try {
        const std::string_view isa = pocketcnn::isa(), team = pocketcnn::team();
        std::cout << "isa " << isa << ", team " << team << ", threads "
                  << pocketcnn::get_num_threads() << '\n'
                  << pocketcnn::num_threads_complaint() << '\n';
    } catch (const std::exception& error) {
        std::cout << error.what() << '\n';
        return 1;
    }
    return 0;
}
