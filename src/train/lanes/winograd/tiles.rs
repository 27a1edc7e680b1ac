//! The tiles of images: where their pixels are, and the transforms of a slab's tiles to points and
//! back.

use std::ops::Range;

use super::order::{COLUMNS, Extent, POINTS};
use super::transforms::{change_points, input_points, output_pixels};
use crate::model::Size;
use crate::train::lanes::operands::Accumulate;
use crate::train::lanes::vector::{DEEPEST, Kept, Vector, fetch_two};

/// Not a pixel: padding, or beyond an edge.
const NONE: u32 = u32::MAX;

/// Pixels of the output and those of the input that they depend on, 4 x 4 around them, row by row.
pub(super) struct Tile {
    own: [u32; 4],
    around: [u32; POINTS],
}

/// The tiles of images of one size.
pub(in crate::train::lanes) struct Tiles {
    pub(super) tiles: Vec<Tile>,
    /// Pixels of an image, and of a row.
    pub(super) pixels: usize,
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

impl Tiles {
    /// Of images of this size.
    pub(in crate::train::lanes) fn new(size: Size) -> Self {
        let Size { height, width } = size;
        // A pixel before the first one has a number beyond all.
        let pixel = |y: usize, x: usize| match y < height && x < width {
            true => (y * width + x) as u32,
            false => NONE,
        };
        let corners = (0..height).step_by(2).flat_map(|y| (0..width).step_by(2).map(move |x| (y, x)));
        let tiles = corners
            .map(|(y, x)| Tile {
                own: std::array::from_fn(|i| pixel(y + i / 2, x + i % 2)),
                around: std::array::from_fn(|i| {
                    pixel((y + i / 4).wrapping_sub(1), (x + i % 4).wrapping_sub(1))
                }),
            })
            .collect();
        Self { tiles, pixels: size.pixels(), width }
    }

    /// Pixels of an image.
    pub(in crate::train::lanes) fn pixels(&self) -> usize {
        self.pixels
    }

    /// Bᵀ d B of the input around tiles.
    #[inline(always)]
    pub(super) fn transform_input<V: Vector, X: Kept<V>, const ACROSS: bool>(
        &self,
        own: Range<usize>,
        channels: usize,
        x: &[X],
        points: &mut [V],
    ) {
        self.to_points::<V, X, 4, POINTS, ACROSS>(
            own,
            channels,
            x,
            points,
            #[inline(always)]
            |tile| &tile.around,
            #[inline(always)]
            |values| input_points(values),
        );
    }

    /// A dy Aᵀ of the gradient of tiles' own pixels.
    #[inline(always)]
    pub(super) fn transform_changes<V: Vector, Y: Kept<V>>(
        &self,
        own: Range<usize>,
        channels: usize,
        dy: &[Y],
        points: &mut [V],
    ) {
        self.to_points::<V, Y, 2, 4, true>(
            own,
            channels,
            dy,
            points,
            #[inline(always)]
            |tile| &tile.own,
            #[inline(always)]
            |values| change_points(values),
        );
    }

    /// Transforms S x S pixels of each tile to points. What is contracted over is joined to
    /// factors: columns if `ACROSS`, of which the last one may be absent, else channels.
    #[inline(always)]
    fn to_points<V: Vector, X: Kept<V>, const S: usize, const PIXELS: usize, const ACROSS: bool>(
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
        let extent = Extent { channels: channels / deep, columns: columns.div_ceil(wide) };
        let plane = extent.plane::<V>();
        assert!(points.len() >= POINTS * plane);
        let of = self.columns(own, channels, pixels);
        let of = &of[..columns];
        for channel in 0..extent.channels {
            let x = &x[channel * deep * self.pixels..];
            for column in 0..extent.columns {
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
                let start = extent.place(channel, column);
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

    /// A column's pixels of the channel that begins with `x`; zeros where there is no column. Those
    /// of `ahead` channels later are fetched meanwhile: rows of a tile are too short for the
    /// processor to do that by itself.
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
    pub(super) fn transform_output<V: Vector, Y: Kept<V>>(
        &self,
        own: Range<usize>,
        channels: usize,
        points: &[V],
        y: &mut [Y],
        onto: Accumulate<Y>,
    ) {
        let columns = own.len();
        let extent = Extent { channels, columns };
        let plane = extent.plane::<V>();
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
                let start = extent.place(channel, index);
                let mut values = [[V::zero(); 4]; 4];
                for (i, row) in values.iter_mut().enumerate() {
                    for (j, value) in row.iter_mut().enumerate() {
                        // SAFETY: a column of the channel at a point; the length was checked.
                        *value = unsafe { *points.get_unchecked((4 * i + j) * plane + start) };
                    }
                }
                for (i, row) in output_pixels(values).iter().enumerate() {
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
