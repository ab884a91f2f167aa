// im2col and its adjoint as matrices, for users. Convolution does not call them: it reads its
// blocks of columns directly from the image.
#pragma once

#include <pocketcnn/types.h>
#include <pocketcnn/window2d.h>

namespace pocketcnn {

/// columns (n*oh*ow, c*kh*kw): row (n, oh, ow) holds the window of x at that place, in the order
/// (c, kh, kw); padding reads as zero. Overwrites columns.
template <typename T>
void im2col(ImageView<const T> x, const Window2d& window, MatrixView<T> columns);

/// The adjoint: adds each row of columns to the places that im2col read it from. Overwrites x.
template <typename T>
void col2im(MatrixView<const T> columns, const Window2d& window, ImageView<T> x);

}  // namespace pocketcnn
