//! Convolutions of 3 x 3 taps by minimal filtering (Winograd's; Lavin and Gray 2016, arXiv:1509.09308).
//!
//! A *tile* is 2 x 2 pixels of the output; they see 4 x 4 of the input. Input d, kernel g and output y of a tile are
//! transformed so that convolving is multiplying at 16 *points*, where taps make 36 products:
//! y = Aᵀ[(G g Gᵀ) ⊙ (Bᵀ d B)]A. Sums over channels are taken at the points, so transforms cost as much as a few more
//! channels. The gradient with respect to the input is the same with the kernel turned around, which is the kernel at
//! other points; the one with respect to the kernel is Gᵀ[(Bᵀ d B) ⊙ (A dy Aᵀ)]G. All of it is sums and halves of a few
//! numbers: rounding is as in other orders of summation.

use std::ops::Range;

use super::conv::Accumulate;
use super::vector::{
    DEEPEST, Kept, Numbers, Vector, fetch_two, lanes, lanes_mut, parts, parts_mut, with_replicas,
};
use crate::error::Result;

/// Points of a tile.
const POINTS: usize = 16;

const TAPS: usize = 9;

/// Where the points of a kernel that is turned around are in a row or column.
const TRANSPOSED: [usize; 4] = [3, 1, 2, 0];

/// Channels are computed so many at a time, or fewer; [`Tiles`] are for multiples of it.
const WIDE: usize = 4;

/// Vectors of a channel that are computed together, at least those of one tile: at each point all channels' should
/// stay in the first-level cache, and every weight that is loaded should be used often.
const COLUMNS: usize = 16;

/// Columns, as such vectors are called, of a channel that lie together, followed by the next channel's: what a kernel
/// multiplies channel by channel is then read from end to end, and stays in the first-level cache. A last group may be smaller.
const GROUP: usize = 4;

/// Kernels whose transforms are taken together: whole vectors, whatever the replicas.
const BLOCK: usize = 16;

/// Bytes between what lies at one point and at the next, so that they do not all fall on the same lines of a cache.
const GAP: usize = 64;

/// Not a pixel: padding, or beyond an edge.
const NONE: u32 = u32::MAX;

/// 2 x 2 pixels and the 4 x 4 around them, row by row.
struct Tile {
    own: [u32; 4],
    seen: [u32; POINTS],
}

/// The tiles of images of one size.
pub(super) struct Tiles {
    tiles: Vec<Tile>,
    /// Pixels of an image, and of a row.
    pixels: usize,
    width: usize,
}

/// Where a column's pixels of the first channel are, as indices of a slab's vectors.
#[derive(Clone, Copy)]
enum Column<const PIXELS: usize> {
    /// All are there: the first one.
    Whole(usize),
    /// Some are not.
    Part([u32; PIXELS]),
}

/// Kernels that are ready to be multiplied with: G g Gᵀ of each, as point, output, input, replica, joined to factors
/// along the channels that are contracted over; or factors of the kernels themselves, as
/// [`Direct::prepare`](super::direct::Direct::prepare) leaves them.
pub(super) struct Kernels<V: Vector>(Numbers<V>);

impl<V: Vector> Kernels<V> {
    /// Room for so many scalars.
    pub(super) fn new(scalars: usize) -> Result<Self> {
        Ok(Self(Numbers::zeros(scalars)?))
    }

    /// All of them.
    pub(super) fn scalars(&self) -> &[V::Scalar] {
        &self.0
    }

    /// The first ones.
    pub(super) fn first(&mut self, scalars: usize) -> &mut [V::Scalar] {
        &mut self.0[..scalars]
    }
}

/// Transforms of a few tiles, as point, group of columns, channel, column: of what is convolved, and of what it gives.
/// Or room for factors of both, convolving tap by tap.
pub(super) type Points<V> = [Vec<V>; 2];

/// Vectors on each side of [`Points`] of so many channels at most.
pub(super) fn points<V: Vector>(channels: usize) -> usize {
    POINTS * (channels * COLUMNS + gap::<V>())
}

