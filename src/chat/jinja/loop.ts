/** What a template knows of the loop that it is in. */
import { Func, foundOr, isEqual, List, Namespace, type Value } from "./values.js";

/** Jinja2's `loop`. */
export function loopObject(items: readonly Value[], i: number, state: { changed: Value | null }): Namespace {
  const { length } = items;
  const at = (index: number, which: string) => foundOr(items[index], `there is no ${which} item`);
  return new Namespace(
    new Map<string, Value>([
      ["index", i + 1],
      ["index0", i],
      ["revindex", length - i],
      ["revindex0", length - i - 1],
      ["first", i === 0],
      ["last", i === length - 1],
      ["length", length],
      ["depth", 1],
      ["depth0", 0],
      ["previtem", at(i - 1, "previous")],
      ["nextitem", at(i + 1, "next")],
      [
        "cycle",
        new Func("cycle", ({ positional }) => {
          if (positional.length === 0) throw new Error("no items for cycling given");
          return positional[i % positional.length];
        }),
      ],
      [
        "changed",
        new Func("changed", ({ positional }) => {
          const now = new List(positional, "tuple");
          const isChanged = state.changed === null || !isEqual(state.changed, now);
          state.changed = now;
          return isChanged;
        }),
      ],
    ]),
    "loop",
  );
}
