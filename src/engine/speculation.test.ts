import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Speculation } from "./speculation.js";
import type { StepCosts } from "./step-costs.js";

/** A row more takes so much of a step with one row of each sequence. */
const rowsCost = (row: number): StepCosts => ({ of: (_, more) => 1 + row * more, observe: () => undefined });

const passage = Array.from({ length: 60 }, (_, i) => 100 + i);

/** Says a text token by token, and notes how many tokens were proposed before each. */
function say(speculation: Speculation, text: readonly number[], costs: StepCosts, sequences = 1): number[] {
  return text.map((token) => {
    const { length } = speculation.propose(15, sequences, costs);
    speculation.push(token);
    return length;
  });
}

const sum = (counts: readonly number[]) => counts.reduce((total, count) => total + count, 0);

describe("Speculation", () => {
  test("where rows are free a quote is proposed as far as it may be, where they are dear nothing is", () => {
    const quote = passage.slice(10, 50);
    expect(sum(say(new Speculation([...passage, 10]), quote, rowsCost(2)))).toBe(0);
    const counts = say(new Speculation([...passage, 110]), quote.slice(1), rowsCost(0));
    expect(counts).toEqual(counts.map(() => 15));
  });

  test("what is proposed is what followed", () => {
    const speculation = new Speculation([...passage, ...passage.slice(10, 20)]);
    expect(speculation.propose(15, 1, rowsCost(0))).toEqual(passage.slice(20, 35));
    expect(speculation.propose(4, 1, rowsCost(0))).toEqual(passage.slice(20, 24));
    expect(speculation.propose(0, 1, rowsCost(0))).toEqual([]);
    expect(speculation.propose(-1, 1, rowsCost(0))).toEqual([]);
  });

  test("as many as give the most tokens in a time", () => {
    const speculation = new Speculation([...passage, ...passage.slice(0, 20)]);
    // Up to four rows take what one takes, the fifth as much as all of them.
    const tiles = { of: (_: number, more: number) => Math.ceil((1 + more) / 4), observe: () => undefined };
    expect(speculation.propose(15, 1, tiles)).toHaveLength(3);
    // The prior's nine in ten: a row for a fifth pays for longer than a row for half of a step.
    const [few, many] = [0.5, 0.2].map((row) => speculation.propose(15, 1, rowsCost(row)).length);
    expect(few).toBeGreaterThan(0);
    expect(many).toBeGreaterThan(few!);
  });

  test("a text in which nothing comes twice proposes nothing, whatever rows cost", () => {
    const fresh = Array.from({ length: 300 }, (_, i) => 1000 + i);
    expect(sum(say(new Speculation(passage), fresh, rowsCost(0)))).toBe(0);
  });

  test("words that come again, each time with others behind them, are soon left alone", () => {
    // The same three words before each new one.
    const broken = Array.from({ length: 100 }, (_, i) => [7, 8, 9, 1000 + i]).flat();
    const counts = say(new Speculation([]), broken, rowsCost(0.3));
    const afterWords = counts.filter((_, i) => i % 4 === 3).slice(8);
    expect(sum(afterWords)).toBe(0);
  });

  test("comes back by itself, though nothing was proposed meanwhile, when the text repeats again", () => {
    const costs = rowsCost(0.5);
    const speculation = new Speculation(passage);
    // Words of the passage, none with what followed it there.
    const broken = Array.from({ length: 60 }, (_, i) => [passage[(i * 7) % 60]!, 2000 + i]);
    expect(sum(say(speculation, broken.flat(), costs))).toBe(0);
    const counts = say(speculation, passage, costs);
    expect(sum(counts.slice(0, 4))).toBe(0);
    expect(counts.slice(30, 50).every((count) => count > 0)).toBe(true);
  });

  test("while it is not known what a plain step takes, the step is plain", () => {
    const unknown = { of: (_: number, more: number) => (more === 0 ? null : 1), observe: () => undefined };
    const speculation = new Speculation([...passage, ...passage.slice(0, 20)]);
    expect(speculation.propose(15, 1, unknown)).toEqual([]);
  });

  test("never takes longer than the credit allows, whatever the text and whatever rows cost", () => {
    const texts = fc
      .integer({ min: 2, max: 6 })
      .chain((vocabSize) => fc.array(fc.nat({ max: vocabSize - 1 }), { minLength: 1, maxLength: 200 }));
    const rows = fc.array(fc.double({ min: 1, max: 8, noNaN: true }), { minLength: 15, maxLength: 15 });
    let faster = 0;
    fc.assert(
      fc.property(texts, rows, (text, times) => {
        const costs = {
          of: (_: number, more: number) => (more === 0 ? 1 : times[more - 1]!),
          observe: () => undefined,
        };
        const speculation = new Speculation([]);
        let time = 0;
        for (let at = 0; at < text.length; ) {
          const proposed = speculation.propose(Math.min(15, text.length - at - 1), 1, costs);
          time += costs.of(1, proposed.length);
          let accepted = 0;
          while (accepted < proposed.length && proposed[accepted] === text[at + accepted]) accepted += 1;
          for (let i = 0; i <= accepted; i++) speculation.push(text[at + i]!);
          speculation.settle(proposed.length, accepted, 1, costs);
          at += 1 + accepted;
        }
        expect(time).toBeLessThanOrEqual(text.length * 1.01 + 0.75 + 1e-9);
        if (time < text.length) faster += 1;
      }),
      { numRuns: 300 },
    );
    expect(faster).toBeGreaterThan(10);
  });

  test("what a step took longer in vain is paid from the credit, and what came true earns it back", () => {
    const speculation = new Speculation([...passage, ...passage.slice(0, 20)]);
    const costs = rowsCost(0.2);
    const { length } = speculation.propose(15, 1, costs);
    expect(length).toBeGreaterThan(0);
    speculation.settle(4, 0, 1, costs);
    expect(speculation.propose(15, 1, costs)).toEqual([]);
    speculation.settle(4, 4, 1, costs);
    expect(speculation.propose(15, 1, costs).length).toBeGreaterThan(length);
  });

  test("beside others, whose tokens a longer step delays, a row must bring more", () => {
    const speculation = new Speculation([...passage, ...passage.slice(0, 20)]);
    const costs = rowsCost(0.3);
    expect(speculation.propose(15, 1, costs).length).toBeGreaterThan(0);
    // Eight tokens a step: one more for 1.3 times the time is fewer in a time.
    expect(speculation.propose(15, 8, costs)).toEqual([]);
  });
});