/// Where one of so many columns of a channel is, among those of so many channels.
#[inline(always)]
fn place([channels, columns]: [usize; 2], channel: usize, column: usize) -> usize {
    let start = column - column % GROUP;
    start * channels + channel * (columns - start).min(GROUP) + (column - start)
}

/// Vectors from one point to the next begin this much later than the last one ends.
fn gap<V: Vector>() -> usize {
    GAP.div_ceil(size_of::<V>())
}

/// Scalars from one point of kernels to the next.
fn plane<V: Vector>(kernels: usize) -> usize {
    kernels + gap::<V>() * V::LANES
}

/// A transform of rows, then of columns, of a square.
macro_rules! transform {
    ($name:ident, $from:literal to $to:literal, |$values:pat_param| $new:expr) => {
        #[inline(always)]
        fn $name<V: Vector>(values: [[V; $from]; $from]) -> [[V; $to]; $to] {
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

transform!(input, 4 to 4, |[a, b, c, d]| [a.sub(c), b.add(c), c.sub(b), b.sub(d)]);
transform!(output, 4 to 2, |[a, b, c, d]| [a.add(b).add(c), b.sub(c).sub(d)]);
transform!(change, 2 to 4, |[a, b]| [a, a.add(b), a.sub(b), V::zero().sub(b)]);
transform!(kernel, 3 to 4, |[a, b, c]| {
    let (half, outer) = (V::of(0.5), a.add(c));
    [a, outer.add(b).mul(half), outer.sub(b).mul(half), c]
});
transform!(slope, 4 to 3, |[a, b, c, d]| {
    let (half, inner) = (V::of(0.5), b.add(c));
    [inner.mul_add(half, a), b.sub(c).mul(half), inner.mul_add(half, d)]
});

impl Tiles {
    /// Whether convolving with `links` links by tiles is less work than by taps.
    pub(super) fn is_cheaper([height, width]: [usize; 2], links: usize, [from, to]: [usize; 2]) -> bool {
        let tiles = height.div_ceil(2) * width.div_ceil(2);
        // Multiplications that take as long as the transforms of a tile's channel; measured (`docs/notes/2026-11-29-lanes.md`).
        let transforms = 64;
        let work = tiles * (POINTS * from * to + transforms * (from + to));
        from.is_multiple_of(WIDE) && to.is_multiple_of(WIDE) && work < links * from * to
    }

    /// Of images of this height and width.
    pub(super) fn new([height, width]: [usize; 2]) -> Self {
        // A pixel before the first one has a number beyond all.
        let pixel = |y: usize, x: usize| match y < height && x < width {
            true => (y * width + x) as u32,
            false => NONE,
        };
        let corners = (0..height).step_by(2).flat_map(|y| (0..width).step_by(2).map(move |x| (y, x)));
        let tiles = corners
            .map(|(y, x)| Tile {
                own: std::array::from_fn(|i| pixel(y + i / 2, x + i % 2)),
                seen: std::array::from_fn(|i| {
                    pixel((y + i / 4).wrapping_sub(1), (x + i % 4).wrapping_sub(1))
                }),
            })
            .collect();
        Self { tiles, pixels: height * width, width }
    }

    /// Pixels of an image.
    pub(super) fn pixels(&self) -> usize {
        self.pixels
    }

    /// Vectors that gather the gradient of so many kernels.
    pub(super) fn sums<V: Vector>(kernels: usize, replicas: usize) -> usize {
        (POINTS * plane::<V>(kernels * replicas)).div_ceil(V::LANES)
    }

    /// Scalars of so many kernels' transforms.
    pub(super) fn factors<V: Vector>(kernels: usize, replicas: usize) -> usize {
        POINTS * plane::<V>(kernels / V::DEPTH * replicas)
    }

    /// Transforms kernels from channels to channels, each of nine taps of `replicas` numbers, for contracting over the
    /// input's channels or, `transposed`, over the output's.
    pub(super) fn prepare<V: Vector>(
        weights: &[V::Scalar],
        from: usize,
        transposed: bool,
        replicas: usize,
        to: &mut Kernels<V>,
    ) {
        // From a kernel to the next one that its factor holds.
        let next = if transposed { from } else { 1 };
        with_replicas!(replicas, R => Self::prepare_with::<V, R>(weights, next, &mut to.0));
    }

    fn prepare_with<V: Vector, const R: usize>(weights: &[V::Scalar], next: usize, to: &mut [V::Scalar]) {
        let factors = weights.len() / (TAPS * R * V::DEPTH);
        let plane = plane::<V>(factors * R);
        // The last factors may take a part of a vector, and the gap has room for the rest.
        assert!((factors * V::DEPTH).is_multiple_of(BLOCK) && to.len() >= POINTS * plane);
        V::run(
            #[inline(always)]
            || {
                for first in (0..factors).step_by(V::LANES / R) {
                    let mut points = [[[V::zero(); 4]; 4]; DEEPEST];
                    for (number, points) in points.iter_mut().enumerate().take(V::DEPTH) {
                        let mut taps = [[V::zero(); 3]; 3];
                        let lanes_of = lanes_mut(taps.as_flattened_mut());
                        for (place, factor) in (first..factors).take(V::LANES / R).enumerate() {
                            let own = match V::DEPTH {
                                1 => factor,
                                depth => (factor / next * depth + number) * next + factor % next,
                            };
                            let weights = weights[own * TAPS * R..][..TAPS * R].chunks_exact(R);
                            for (tap, weights) in weights.enumerate() {
                                lanes_of[tap * V::LANES + place * R..][..R].copy_from_slice(weights);
                            }
                        }
                        *points = kernel(taps);
                    }
                    for (i, j) in (0..4).flat_map(|i| (0..4).map(move |j| (i, j))) {
                        let value = V::join(points.map(|points| points[i][j]));
                        store(&mut to[(4 * i + j) * plane + first * R..], value);
                    }
                }
            },
        );
    }

    /// From channels to channels, with kernels as [`Tiles::prepare`] left them: the output. `transposed` is from what was the
    /// output back to what was the input, with every kernel turned around.
    pub(super) fn contract<V: Vector, X: Kept<V>, Y: Kept<V>>(
        &self,
        kernels: (&Kernels<V>, usize),
        transposed: bool,
        channels: [usize; 2],
        (x, y): (&[X], &mut [Y]),
        onto: Accumulate<Y>,
        points: &mut Points<V>,
    ) {
        let (Kernels(kernels), replicas) = kernels;
        with_replicas!(replicas, R => self.contract_with::<V, X, Y, R>((kernels, transposed), channels, (x, y), onto, points));
    }

    fn contract_with<V: Vector, X: Kept<V>, Y: Kept<V>, const R: usize>(
        &self,
        (kernels, transposed): (&[V::Scalar], bool),
        [from, to]: [usize; 2],
        (x, y): (&[X], &mut [Y]),
        onto: Accumulate<Y>,
        [inputs, outputs]: &mut Points<V>,
    ) {
        let packs = x.len() / (from * self.pixels);
        assert_eq!(y.len(), to * self.pixels * packs);
        let deep = from / V::DEPTH;
        let length = deep * to * R;
        // From an input's factor to the next one's, and from an output's.
        let strides = if transposed { [to * R, R] } else { [R, deep * R] };
        V::run(
            #[inline(always)]
            || {
                let all = self.tiles.len() * packs;
                for start in (0..all).step_by(COLUMNS) {
                    let own = start..(start + COLUMNS).min(all);
                    let columns = own.len();
                    self.transform_input::<V, X, false>(own.clone(), from, x, inputs);
                    for point in 0..POINTS {
                        let of = if transposed {
                            4 * TRANSPOSED[point / 4] + TRANSPOSED[point % 4]
                        } else {
                            point
                        };
                        let start = of * plane::<V>(length);
                        multiply::<V, R>(
                            (&kernels[start..start + length], strides),
                            &inputs[point * (deep * columns + gap::<V>())..][..deep * columns],
                            &mut outputs[point * (to * columns + gap::<V>())..][..to * columns],
                            columns,
                        );
                    }
                    self.transform_output(own, to, outputs, y, onto);
                }
            },
        );
    }

    /// Adds the gradient with respect to the kernels to `gradient`, point by point.
    pub(super) fn gradient<V: Vector, X: Kept<V>, Y: Kept<V>>(
        &self,
        channels: [usize; 2],
        replicas: usize,
        (x, dy): (&[X], &[Y]),
        gradient: &mut [V],
        points: &mut Points<V>,
    ) {
        let gradient = lanes_mut(gradient);
        with_replicas!(replicas, R => self.gradient_with::<V, X, Y, R>(channels, (x, dy), gradient, points));
    }

    fn gradient_with<V: Vector, X: Kept<V>, Y: Kept<V>, const R: usize>(
        &self,
        [from, to]: [usize; 2],
        (x, dy): (&[X], &[Y]),
        gradient: &mut [V::Scalar],
        [inputs, changes]: &mut Points<V>,
    ) {
        let packs = x.len() / (from * self.pixels);
        assert_eq!(dy.len(), to * self.pixels * packs);
        let kernels = from * to * R;
        V::run(
            #[inline(always)]
            || {
                let all = self.tiles.len() * packs;
                for start in (0..all).step_by(V::DEPTH * COLUMNS) {
                    let own = start..(start + V::DEPTH * COLUMNS).min(all);
                    let columns = own.len().div_ceil(V::DEPTH);
                    self.transform_input::<V, X, true>(own.clone(), from, x, inputs);
                    self.change(own, to, dy, changes);
                    for point in 0..POINTS {
                        let start = point * plane::<V>(kernels);
                        accumulate::<V, R>(
                            &inputs[point * (from * columns + gap::<V>())..][..from * columns],
                            &changes[point * (to * columns + gap::<V>())..][..to * columns],
                            &mut gradient[start..start + kernels],
                            columns,
                        );
                    }
                }
            },
        );
    }

    /// Hands on what [`Tiles::gradient`] gathered, some weights after the other: the first one's number, and the
    /// gradient of each of `replicas` replicas.
    pub(super) fn emit_gradients<V: Vector>(
        kernels: usize,
        gradient: &[V],
        replicas: usize,
        mut change: impl FnMut(usize, &[V::Scalar]),
    ) {
        let (gradient, plane) = (lanes(gradient), plane::<V>(kernels * replicas));
        assert!(kernels.is_multiple_of(BLOCK) && gradient.len() >= POINTS * plane);
        let mut part = vec![V::Scalar::default(); BLOCK * TAPS * replicas];
        for block in (0..kernels).step_by(BLOCK) {
            let gradient = &gradient[block * replicas..];
            with_replicas!(replicas, R => Self::d_logits::<V, R>(gradient, plane, &mut part));
            change(block * TAPS, &part);
        }
    }

    /// From points, `plane` scalars apart, to taps, as many as there is room for.
    fn d_logits<V: Vector, const R: usize>(gradient: &[V::Scalar], plane: usize, part: &mut [V::Scalar]) {
        V::run(
            #[inline(always)]
            || {
                for (index, part) in part.chunks_exact_mut(V::LANES * TAPS).enumerate() {
                    let mut points = [[V::zero(); 4]; 4];
                    for (i, row) in points.iter_mut().enumerate() {
                        for (j, value) in row.iter_mut().enumerate() {
                            *value = load(&gradient[(4 * i + j) * plane + index * V::LANES..]);
                        }
                    }
                    let taps = slope(points);
                    let lanes_of = lanes(taps.as_flattened());
                    for (kernel, part) in part.chunks_exact_mut(TAPS * R).enumerate() {
                        for (tap, part) in part.chunks_exact_mut(R).enumerate() {
                            part.copy_from_slice(&lanes_of[tap * V::LANES + kernel * R..][..R]);
                        }
                    }
                }
            },
        );
    }

    /// Bᵀ d B of the pixels that tiles see.
    #[inline(always)]
    fn transform_input<V: Vector, X: Kept<V>, const ACROSS: bool>(
        &self,
        own: Range<usize>,
        channels: usize,
        x: &[X],
        points: &mut [V],
    ) {
        self.spread::<V, X, 4, POINTS, ACROSS>(
            own,
            channels,
            x,
            points,
            #[inline(always)]
            |tile| &tile.seen,
            #[inline(always)]
            |values| input(values),
        );
    }

    /// A dy Aᵀ of the gradient of tiles' own pixels.
    #[inline(always)]
    fn change<V: Vector, Y: Kept<V>>(&self, own: Range<usize>, channels: usize, dy: &[Y], points: &mut [V]) {
        self.spread::<V, Y, 2, 4, true>(
            own,
            channels,
            dy,
            points,
            #[inline(always)]
            |tile| &tile.own,
            #[inline(always)]
            |values| change(values),
        );
    }

    /// Transforms S x S pixels of each tile to points. What is contracted over is joined to factors: columns if `ACROSS`,
    /// and a last one may lack some, else channels.
    #[inline(always)]
    fn spread<V: Vector, X: Kept<V>, const S: usize, const PIXELS: usize, const ACROSS: bool>(
        &self,
        own: Range<usize>,
        channels: usize,
        x: &[X],
        points: &mut [V],
        pixels: impl Fn(&Tile) -> &[u32; PIXELS],
        transform: impl Fn([[V; S]; S]) -> [[V; 4]; 4],
    ) {
        let columns = own.len();
        let [deep, wide] = if ACROSS { [1, V::DEPTH] } else { [V::DEPTH, 1] };
        let sides = [channels / deep, columns.div_ceil(wide)];
        let plane = sides[0] * sides[1] + gap::<V>();
        assert!(points.len() >= POINTS * plane);
        let of = self.columns(own, channels, pixels);
        let of = &of[..columns];
        for channel in 0..sides[0] {
            let x = &x[channel * deep * self.pixels..];
            for column in 0..sides[1] {
                let own = if ACROSS { V::DEPTH * column } else { column };
                let first = transform(self.load_tile::<V, X, S, PIXELS>(of.get(own), x, deep));
                let second = match (V::DEPTH, ACROSS) {
                    (1, _) => first,
                    (_, true) => transform(self.load_tile::<V, X, S, PIXELS>(of.get(own + 1), x, deep)),
                    (_, false) => {
                        let x = &x[self.pixels..];
                        transform(self.load_tile::<V, X, S, PIXELS>(of.get(own), x, deep))
                    }
                };
                let start = place(sides, channel, column);
                for i in 0..4 {
                    for j in 0..4 {
                        let value = V::join([first[i][j], second[i][j]]);
                        // SAFETY: a column of the channel at a point; the length was checked.
                        unsafe { *points.get_unchecked_mut((4 * i + j) * plane + start) = value };
                    }
                }
            }
        }
    }

    /// Where columns are, of all packs' tiles one after the other.
    #[inline(always)]
    fn columns<const PIXELS: usize>(
        &self,
        own: Range<usize>,
        channels: usize,
        pixels: impl Fn(&Tile) -> &[u32; PIXELS],
    ) -> [Column<PIXELS>; DEEPEST * COLUMNS] {
        let mut columns = [Column::Whole(0); DEEPEST * COLUMNS];
        for (column, index) in columns.iter_mut().zip(own) {
            let (pack, tile) = (index / self.tiles.len(), index % self.tiles.len());
            let pixels = pixels(&self.tiles[tile]);
            let first = (pack * channels * self.pixels) as u32;
            let at = |pixel: u32| if pixel == NONE { NONE } else { first + pixel };
            *column = match pixels.contains(&NONE) {
                true => Column::Part(pixels.map(at)),
                false => Column::Whole(at(pixels[0]) as usize),
            };
        }
        columns
    }

    /// A column's pixels of the channel that begins with `x`; zeros where there is no column. Those of `ahead` channels later are fetched
    /// meanwhile: rows of a tile are too short for the processor to do that by itself.
    #[inline(always)]
    fn load_tile<V: Vector, X: Kept<V>, const S: usize, const PIXELS: usize>(
        &self,
        column: Option<&Column<PIXELS>>,
        x: &[X],
        ahead: usize,
    ) -> [[V; S]; S] {
        let mut values = [[V::zero(); S]; S];
        match column {
            None => {}
            Some(Column::Whole(first)) => {
                // Of four columns of pixels those in the middle, which are the tile's own.
                let later = ahead * self.pixels + first + (S - 2) / 2;
                for row in 0..S {
                    fetch_two(x.as_ptr().wrapping_add(later + row * self.width));
                }
                for (i, row) in values.iter_mut().enumerate() {
                    for (j, value) in row.iter_mut().enumerate() {
                        // SAFETY: a pixel of the image.
                        *value = unsafe { x.get_unchecked(first + i * self.width + j).value() };
                    }
                }
            }
            Some(Column::Part(pixels)) => {
                let nothing = X::keep(V::zero());
                for (i, row) in values.iter_mut().enumerate() {
                    for (j, value) in row.iter_mut().enumerate() {
                        let pixel = pixels[S * i + j];
                        let own = x.as_ptr().wrapping_add(pixel as usize);
                        // SAFETY: a pixel of the image, or nothing.
                        *value = unsafe { (*(if pixel == NONE { &raw const nothing } else { own })).value() };
                    }
                }
            }
        }
        values
    }

    /// Aᵀ m A of what is at the points of tiles.
    #[inline(always)]
    fn transform_output<V: Vector, Y: Kept<V>>(
        &self,
        own: Range<usize>,
        channels: usize,
        points: &[V],
        y: &mut [Y],
        onto: Accumulate<Y>,
    ) {
        let columns = own.len();
        let plane = channels * columns + gap::<V>();
        assert!(points.len() >= POINTS * plane);
        let of = self.columns(
            own,
            channels,
            #[inline(always)]
            |tile| &tile.own,
        );
        for channel in 0..channels {
            for (index, column) in of[..columns].iter().enumerate() {
                if let Column::Whole(first) = column {
                    let later = (channel + 1) * self.pixels + first;
                    for row in 0..2 {
                        fetch_two(y.as_ptr().wrapping_add(later + row * self.width));
                    }
                }
                let start = place([channels, columns], channel, index);
                let mut values = [[V::zero(); 4]; 4];
                for (i, row) in values.iter_mut().enumerate() {
                    for (j, value) in row.iter_mut().enumerate() {
                        // SAFETY: a column of the channel at a point; the length was checked.
                        *value = unsafe { *points.get_unchecked((4 * i + j) * plane + start) };
                    }
                }
                for (i, row) in output(values).iter().enumerate() {
                    for (j, &value) in row.iter().enumerate() {
                        let pixel = match column {
                            Column::Whole(first) => first + i * self.width + j,
                            Column::Part(pixels) if pixels[2 * i + j] == NONE => continue,
                            Column::Part(pixels) => pixels[2 * i + j] as usize,
                        };
                        onto.put(value, y, channel * self.pixels + pixel);
                    }
                }
            }
        }
    }
}

/// What is at a point of every output channel: kernels times what is there of the inputs.
#[inline(always)]
fn multiply<V: Vector, const R: usize>(
    kernels: (&[V::Scalar], [usize; 2]),
    x: &[V],
    y: &mut [V],
    columns: usize,
) {
    let [from, to] = [x.len(), y.len()].map(|length| length / columns);
    let wide = V::channels(R);
    // As many sums as the registers hold.
    let most = V::TILE * V::PACKS / wide;
    for start in (0..columns).step_by(GROUP) {
        let size = (columns - start).min(GROUP);
        let (x, y) = (&x[start * from..][..size * from], &mut y[start * to..][..size * to]);
        for channel in (0..to).step_by(wide) {
            let mut column = 0;
            while column < size {
                let place = [channel, column];
                column += match (wide, (size - column).min(most)) {
                    (4, 4) => multiply_tile::<V, R, 4, 4>(kernels, x, y, size, place),
                    (4, 2..) => multiply_tile::<V, R, 4, 2>(kernels, x, y, size, place),
                    (4, _) => multiply_tile::<V, R, 4, 1>(kernels, x, y, size, place),
                    (_, 4) => multiply_tile::<V, R, 2, 4>(kernels, x, y, size, place),
                    (_, 2..) => multiply_tile::<V, R, 2, 2>(kernels, x, y, size, place),
                    (_, _) => multiply_tile::<V, R, 2, 1>(kernels, x, y, size, place),
                };
            }
        }
    }
}

/// For `O` output channels and `M` columns of a group of `size`; what it returns is `M`.
#[inline(always)]
fn multiply_tile<V: Vector, const R: usize, const O: usize, const M: usize>(
    (kernels, [inner, outer]): (&[V::Scalar], [usize; 2]),
    x: &[V],
    y: &mut [V],
    size: usize,
    [channel, column]: [usize; 2],
) -> usize {
    let mut sums = [[V::zero(); O]; M];
    let mut kernel = channel * outer;
    for inputs in x.chunks_exact(size) {
        // SAFETY: kernels of channels of both sides, R numbers of each.
        let weights: [V; O] = std::array::from_fn(
            #[inline(always)]
            |o| unsafe { V::repeat::<R>(kernels.as_ptr().add(kernel + o * outer)) },
        );
        kernel += inner;
        for (m, sums) in sums.iter_mut().enumerate() {
            // SAFETY: M columns of a channel, from `column` on.
            let input = unsafe { *inputs.get_unchecked(column + m) };
            for (sum, weight) in sums.iter_mut().zip(weights) {
                *sum = input.dot(weight, *sum);
            }
        }
    }
    for o in 0..O {
        for (m, sums) in sums.iter().enumerate() {
            y[(channel + o) * size + column + m] = sums[o];
        }
    }
    M
}

/// Adds the products of changes of outputs and inputs at a point, summed over columns and images, to a gradient.
#[inline(always)]
fn accumulate<V: Vector, const R: usize>(x: &[V], dy: &[V], gradient: &mut [V::Scalar], columns: usize) {
    let [from, to] = [x, dy].map(|side| side.len() / columns);
    for output in (0..to).step_by(WIDE) {
        for input in (0..from).step_by(WIDE) {
            let place = [output, input];
            // As many sums as the registers hold.
            match V::TILE {
                4 => accumulate_tile::<V, R, 4>(x, dy, gradient, columns, place),
                _ => accumulate_tile::<V, R, 2>(x, dy, gradient, columns, place),
            }
        }
    }
}

/// For [`WIDE`] output and input channels, `I` of the latter and a part of each vector at a time.
#[inline(always)]
fn accumulate_tile<V: Vector, const R: usize, const I: usize>(
    x: &[V],
    dy: &[V],
    gradient: &mut [V::Scalar],
    columns: usize,
    [output, input]: [usize; 2],
) {
    let [from, to] = [x, dy].map(|side| side.len() / columns);
    let (x, dy) = (parts(x), parts(dy));
    let count = size_of::<V>() / size_of::<V::Part>();
    let mut all = [[V::zero(); WIDE]; WIDE];
    for part in 0..count {
        for first in (0..WIDE).step_by(I) {
            let mut sums = [[V::Part::zero(); I]; WIDE];
            for start in (0..columns).step_by(GROUP) {
                let size = (columns - start).min(GROUP);
                // SAFETY: where a part of the group's first column is, in channels of each side.
                let sides = unsafe {
                    [
                        x.as_ptr().add((start * from + (input + first) * size) * count + part),
                        dy.as_ptr().add((start * to + output * size) * count + part),
                    ]
                };
                // The compiler knows how far apart the channels of a full group are.
                match size {
                    // SAFETY: the group has so many columns.
                    GROUP => unsafe { accumulate_group::<V::Part, I>(sides, [GROUP, count], &mut sums) },
                    // SAFETY: as above.
                    _ => unsafe { accumulate_group::<V::Part, I>(sides, [size, count], &mut sums) },
                }
            }
            for (all, sums) in all.iter_mut().zip(&sums) {
                let all = parts_mut(all);
                for (i, sum) in sums.iter().enumerate() {
                    all[(first + i) * count + part] = *sum;
                }
            }
        }
    }
    if V::LANES == 16 * R {
        let sums = [V::sums(all)];
        for (o, sums) in lanes(&sums).chunks_exact(WIDE).enumerate() {
            let start = (output + o) * from + input;
            for (own, sum) in gradient[start..start + WIDE].iter_mut().zip(sums) {
                *own += *sum;
            }
        }
        return;
    }
    for (o, sums) in all.iter().enumerate() {
        let start = ((output + o) * from + input) * R;
        add_folded::<V, R>(*sums, &mut gradient[start..start + WIDE * R]);
    }
}

/// Adds the products of a part, of `count`, of each of a group's `size` columns.
///
/// # Safety
///
/// There is a group of columns of `I` channels at `x` and one of [`WIDE`] channels at `dy`.
#[inline(always)]
unsafe fn accumulate_group<P: Vector, const I: usize>(
    [mut x, mut dy]: [*const P; 2],
    [size, count]: [usize; 2],
    sums: &mut [[P; I]; WIDE],
) {
    for _ in 0..size {
        // SAFETY: the caller's channels; after the last column nothing is read.
        unsafe {
            let inputs: [P; I] = std::array::from_fn(
                #[inline(always)]
                |i| *x.add(i * size * count),
            );
            for (o, sums) in sums.iter_mut().enumerate() {
                let change = *dy.add(o * size * count);
                for (sum, input) in sums.iter_mut().zip(inputs) {
                    *sum = input.dot(change, *sum);
                }
            }
            [x, dy] = [x.wrapping_add(count), dy.wrapping_add(count)];
        }
    }
}

/// Adds up the images of each vector, and adds the sums, `R` of each, to numbers.
#[inline(always)]
fn add_folded<V: Vector, const R: usize>([a, b, c, d]: [V; WIDE], to: &mut [V::Scalar]) {
    if R == V::LANES {
        for (own, sum) in to.chunks_exact_mut(R).zip([a, b, c, d]) {
            store(own, load::<V>(own).add(sum));
        }
        return;
    }
    let [first, second] = [V::halves(a, b), V::halves(c, d)];
    if 2 * R == V::LANES {
        for (own, sum) in to.chunks_exact_mut(2 * R).zip([first, second]) {
            store(own, load::<V>(own).add(sum));
        }
        return;
    }
    let mut sums = V::quarters(first, second);
    if 4 * R == V::LANES {
        store(to, load::<V>(to).add(sums));
        return;
    }
    let mut distance = V::LANES / 8;
    while distance >= R {
        sums = sums.add_across(distance);
        distance /= 2;
    }
    let sums = [sums];
    for (own, sums) in to.chunks_exact_mut(R).zip(lanes(&sums).chunks_exact(V::LANES / 4)) {
        for (own, sum) in own.iter_mut().zip(sums) {
            *own += *sum;
        }
    }
}

/// The vector at the beginning of a slice.
#[inline(always)]
fn load<V: Vector>(from: &[V::Scalar]) -> V {
    assert!(from.len() >= V::LANES);
    // SAFETY: so many scalars are a vector.
    unsafe { from.as_ptr().cast::<V>().read_unaligned() }
}

/// Puts a vector at the beginning of a slice.
#[inline(always)]
fn store<V: Vector>(to: &mut [V::Scalar], value: V) {
    assert!(to.len() >= V::LANES);
    // SAFETY: a vector is so many scalars.
    unsafe { to.as_mut_ptr().cast::<V>().write_unaligned(value) };
}
