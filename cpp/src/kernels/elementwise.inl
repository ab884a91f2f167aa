// Loops over flat arrays. The compiler vectorises them; what matters is that nothing in them
// stops it.

template <typename T>
void add(index_t size, const T* x, T* y) {
    for (index_t i = 0; i < size; ++i) y[i] += x[i];
}

// Lanes past the last column are replaced by zeros, for they may be anything.
template <typename T>
void add_rows(index_t rows, index_t cols, const T* tile, index_t tile_stride,
              const index_t* offsets, T* to) {
    const index_t whole = cols / kLanes<T> * kLanes<T>;
    for (index_t r = 0; r < rows; ++r, tile += tile_stride) {
        T* row = to + offsets[r];
        index_t c = 0;
        for (; c < whole; c += kLanes<T>) store(row + c, load(row + c) + load(tile + c));
        if (c < cols) store(row + c, load(row + c) + first_lanes<T>(cols - c, load(tile + c)));
    }
}

template <typename T>
void add_two(index_t size, const T* a, const T* b, bool rectify, T* y) {
    if (!rectify) {
        for (index_t i = 0; i < size; ++i) y[i] = a[i] + b[i];
        return;
    }
    for (index_t i = 0; i < size; ++i) {
        const T sum = a[i] + b[i];
        y[i] = sum <= 0 ? T{0} : sum;
    }
}

// The sum of vector(i) or, for the last few elements, element(i). Four vectors of partial sums hide
// the latency of the addition and shorten each chain. Their lanes are joined in double after so
// many additions, for a rounding error grows with their number: an average of 2048x2048 equal
// elements in one run was wrong in the fourth digit.
template <typename T, typename Vector, typename Element>
inline double sum_of(index_t size, const Vector& vector, const Element& element) {
    constexpr index_t chains = 4, step = chains * kLanes<T>, run = 256 * step;
    double total = 0;
    index_t i = 0;
    do {
        const index_t end = size - i < run ? size : i + run;
        Vec<T> partial[chains] = {};
        for (; i + step <= end; i += step) {
#pragma GCC unroll 4
            for (index_t c = 0; c < chains; ++c) partial[c] += vector(i + c * kLanes<T>);
        }
        for (; i + kLanes<T> <= end; i += kLanes<T>) partial[0] += vector(i);
        total += double_sum_of_lanes<T>((partial[0] + partial[1]) + (partial[2] + partial[3]));
    } while (i + kLanes<T> <= size);
    for (; i < size; ++i) total += element(i);
    return total;
}

template <typename T>
double sum(index_t size, const T* x) {
    return sum_of<T>(
        size, [&](index_t i) { return load(x + i); },
        [&](index_t i) { return static_cast<double>(x[i]); });
}

// Written so that NaN stays NaN.
template <typename T>
void relu(index_t size, const T* x, T* y) {
    for (index_t i = 0; i < size; ++i) y[i] = x[i] <= 0 ? T{0} : x[i];
}

// In vectors by hand: the compiler would load dy by masks, which is slow on some processors. Where
// the output is NaN the gradient passes, so that the NaN shows in what is trained.
template <typename T>
void relu_grad(index_t size, const T* dy, const T* y, T* dx) {
    index_t i = 0;
    for (; i + kLanes<T> <= size; i += kLanes<T>) {
        store(dx + i, load(y + i) <= T{0} ? Vec<T>{} : load(dy + i));
    }
    for (; i < size; ++i) dx[i] = y[i] <= 0 ? T{0} : dy[i];
}

template <typename T>
void sigmoid_grad(index_t size, const T* dy, const T* y, T* dx) {
    for (index_t i = 0; i < size; ++i) dx[i] = dy[i] * (y[i] * (T{1} - y[i]));
}

template <typename T>
void tanh_grad(index_t size, const T* dy, const T* y, T* dx) {
    for (index_t i = 0; i < size; ++i) dx[i] = dy[i] * (T{1} - y[i] * y[i]);
}
