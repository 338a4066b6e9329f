import { expect, test } from "vitest";
import { expectExactMasks } from "../../test/grammars/random-masks.js";
import { GrammarBuilder } from "./grammar.js";
import { type GrammarState, GrammarStates } from "./grammar-state.js";

const encoder = new TextEncoder();

test("a mask allows exactly the tokens whose bytes go on, however it is cut into pieces", () => {
  expectExactMasks(200);
});

test("ways that begin alike are one way, so an ambiguous list in a list has no more of them the deeper it is", () => {
  const builder = new GrammarBuilder(100);
  const node = builder.declare();
  const [open, first, second] = ["[", "x]", "y]"].map((text) => builder.literal(text));
  builder.define(
    node,
    builder.anyOf([
      builder.literal("."),
      builder.seq([open, node, first]),
      builder.seq([open, node, second]),
    ]),
  );
  const states = new GrammarStates(builder.grammar(node));
  let state: GrammarState | null = states.first;
  for (let i = 0; i < 40 && state !== null; i++) state = states.advance(state, encoder.encode("["));
  if (state === null) throw new Error("not a text");
  expect(states.open(state).ways.length).toBeLessThanOrEqual(3);
  state = states.advance(state, encoder.encode(`.${"x]y]".repeat(20)}`));
  expect(state !== null && states.open(state).mayEnd).toBe(true);
});

test("what has no text, and what begins with itself, is refused", () => {
  const builder = new GrammarBuilder(100);
  const endless = builder.declare();
  builder.define(endless, builder.seq([builder.literal("a"), endless]));
  expect(() => builder.grammar(endless)).toThrow("no text fits");
  const left = new GrammarBuilder(100);
  const list = left.declare();
  left.define(
    list,
    left.anyOf([left.literal("a"), left.seq([left.repeat(left.literal(""), 0, 1), list, left.literal("b")])]),
  );
  expect(() => left.grammar(list)).toThrow("begins with itself");
});

test("a part without a text takes no other part along", () => {
  const builder = new GrammarBuilder(100);
  const endless = builder.declare();
  builder.define(endless, builder.seq([builder.literal("a"), endless]));
  const root = builder.anyOf([builder.seq([builder.literal("a"), endless]), builder.literal("b")]);
  const states = new GrammarStates(builder.grammar(root));
  expect(states.advance(states.first, [97])).toBeNull();
  expect(states.advance(states.first, [98])).not.toBeNull();
});
