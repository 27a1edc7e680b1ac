//! The transforms of minimal filtering, F(2 x 2, 3 x 3).

use crate::train::lanes::vector::Vector;

/// A transform of rows, then of columns, of a square.
macro_rules! transform {
    ($name:ident, $from:literal to $to:literal, |$values:pat_param| $new:expr) => {
        #[inline(always)]
        pub(super) fn $name<V: Vector>(values: [[V; $from]; $from]) -> [[V; $to]; $to] {
            #[inline(always)]
            fn along<V: Vector>($values: [V; $from]) -> [V; $to] {
                $new
            }
            let mut rows = [[V::zero(); $to]; $from];
            for (row, values) in rows.iter_mut().zip(values) {
                *row = along(values);
            }
            let mut all = [[V::zero(); $to]; $to];
            for j in 0..$to {
                let mut column = [V::zero(); $from];
                for (value, row) in column.iter_mut().zip(&rows) {
                    *value = row[j];
                }
                for (row, value) in all.iter_mut().zip(along(column)) {
                    row[j] = value;
                }
            }
            all
        }
    };
}

transform!(input_points, 4 to 4, |[a, b, c, d]| [a.sub(c), b.add(c), c.sub(b), b.sub(d)]);
transform!(output_pixels, 4 to 2, |[a, b, c, d]| [a.add(b).add(c), b.sub(c).sub(d)]);
transform!(change_points, 2 to 4, |[a, b]| [a, a.add(b), a.sub(b), V::zero().sub(b)]);
transform!(kernel_points, 3 to 4, |[a, b, c]| {
    let (half, outer) = (V::of(0.5), a.add(c));
    [a, outer.add(b).mul(half), outer.sub(b).mul(half), c]
});
transform!(gradient_taps, 4 to 3, |[a, b, c, d]| {
    let (half, inner) = (V::of(0.5), b.add(c));
    [inner.mul_add(half, a), b.sub(c).mul(half), inner.mul_add(half, d)]
});
