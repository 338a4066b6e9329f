/** Few cases that have every pair of values of every two dimensions among them. */

type Dimensions = Readonly<Record<string, readonly unknown[]>>;

/** A value of each dimension. */
type Case<D extends Dimensions> = { readonly [K in keyof D]: D[K][number] };

/** Greedy: each case has as many pairs that are new as can be found value by value. */
export function pairwise<const D extends Dimensions>(dimensions: D): Case<D>[] {
  const names = Object.keys(dimensions);
  const missing = new Set<string>();
  const pair = (a: number, i: number, b: number, j: number) =>
    a < b ? `${a}:${i} ${b}:${j}` : `${b}:${j} ${a}:${i}`;
  const sizes = names.map((name) => dimensions[name].length);
  for (let a = 0; a < names.length; a++) {
    for (let b = a + 1; b < names.length; b++) {
      for (let i = 0; i < sizes[a]; i++) for (let j = 0; j < sizes[b]; j++) missing.add(pair(a, i, b, j));
    }
  }
  const cases: Case<D>[] = [];
  while (missing.size > 0) {
    // A pair that is missing, and then the best values for the other dimensions.
    const [first] = missing;
    const chosen = new Map(first.split(" ").map((text) => text.split(":").map(Number) as [number, number]));
    for (let a = 0; a < names.length; a++) {
      if (chosen.has(a)) continue;
      const gains = Array.from({ length: sizes[a] }, (_, i) =>
        [...chosen].reduce((sum, [b, j]) => sum + (missing.has(pair(a, i, b, j)) ? 1 : 0), 0),
      );
      chosen.set(a, gains.indexOf(Math.max(...gains)));
    }
    for (const [a, i] of chosen) for (const [b, j] of chosen) if (a < b) missing.delete(pair(a, i, b, j));
    cases.push(
      Object.fromEntries(names.map((name, a) => [name, dimensions[name][chosen.get(a)!]])) as Case<D>,
    );
  }
  return cases;
}

/** All cases. */
export function product<const D extends Dimensions>(dimensions: D): Case<D>[] {
  return Object.entries(dimensions).reduce<Record<string, unknown>[]>(
    (cases, [name, values]) => cases.flatMap((known) => values.map((value) => ({ ...known, [name]: value }))),
    [{}],
  ) as Case<D>[];
}
