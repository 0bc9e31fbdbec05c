// Products of bfloat16 matrices with the tile instructions (AMX) of newer Intel processors.
//
// torch's products use them as well, but a call spends most of its time around them where the
// matrices are as small as those of networks for tables: 500 x 256 x 256 takes 90 microseconds
// inside a step, of which 20 are arithmetic. Sums are float32 in the order of the inner index, so
// that results do not depend on the number of threads.
#pragma once

#include "../products.h"

namespace sdv_wgangp {

// Whether the processor has them and the system lets this process use them; where the environment
// holds SDV_WGANGP_TILES=0 they are left alone.
bool has_tiles();

// The packed right-hand side needs this many bytes at `packed`, aligned to 64.
int64_t packed_bytes(int64_t inner, int64_t columns);

// out = a b, or out += a b. In each operand the elements of a row or those of a column must be
// adjacent, in `out` those of a row. The types of `out` are bfloat16 and float.
template <class O>
void multiply_tiles(Matrix<O> out, Matrix<const bfloat16> a, Matrix<const bfloat16> b, bool add,
                    void* packed);

}  // namespace sdv_wgangp
