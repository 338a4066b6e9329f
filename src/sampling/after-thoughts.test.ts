import { expect, test } from "vitest";
import { AfterThoughts } from "./after-thoughts.js";
import type { TokenConstraint } from "./allowed-tokens.js";

const [BEGIN, END, STOP, WORD, ANSWER] = [40, 41, 42, 3, 7];

/** One token, `ANSWER`, and nothing behind it. */
function oneToken(): TokenConstraint {
  let isOver = false;
  const mask = new Uint32Array(2);
  mask[0] = 1 << ANSWER;
  return {
    allowed: { mask, endTokenIds: [STOP], mayEnd: false },
    get isOver() {
      return isOver;
    },
    prepare: () => true,
    accept: (token) => {
      expect(token).toBe(ANSWER);
      isOver = true;
    },
  };
}
const allows = ({ allowed }: TokenConstraint, token: number) =>
  ((allowed!.mask[token >>> 5] >>> (token & 31)) & 1) === 1;

test("thoughts that the prompt has begun are free, and no end token ends them", () => {
  const constraint = new AfterThoughts(oneToken(), { begin: BEGIN, end: END, isOpen: true });
  for (const token of [WORD, ANSWER, BEGIN, WORD]) {
    expect(allows(constraint, token)).toBe(true);
    expect(constraint.allowed?.mayEnd).toBe(false);
    constraint.accept(token);
    expect(constraint.isOver).toBe(false);
  }
  constraint.accept(END);
  expect([WORD, END, BEGIN, ANSWER].map((token) => allows(constraint, token))).toEqual([
    false,
    false,
    false,
    true,
  ]);
  constraint.accept(ANSWER);
  expect(constraint.isOver).toBe(true);
});

test("an answer begins with thoughts, or with what it is held to, and thinks no more then", () => {
  const thinking = new AfterThoughts(oneToken(), { begin: BEGIN, end: END, isOpen: false });
  expect([WORD, END, BEGIN, ANSWER].map((token) => allows(thinking, token))).toEqual([
    false,
    false,
    true,
    true,
  ]);
  thinking.accept(BEGIN);
  expect(allows(thinking, WORD)).toBe(true);
  const silent = new AfterThoughts(oneToken(), { begin: BEGIN, end: END, isOpen: false });
  silent.accept(ANSWER);
  expect([silent.isOver, allows(silent, BEGIN)]).toEqual([true, false]);
  const spelled = new AfterThoughts(oneToken(), { begin: null, end: END, isOpen: false });
  expect([WORD, ANSWER].map((token) => allows(spelled, token))).toEqual([false, true]);
});
