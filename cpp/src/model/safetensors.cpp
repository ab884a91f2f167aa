#include "model/safetensors.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdio>
#include <limits>
#include <optional>
#include <stdexcept>
#include <string_view>
#include <tuple>

#include "model/crc32.h"
#include "model/json.h"

static_assert(std::endian::native == std::endian::little, "the files are little-endian");

namespace pocketcnn::model {

using session::excerpt, session::in_quotes, session::List, session::Members, session::Value;

namespace {

/// As for Python: more names than any network has, and no more memory than a small model's.
constexpr index_t kLargestHeader = index_t{1} << 25;

constexpr std::pair<std::string_view, index_t> kTypes[] = {
    {"F64", 8}, {"F32", 4}, {"F16", 2}, {"BF16", 2}, {"I64", 8}, {"I32", 4},  {"I16", 2},
    {"I8", 1},  {"U64", 8}, {"U32", 4}, {"U16", 2},  {"U8", 1},  {"BOOL", 1},
};

std::string hex(std::uint32_t crc) {
    std::array<char, 9> text{};
    std::snprintf(text.data(), text.size(), "%08x", crc);
    return text.data();
}

/// The bytes with one part, wherever it stands, exchanged for another.
std::string exchanged(std::string bytes, const std::string& part, const std::string& other) {
    for (std::size_t at = 0; (at = bytes.find(part, at)) != bytes.npos; at += other.size()) {
        bytes.replace(at, part.size(), other);
    }
    return bytes;
}

std::string crc_field(const std::string& crc) {
    // Quotes in JSON's text are escaped, so this occurs only once in a header.
    return "\"header_crc32\":\"" + crc + "\"";
}

std::map<std::string, std::string> read_metadata(const Members& content) {
    std::map<std::string, std::string> metadata;
    const auto found = content.find("__metadata__");
    if (found == content.end()) return metadata;
    const auto* entries = found->second.as<Members>();
    if (entries == nullptr) throw std::invalid_argument("its metadata are no text by name");
    for (const auto& [name, value] : *entries) {
        const auto* text = value.as<std::string>();
        if (text == nullptr) throw std::invalid_argument("its metadata are no text by name");
        metadata[name] = *text;
    }
    return metadata;
}

/// A member that is text, if there is one.
const std::string* text_in(const Members& members, const char* name) {
    const auto found = members.find(name);
    return found == members.end() ? nullptr : found->second.as<std::string>();
}

/// A member that is a list of sizes or places, whole numbers of 63 bits, if there is one.
std::optional<std::vector<index_t>> numbers_in(const Members& members, const char* name) {
    const auto found = members.find(name);
    const List* list = found == members.end() ? nullptr : found->second.as<List>();
    if (list == nullptr) return {};
    std::vector<index_t> numbers;
    for (const Value& value : *list) {
        const auto* number = value.as<std::int64_t>();
        if (number == nullptr || *number < 0) return {};
        numbers.push_back(*number);
    }
    return numbers;
}

/// The bytes that an array takes, or -1 where 63 bits do not hold their number.
index_t bytes_of(const Shape& shape, index_t itemsize) {
    if (std::count(shape.begin(), shape.end(), 0) > 0) return 0;
    index_t bytes = itemsize;
    for (const index_t size : shape) {
        if (bytes > std::numeric_limits<index_t>::max() / size) return -1;
        bytes *= size;
    }
    return bytes;
}

struct Placed {
    index_t begin, end;
    Tensor tensor;
};

Placed read_entry(const std::string& name, const Value& entry) {
    constexpr std::size_t most_axes = 32;
    const auto known = [&]() -> std::optional<Placed> {
        const auto* members = entry.as<Members>();
        if (members == nullptr) return {};
        const std::string* dtype = text_in(*members, "dtype");
        const auto shape = numbers_in(*members, "shape");
        const auto offsets = numbers_in(*members, "data_offsets");
        if (dtype == nullptr || !shape || !offsets) return {};
        if (offsets->size() != 2 || shape->size() > most_axes) return {};
        for (const auto& [type, itemsize] : kTypes) {
            if (type != *dtype) continue;
            const index_t bytes = bytes_of(*shape, itemsize);
            if (bytes < 0) return {};
            return Placed{(*offsets)[0], (*offsets)[1], {name, *dtype, *shape, bytes}};
        }
        return {};
    };
    if (auto found = known()) return *found;
    throw std::invalid_argument(in_quotes(name) + " has no known type, shape and place");
}

/// What the header says about each array, if they fill `size` bytes without overlap.
std::vector<Tensor> read_tensors(const Members& content, index_t size) {
    std::vector<Placed> entries;
    for (const auto& [name, entry] : content) {
        if (name != "__metadata__") entries.push_back(read_entry(name, entry));
    }
    std::sort(entries.begin(), entries.end(), [](const Placed& one, const Placed& other) {
        return std::tie(one.begin, one.end) < std::tie(other.begin, other.end);
    });
    std::vector<Tensor> tensors;
    index_t place = 0;
    for (auto& [begin, end, tensor] : entries) {
        if (begin != place || end - begin != tensor.bytes) {
            throw std::invalid_argument(in_quotes(tensor.name) +
                                        " does not lie where its size and those before it put it");
        }
        place = end;
        tensors.push_back(std::move(tensor));
    }
    if (place != size) {
        throw std::invalid_argument("its header tells of " + std::to_string(place) +
                                    " bytes, but " + std::to_string(size) + " follow");
    }
    return tensors;
}

}  // namespace

TensorFile::TensorFile(const std::filesystem::path& path) : path_(path), file_(path) {
    constexpr index_t length_bytes = 8;
    std::uint64_t length = 0;
    const index_t behind = std::min(file_.size() - length_bytes, kLargestHeader);
    if (!file_.read(&length, length_bytes) || behind < 0 ||
        length > static_cast<std::uint64_t>(behind)) {
        refuse("it has " + std::to_string(file_.size()) +
               " bytes, and no header of a possible length before them");
    }
    std::string header(length_bytes + length, '\0');
    for (int i = 0; i < length_bytes; ++i) header[i] = static_cast<char>(length >> (8 * i));
    if (!file_.read(header.data() + length_bytes, length)) refuse("it was cut while it was read");
    try {
        const Value content = parse_json(std::string_view(header).substr(length_bytes));
        const auto* members = content.as<Members>();
        if (members == nullptr) throw std::invalid_argument("its header holds no names");
        metadata_ = read_metadata(*members);
        tensors_ = read_tensors(*members, file_.size() - static_cast<index_t>(header.size()));
    } catch (const std::invalid_argument& error) {
        refuse(error.what());
    }
    check_header(header);
}

void TensorFile::refuse(const std::string& reason) const {
    throw std::runtime_error(
        path_.string() +
        " is not a whole .safetensors file, but damaged or of another kind: " + excerpt(reason));
}

/// Takes the checksums out of the metadata, and compares the header's.
void TensorFile::check_header(const std::string& length_and_header) {
    const auto take = [&](const char* name) {
        const auto found = metadata_.extract(name);
        return found.empty() ? std::string() : found.mapped();
    };
    data_crc_ = take("data_crc32");
    const std::string stated = take("header_crc32");
    // One of the two is enough to recognise our own file: a damaged key hides only itself.
    if (data_crc_.empty() && stated.empty()) return;
    const std::string blank =
        exchanged(length_and_header, crc_field(stated), crc_field("00000000"));
    if (stated != hex(crc32(blank.data(), blank.size()))) {
        refuse("its header has another checksum than when it was written");
    }
}

template <typename T>
std::map<std::string, Array<T>> TensorFile::read() {
    std::map<std::string, Array<T>> arrays;
    std::uint32_t crc = 0;
    for (const Tensor& tensor : tensors_) {
        const auto bytes = static_cast<std::size_t>(tensor.bytes);
        Array<T> array = {tensor.shape, Buffer<T>(tensor.bytes / index_t{sizeof(T)})};
        if (!file_.read(array.values.data(), bytes)) refuse("it was cut while it was read");
        crc = crc32(array.values.data(), bytes, crc);
        arrays.emplace(tensor.name, std::move(array));
    }
    if (!data_crc_.empty() && data_crc_ != hex(crc)) {
        refuse("its arrays have another checksum than when they were written");
    }
    return arrays;
}

template std::map<std::string, Array<float>> TensorFile::read();
template std::map<std::string, Array<double>> TensorFile::read();

}  // namespace pocketcnn::model
