/** What is counted of answers, who is refused and who gives way, in tables with exact fits. */
import fc from "fast-check";
import { describe, expect, test, vi } from "vitest";
import { AnswerMemory } from "./answer-memory.js";

const memory = () => new AnswerMemory({ answerBytes: 100, answerBytesPerKey: 60, requestSeconds: 600 });

describe("answers that are being made", () => {
  test("have room up to the bound, to the last byte, and the next one is refused until one ends", () => {
    const answers = memory();
    const give = answers.reserve("a", 60, true);
    answers.reserve("b", 40, true);
    const refused = () => answers.reserve("c", 1, true);
    expect(refused).toThrow(expect.objectContaining({ status: 429, retryAfter: 1 }));
    expect(answers.bytes).toBe(100);
    give();
    give();
    expect(answers.bytes).toBe(40);
    refused();
  });

  test("of one key have its own bound, where keys are asked for", () => {
    const answers = memory();
    answers.reserve("a", 60, true);
    expect(() => answers.reserve("a", 1, true)).toThrow("This key's answers");
    answers.reserve("a", 40, false);
  });

  test("are not refused when they are alone, whatever their size", () => {
    const answers = memory();
    answers.reserve("a", 1000, true)();
    expect(answers.bytes).toBe(0);
  });
});

describe("answers that wait for their readers", () => {
  test("wait for as long as a request may take, and no longer", () => {
    vi.useFakeTimers();
    const answers = memory();
    const drops = [vi.fn(), vi.fn()];
    const [left] = drops.map((drop) => answers.wait("a", 20, true, drop));
    vi.advanceTimersByTime(599_999);
    left();
    expect(answers.bytes).toBe(20);
    vi.advanceTimersByTime(1);
    expect(answers.bytes).toBe(0);
    expect(drops.map(({ mock }) => mock.calls.length)).toEqual([0, 1]);
    expect(vi.getTimerCount()).toBe(0);
    vi.useRealTimers();
  });

  test("give way to those that are made: the oldest of the key that has the most", () => {
    const answers = new AnswerMemory({ answerBytes: 100, answerBytesPerKey: 100, requestSeconds: 600 });
    const drops = [vi.fn(), vi.fn(), vi.fn()];
    answers.wait("b", 20, true, drops[0]);
    answers.wait("a", 30, true, drops[1]);
    answers.wait("a", 30, true, drops[2]);
    answers.reserve("c", 20, true);
    expect(drops.map(({ mock }) => mock.calls.length)).toEqual([0, 0, 0]);
    answers.reserve("c", 30, true);
    expect(drops.map(({ mock }) => mock.calls.length)).toEqual([0, 1, 0]);
    expect(answers.bytes).toBe(100);
  });

  test("of one key give way to its own, and to no other's", () => {
    const answers = memory();
    const [own, others] = [vi.fn(), vi.fn()];
    answers.wait("b", 40, true, others);
    answers.wait("a", 50, true, own);
    answers.wait("a", 20, true, vi.fn());
    expect([own.mock.calls.length, others.mock.calls.length]).toEqual([1, 0]);
  });

  test("are forgotten once they have left", () => {
    const answers = memory();
    const drop = vi.fn();
    for (let i = 0; i < 10; i++) answers.wait("a", 50, true, drop)();
    expect(answers.bytes).toBe(0);
    expect(drop).not.toHaveBeenCalled();
  });
});

test("the count is the sum of what is held, never over the bound by more than the last answer", () => {
  const step = fc.record({
    kind: fc.constantFrom("reserve", "wait", "end"),
    key: fc.constantFrom("a", "b", "c"),
    bytes: fc.integer({ min: 0, max: 80 }),
    which: fc.nat(20),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const answers = memory();
      const held = new Map<number, { readonly bytes: number; readonly give: () => void }>();
      let id = 0;
      for (const { kind, key, bytes, which } of steps) {
        const own = id++;
        if (kind === "end") {
          const entry = [...held.entries()][which];
          entry?.[1].give();
          held.delete(entry?.[0] ?? -1);
        } else if (kind === "wait") {
          const give = answers.wait(key, bytes, true, () => void held.delete(own));
          held.set(own, { bytes, give });
        } else {
          try {
            held.set(own, { bytes, give: answers.reserve(key, bytes, true) });
            expect(answers.bytes === bytes || answers.bytes <= 100).toBe(true);
          } catch (error) {
            expect(error).toMatchObject({ status: 429 });
          }
        }
        expect(answers.bytes).toBe([...held.values()].reduce((sum, entry) => sum + entry.bytes, 0));
      }
      for (const { give } of held.values()) give();
      expect(answers.bytes).toBe(0);
    }),
  );
});
