/** Least squares with two terms: how times grow. */

export interface Point {
  readonly x: number;
  readonly y: number;
}

export interface Fit {
  /** Factors of the two terms. */
  readonly factors: readonly [number, number];
  /** Share of the variance that the terms explain. */
  readonly r2: number;
  readonly at: (x: number) => number;
}

/** The factors a and b for which a · first(x) + b · second(x) is nearest to the points, by the sum of squares. */
export function leastSquares(
  points: readonly Point[],
  first: (x: number) => number,
  second: (x: number) => number,
): Fit {
  const sum = (term: (point: Point) => number) => points.reduce((total, point) => total + term(point), 0);
  const aa = sum(({ x }) => first(x) ** 2);
  const ab = sum(({ x }) => first(x) * second(x));
  const bb = sum(({ x }) => second(x) ** 2);
  const ay = sum(({ x, y }) => first(x) * y);
  const by = sum(({ x, y }) => second(x) * y);
  const determinant = aa * bb - ab * ab;
  const a = (ay * bb - by * ab) / determinant;
  const b = (by * aa - ay * ab) / determinant;
  const at = (x: number) => a * first(x) + b * second(x);
  const mean = sum(({ y }) => y) / points.length;
  const r2 = 1 - sum(({ x, y }) => (y - at(x)) ** 2) / sum(({ y }) => (y - mean) ** 2);
  return { factors: [a, b], r2, at };
}
